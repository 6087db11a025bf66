"""Durable consumers of other services' events."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

E = TypeVar("E", bound=Message)


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

    def inbox_parameters(self) -> dict[str, Any]:
        """Return the parameters of `inbox.INSERT`."""
        return {
            "inbox_consumer": self.consumer,
            "inbox_generation": self.generation,
            "inbox_event_id": self.event_id,
        }
