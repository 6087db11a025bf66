"""An event as a consumer's handler gets it."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from services.chassis import events
from services.chassis.tracing import HEADER, NO_SPANS, ServiceTracing

E = TypeVar("E", bound=Message)


class MalformedEventError(Exception):
    """The message is not the event that its subject says."""


@dataclass(frozen=True, slots=True)
class Delivery(Generic[E]):
    """An event as a handler gets it."""

    message: E
    event_id: UUID
    aggregate_id: str
    aggregate_version: int
    traceparent: str
    attempt: int
    """1 at the first delivery."""
    consumer: str
    generation: int = 1
    tracing: ServiceTracing = field(default=NO_SPANS, repr=False, compare=False)
    """Makes spans of work that this event starts for later, or together with others."""

    def inbox_parameters(self) -> dict[str, Any]:
        """Return the parameters of `inbox.INSERT`."""
        return {
            "inbox_consumer": self.consumer,
            "inbox_generation": self.generation,
            "inbox_event_id": self.event_id,
        }


def read(message: Msg, event: type[E], consumer: str, tracing: ServiceTracing = NO_SPANS) -> Delivery[E]:
    """Return the event in a message. Raises MalformedEventError."""
    headers = message.headers or {}
    try:
        if headers[events.TYPE] != event.DESCRIPTOR.full_name:
            raise MalformedEventError(f"it is a {headers[events.TYPE]}")
        return Delivery(
            message=event.FromString(message.data),
            event_id=UUID(headers[events.ID]),
            aggregate_id=headers[events.AGGREGATE_ID],
            aggregate_version=int(headers[events.AGGREGATE_VERSION]),
            traceparent=headers.get(HEADER, ""),
            attempt=message.metadata.num_delivered,
            consumer=consumer,
            tracing=tracing,
        )
    except (KeyError, ValueError, DecodeError) as error:
        raise MalformedEventError(f"it cannot be read: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    """Say what is wrong, without the value that is."""
    return f"no {error.args[0]}" if isinstance(error, KeyError) else type(error).__name__
