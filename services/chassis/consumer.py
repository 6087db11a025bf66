"""Durable consumers of other services' events.

A handler's effect and its inbox row are one statement, so that a repeat has no effect. Events of one aggregate are
handled one after the other, others in parallel. What fails comes again, after a delay that doubles.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Generic, Self, TypeVar

import nats.errors
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from services.chassis import events, inbox
from services.chassis.broker import Broker
from services.chassis.delivery import Delivery, read
from services.chassis.errors import Kind
from services.chassis.event_streams import Durable, durable_of, ensure_durable
from services.chassis.keyed import KeyedRunner
from services.chassis.logs import Logs
from services.chassis.metrics import ServiceMetrics
from services.chassis.pull import Pull
from services.chassis.service import Consumer
from services.chassis.status import domain_error_of
from services.chassis.tracing import HEADER, ServiceTracing

__all__ = ["Consumers", "Delivery", "NotYet"]

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Message)

IN_HAND: Final = 32
"""Events of one durable consumer that a process works on at once."""
HANDLER_TIMEOUT: Final = 60.0
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 30.0
OUTAGE_DELAY: Final = 2.0
"""Longest delay while a neighbour, the database or the broker is away: they come back for all events at once."""
STOP_WITHIN: Final = 10.0
_RETRY: Final = 0.5
_OUTAGES: Final = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED, Kind.ABORTED})


class NotYet(Exception):
    """A handler raises it for an event that came before one it needs, such as a version of its aggregate."""


class Consumers:
    """The durable consumers of one service."""

    def __init__(
        self,
        broker: Broker,
        consumers: Sequence[Consumer[Any]],
        tracing: ServiceTracing,
        metrics: ServiceMetrics,
        logs: Logs,
    ) -> None:
        """Say which events are consumed. Raises ValueError if a contract does not name the service."""
        self._durables = [
            DurableConsumer(broker, consumer, durable_of(broker.service, consumer.event), tracing, metrics, logs)
            for consumer in consumers
        ]

    async def start(self) -> None:
        """Begin to consume, as soon as broker and streams are there."""
        for durable in self._durables:
            durable.start()

    async def stop(self) -> None:
        """Take no more events, finish those being handled, and give the others back."""
        await asyncio.gather(*(durable.stop() for durable in self._durables))

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()


class DurableConsumer(Generic[E]):
    """One service's consumer of one event."""

    def __init__(  # noqa: PLR0913, PLR0917  # built in one place
        self,
        broker: Broker,
        consumer: Consumer[E],
        durable: Durable,
        tracing: ServiceTracing,
        metrics: ServiceMetrics,
        logs: Logs,
    ) -> None:
        """Say what handles which event."""
        self._broker, self._consumer, self._durable, self._tracing = broker, consumer, durable, tracing
        self._log = logs.consumer(broker.service, durable.name)
        self._runner = KeyedRunner()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._trouble = ""
        name, event = "events_handled", consumer.event.DESCRIPTOR.full_name
        self._done = metrics.counter(name, "Events by what became of them.", event=event, outcome="done")
        self._repeated = metrics.counter(name, "Events by what became of them.", event=event, outcome="repeated")
        self._failed = metrics.counter(name, "Events by what became of them.", event=event, outcome="failed")

    def start(self) -> None:
        """Begin to consume."""
        self._task = asyncio.create_task(self._run(), name=f"consumer {self._durable.name}")

    async def stop(self) -> None:
        """Take no more events, and finish those being handled."""
        self._stopping = True
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._runner.finish(STOP_WITHIN)

    async def _run(self) -> None:
        while True:
            try:
                await self._pull(await self._broker.client())
            except NotFoundError:
                self._note("the stream does not exist yet")
            except (nats.errors.Error, OSError) as error:
                self._note(str(error))
            except Exception:
                logger.exception("the consumer failed", extra=self._extra())
            await asyncio.sleep(_RETRY)

    async def _pull(self, client: Client) -> None:
        await ensure_durable(client, self._durable)
        self._note("")
        in_hand = self._consumer.in_hand or IN_HAND
        pull = Pull(client, self._durable, in_hand, lambda message: self._begin(message, pull))
        await pull.run()

    def _begin(self, message: Msg, pull: Pull) -> None:
        key = (message.headers or {}).get(events.AGGREGATE_ID, "")
        self._runner.submit(key, partial(self._work, message, pull))

    async def _work(self, message: Msg, pull: Pull) -> None:
        try:
            # A connection that broke meanwhile loses the answer, and the event comes again.
            with contextlib.suppress(nats.errors.Error):
                await self._answer(message)
        finally:
            pull.done(message)

    async def _answer(self, message: Msg) -> None:
        """Handle an event and tell the stream what became of it."""
        if self._stopping:
            await message.nak()
            return
        try:
            await self._handle(message)
        except asyncio.CancelledError:
            await message.nak()
            raise
        except Exception as error:  # noqa: BLE001  # whatever fails must come again
            await self._answer_failure(message, error)
        else:
            self._done.inc()
            await message.ack()

    async def _handle(self, message: Msg) -> None:
        started = time.perf_counter()
        delivery = read(message, self._consumer.event, self._durable.name)
        event_type, event_id = delivery.message.DESCRIPTOR.full_name, str(delivery.event_id)
        with self._tracing.consuming(message.subject, event_type, event_id, delivery.traceparent):
            async with asyncio.timeout(HANDLER_TIMEOUT):
                await self._consumer.handle(delivery)
        seconds = time.perf_counter() - started
        self._log.handled(delivery.event_id, delivery.aggregate_id, seconds, delivery.traceparent)

    async def _answer_failure(self, message: Msg, error: Exception) -> None:
        """Acknowledge a repeat; have anything else come again. What can never succeed is told apart here."""
        if inbox.is_repeat(error):
            self._repeated.inc()
            logger.debug("event was handled before", extra=self._extra(message))
            await message.ack()
            return
        self._failed.inc()
        attempt = message.metadata.num_delivered
        delay = retry_delay(attempt, error)
        level = logging.DEBUG if isinstance(error, NotYet) else logging.WARNING
        extra = self._extra(message, attempt=attempt, delay=delay, error=repr(error))
        logger.log(level, "event failed", extra=extra, exc_info=attempt == 1 and _is_bug(error))
        await message.nak(delay)

    def _note(self, trouble: str) -> None:
        """Log once why there are no events."""
        if trouble != self._trouble:
            self._trouble = trouble
            level = logging.WARNING if trouble else logging.INFO
            logger.log(level, "no events: %s" if trouble else "events come%s", trouble, extra=self._extra())

    def _extra(self, message: Msg | None = None, **fields: object) -> dict[str, object]:
        headers = (message.headers if message else None) or {}
        found = {"service": self._broker.service, "consumer": self._durable.name, **fields}
        if message:
            found |= {"event_id": headers.get(events.ID), "traceparent": headers.get(HEADER)}
        return {"fields": found}


def retry_delay(attempt: int, error: Exception) -> float:
    """Return the seconds until an event comes again after its n-th attempt."""
    longest = OUTAGE_DELAY if isinstance(error, NotYet) or domain_error_of(error).kind in _OUTAGES else LONGEST_DELAY
    return min(longest, FIRST_DELAY * 2.0 ** min(attempt - 1, 16))


def _is_bug(error: Exception) -> bool:
    return not isinstance(error, NotYet) and domain_error_of(error).kind is Kind.INTERNAL
