"""What happens to one event of a consumer: read, handled inside its trace, counted."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message
from nats.aio.msg import Msg

from services.chassis import events
from services.chassis.delivery import MalformedEventError, read
from services.chassis.logs import EventLog
from services.chassis.metrics import ServiceMetrics
from services.chassis.retries import HandlerTimeoutError
from services.chassis.service import Consumer
from services.chassis.tracing import ServiceTracing

E = TypeVar("E", bound=Message)

HANDLER_TIMEOUT: Final = 60.0


class Outcomes:
    """Counts what became of the events of one type."""

    def __init__(self, metrics: ServiceMetrics, event: str) -> None:
        """Begin at zero."""
        self.done, self.repeated, self.failed, self.parked = (
            metrics.counter("events_handled", "Events by what became of them.", event=event, outcome=outcome)
            for outcome in ("done", "repeated", "failed", "parked")
        )


class EventHandler(Generic[E]):
    """Handles one event, whether it was published or redriven."""

    def __init__(
        self, consumer: Consumer[E], name: str, tracing: ServiceTracing, outcomes: Outcomes, log: EventLog
    ) -> None:
        """Handle it in the name of a durable, which is what the inbox knows it by."""
        self._consumer, self.name, self._tracing, self.outcomes, self._log = consumer, name, tracing, outcomes, log

    async def handle(self, message: Msg, *, redriven: bool) -> None:
        """Return once it has had its effect. Raises what the handler raises, and HandlerTimeoutError."""
        started = time.perf_counter()
        delivery = read(message, self._consumer.event, self.name, self._tracing)
        event_type, event_id = delivery.message.DESCRIPTOR.full_name, str(delivery.event_id)
        with self._tracing.consuming(message.subject, event_type, event_id, delivery.traceparent, linked=redriven):
            try:
                async with asyncio.timeout(HANDLER_TIMEOUT) as limit:
                    await self._consumer.handle(delivery)
            except TimeoutError:
                if limit.expired():
                    raise HandlerTimeoutError(f"no end after {HANDLER_TIMEOUT:.0f} s") from None
                raise
        seconds = time.perf_counter() - started
        self._log.handled(delivery.event_id, delivery.aggregate_id, seconds, delivery.traceparent)


Handlers = Mapping[str, EventHandler[Any]]
"""Handlers by the full name of their event."""


def handler_of(message: Msg, handlers: Handlers) -> EventHandler[Any]:
    """Return who handles a message. Raises MalformedEventError."""
    event_type = (message.headers or {}).get(events.TYPE, "")
    handler = handlers.get(event_type)
    if handler is None:
        raise MalformedEventError(f"it is a {event_type}" if event_type else "it does not say what it is")
    return handler
