"""One durable consumer: pulls messages, has them handled, and tells the stream what became of each."""

import asyncio
import contextlib
import logging
from functools import partial
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from services.chassis import events, inbox
from services.chassis.background import end
from services.chassis.broker import Broker
from services.chassis.dead_letters import Cause, DeadLetters, park
from services.chassis.delivery import MalformedEventError
from services.chassis.error_text import describe, trace
from services.chassis.errors import Kind
from services.chassis.event_streams import Config, Durable, ensure_durable, ensure_stream
from services.chassis.handling import Handlers, Outcomes, handler_of
from services.chassis.keyed import KeyedRunner
from services.chassis.pull import Pull
from services.chassis.retries import SHORT_DELAY, NotYet, Retries
from services.chassis.status import domain_error_of
from services.chassis.tracing import HEADER

logger = logging.getLogger(__name__)

IN_HAND: Final = 32
"""Events of one durable consumer that a process works on at once."""
STOP_WITHIN: Final = 10.0
_RETRY: Final = 0.5


class DurableConsumer:
    """One durable of one service."""

    def __init__(  # noqa: PLR0913  # built in one place
        self,
        broker: Broker,
        durable: Durable,
        handlers: Handlers,
        letters: DeadLetters,
        unreadable: Outcomes,
        *,
        in_hand: int | None = None,
        stream: Config | None = None,
    ) -> None:
        """Say what handles which event, where dead letters go, and which stream is the service's own to make."""
        self._broker, self._durable, self._handlers, self._letters = broker, durable, handlers, letters
        self._unreadable, self._in_hand, self._stream = unreadable, in_hand or IN_HAND, stream
        self._runner = KeyedRunner()
        self._retries = Retries()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._trouble = ""

    def start(self) -> None:
        """Begin to consume."""
        self._task = asyncio.create_task(self._run(), name=f"consumer {self._durable.name}")

    async def stop(self) -> None:
        """Take no more events, and finish those being handled."""
        self._stopping = True
        if self._task:
            await end(self._task)
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
        if self._stream:
            await ensure_stream(client, self._stream)
        await ensure_durable(client, self._durable)
        self._note("")
        pull = Pull(client, self._durable, self._in_hand, lambda message: self._begin(message, pull))
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
        outcomes, name = self._unreadable, self._durable.name
        try:
            handler = handler_of(message, self._handlers)
            outcomes, name = handler.outcomes, handler.name
            await handler.handle(message, redriven=self._stream is not None)
        except asyncio.CancelledError:
            await message.nak()
            # A call of the handler's that somebody else cancelled raises this too, and the next event must not end with it.
            if (task := asyncio.current_task()) and task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001  # whatever fails must come again, or be parked
            await self._answer_failure(message, error, outcomes, name)
        else:
            self._retries.forget(message.metadata.sequence.stream)
            outcomes.done.inc()
            await message.ack()

    async def _answer_failure(self, message: Msg, error: Exception, outcomes: Outcomes, name: str) -> None:
        """Acknowledge a repeat; have anything else come again, or park what came too often."""
        metadata = message.metadata
        if inbox.is_repeat(error):
            outcomes.repeated.inc()
            logger.debug("event was handled before", extra=self._extra(message))
            self._retries.forget(metadata.sequence.stream)
            await message.ack()
            return
        outcomes.failed.inc()
        delay = self._retries.delay(metadata.sequence.stream, metadata.num_delivered, error)
        self._log_failure(message, error, delay)
        if delay is None:
            await self._park(message, Cause(name, _reason(error), describe(error)), outcomes)
        else:
            await message.nak(delay)

    async def _park(self, message: Msg, cause: Cause, outcomes: Outcomes) -> None:
        """Store an event among the dead letters and give it up here; while nothing stores it, have it come again."""
        try:
            await park(self._broker.client_now(), self._letters, message, cause)
        except (nats.errors.Error, OSError) as error:
            logger.warning("event cannot be parked: %s", error, extra=self._extra(message))
            await message.nak(SHORT_DELAY)
            return
        await message.term()
        self._retries.forget(message.metadata.sequence.stream)
        outcomes.parked.inc()

    def _log_failure(self, message: Msg, error: Exception, delay: float | None) -> None:
        attempt = message.metadata.num_delivered
        fields: dict[str, object] = {"attempt": attempt, "delay": delay, "error": describe(error)}
        if attempt == 1 and _is_bug(error):
            fields["exception"] = trace(error)
        extra = self._extra(message, **fields)
        if delay is None:
            logger.error("event is parked", extra=extra)
        else:
            logger.log(logging.DEBUG if isinstance(error, NotYet) else logging.WARNING, "event failed", extra=extra)

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


def _reason(error: Exception) -> str:
    if isinstance(error, MalformedEventError):
        return "MALFORMED"
    return "NOT_YET" if isinstance(error, NotYet) else "FAILED"


def _is_bug(error: Exception) -> bool:
    return not isinstance(error, (NotYet, MalformedEventError)) and domain_error_of(error).kind is Kind.INTERNAL
