"""Events are written to the outbox in the statement of the change; the relay publishes them after.

A store names the columns and values in its own statement:

    f"{outbox.INSERT} VALUES ({outbox.VALUES}, %(version)s)"       # the last value is the aggregate's version
    f"{outbox.INSERT} SELECT {outbox.VALUES}, version FROM changed"

and gives it `outbox.parameters(event, aggregate_id)`; then it calls `wake()`.
"""

import asyncio
from functools import cache
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.contract import event_contract
from services.chassis.events import subject
from services.chassis.ids import new_id
from services.chassis.tracing import outgoing

INSERT_COLUMNS: Final = "event_id, subject, event_type, aggregate_id, payload, traceparent, aggregate_version"
INSERT: Final = f"INSERT INTO outbox ({INSERT_COLUMNS})"


@cache
def values(prefix: str = "event") -> str:
    """Return the values of `INSERT` but the last, for parameters of a prefix: give one to each event of a statement."""
    names = ("id", "subject", "type", "aggregate_id", "payload", "traceparent")
    return ", ".join(f"%({prefix}_{name})s" for name in names)


VALUES: Final = values()


def parameters(event: Message, aggregate_id: UUID | str, prefix: str = "event") -> dict[str, Any]:
    """Return the parameters of an event's row. Raises ValueError for a message that is not an event."""
    event_type = event_contract(type(event)).full_name  # type: ignore[arg-type]  # a class is hashable
    aggregate = str(aggregate_id)
    return {
        f"{prefix}_id": new_id(),
        f"{prefix}_subject": subject(event_type, aggregate),
        f"{prefix}_type": event_type,
        f"{prefix}_aggregate_id": aggregate,
        f"{prefix}_payload": event.SerializeToString(),
        f"{prefix}_traceparent": outgoing(),
    }


class Outbox:
    """Joins who writes events with the relay that publishes them."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        self._written = asyncio.Event()

    parameters = staticmethod(parameters)

    def wake(self) -> None:
        """Tell the relay of this process that there is something to publish."""
        self._written.set()

    async def written(self, at_most: float) -> bool:
        """Wait until somebody calls `wake`, but not longer than some seconds; return whether somebody did."""
        try:
            async with asyncio.timeout(at_most):
                await self._written.wait()
        except TimeoutError:
            return False
        finally:
            self._written.clear()
        return True
