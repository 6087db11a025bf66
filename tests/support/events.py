"""Events as a handler gets them, and as a store wrote them."""

from typing import TypeVar
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.consumer import Delivery
from services.chassis.database import Database
from services.chassis.ids import new_id

E = TypeVar("E", bound=Message)


def delivery(
    message: E, *, event_id: UUID | None = None, consumer: str = "test", aggregate_id: str = ""
) -> Delivery[E]:
    """Return an event as it is first delivered."""
    return Delivery(
        message=message,
        event_id=event_id or new_id(),
        aggregate_id=aggregate_id,
        aggregate_version=1,
        traceparent="",
        attempt=1,
        consumer=consumer,
    )


async def outbox_of(database: Database, aggregate_id: UUID | str) -> list[tuple[str, int]]:
    """Return name and version of the events written for an aggregate, in order."""
    statement = "SELECT event_type, aggregate_version FROM outbox WHERE aggregate_id = %s ORDER BY position"
    rows = await database.all(statement, (str(aggregate_id),))
    return [(event_type.rpartition(".")[2], version) for event_type, version in rows]
