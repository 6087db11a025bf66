"""Publishes what services wrote to their outbox. One relay per database is active; those of other replicas stand by.

A row is marked once its stream has acknowledged it. A relay that dies in between leaves it to the next one, which
publishes it again: the stream drops it by its id and, after the stream's memory (two minutes), each consumer's inbox
does. Events of one aggregate are never on their way two at a time, so that they arrive in the order they were written.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final, Self

import nats.errors
import psycopg

from services.chassis.background import end
from services.chassis.broker import Broker
from services.chassis.error_text import describe
from services.chassis.event_streams import Config, ensure_stream
from services.chassis.events import Envelope
from services.chassis.failpoints import failpoint
from services.chassis.health import Report, State
from services.chassis.held import Held
from services.chassis.metrics import Counter
from services.chassis.outbox import Outbox
from services.chassis.outbox_table import Lag, OutboxTable, Row
from services.chassis.publisher import Message, Publisher, Refusal
from services.chassis.tracing import ServiceTracing

logger = logging.getLogger(__name__)

BATCH: Final = 256
INTERVAL: Final = 0.03
"""Seconds from one batch to the next: the first write leaves at once, those that follow closely share a batch."""
POLL: Final = 0.05
"""Seconds between looks for what other processes wrote."""
STANDBY_POLL: Final = 1.0
RETRY: Final = 0.5
STOP_WITHIN: Final = 3.0
LAG_LIMIT: Final = Lag(rows=1000, seconds=10.0)
"""More than this is shown as degraded."""


class Relay:
    """The relay of one service."""

    def __init__(  # noqa: PLR0913, PLR0917  # built in one place
        self,
        database_url: str,
        outbox: Outbox,
        broker: Broker,
        streams: Sequence[Config],
        tracing: ServiceTracing,
        published: Counter | None = None,
    ) -> None:
        """Say where the events are, over what they go, which streams there must be, and what counts them."""
        self._url, self._outbox, self._broker, self._streams = database_url, outbox, broker, streams
        self._tracing = tracing
        self._publisher: Publisher | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._trouble = ""
        self.active = False
        """Whether this is the relay that publishes."""
        self.lag = Lag()
        """What waits to be published, as far as this relay knows: nothing while it stands by."""
        self._published = published or Counter()
        self._held = Held()

    async def start(self) -> None:
        """Begin to publish, or to stand by."""
        self._task = asyncio.create_task(self._run(), name=f"{self._broker.service} relay")

    async def stop(self) -> None:
        """Publish what is there, unless that takes long, and let another relay become active."""
        self._stopping.set()
        self._outbox.wake()
        if self._task:
            await asyncio.wait({self._task}, timeout=STOP_WITHIN)
            await end(self._task)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def report(self) -> Report:
        """Say whether events leave as they should."""
        if self._trouble:
            return Report(State.DEGRADED, self._trouble)
        if self.lag.rows > LAG_LIMIT.rows or self.lag.seconds > LAG_LIMIT.seconds:
            return Report(State.DEGRADED, f"{self.lag.rows} events wait, the oldest for {self.lag.seconds:.0f} s")
        return Report(State.UP, "active" if self.active else "standby")

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with OutboxTable.open(self._url, self._broker.service) as table:
                    await self._stand_by(table)
                    await self._publish_all(table)
            except psycopg.Error as error:
                self._note(f"the database: {describe(error)}")
                await self._pause(RETRY)
            except Exception:
                logger.exception("the relay failed", extra={"fields": {"service": self._broker.service}})
                await self._pause(RETRY)
            finally:
                self.active, self.lag = False, Lag()

    async def _stand_by(self, table: OutboxTable) -> None:
        self._note("")
        while not self._stopping.is_set():
            self.active = await table.try_hold()
            if self.active:
                return
            await self._pause(STANDBY_POLL)

    async def _publish_all(self, table: OutboxTable) -> None:
        while self.active:
            if await self._publish_batch(table):
                continue
            if self._stopping.is_set():
                return
            began = time.monotonic()
            if await self._outbox.written(POLL):
                await asyncio.sleep(began + INTERVAL - time.monotonic())

    async def _publish_batch(self, table: OutboxTable) -> bool:
        """Publish the oldest events; return whether there may be more that can be published now."""
        try:
            publisher = await self._connected()
        except (nats.errors.Error, OSError) as error:
            await self._back_off(table, str(error))
            return False
        rows = await table.unpublished(BATCH, self._held.now())
        if rows:
            await failpoint("relay.before_publish")
        refusals = await publisher.publish([self._message(row) for row in rows])
        taken = [row.position for row, refusal in zip(rows, refusals, strict=True) if not refusal]
        if taken:
            await failpoint("relay.after_publish")
            await table.mark(taken)
            await failpoint("relay.after_mark")
            self._published.inc(len(taken))
        if len(taken) < len(rows) and not self._hold(rows, refusals):
            await self._back_off(table, next(refusal.text for refusal in refusals if refusal))
            return False
        self._note(self._held.trouble)
        self.lag = await table.lag() if len(rows) == BATCH or self._held.trouble else Lag()
        return len(rows) == BATCH

    def _hold(self, rows: Sequence[Row], refusals: Sequence[Refusal | None]) -> bool:
        """Hold the aggregates whose event is at fault; return whether there are any, so that others can go on."""
        at_fault = {
            row.aggregate_id: refusal.text
            for row, refusal in zip(rows, refusals, strict=True)
            if refusal and refusal.for_good
        }
        for aggregate, text in at_fault.items():
            self._held.add(aggregate, text)
        return bool(at_fault)

    async def _connected(self) -> Publisher:
        """Return a publisher whose streams exist. Raises nats.errors.Error."""
        if self._publisher is None or not self._publisher.usable:
            client = self._broker.client_now()
            for stream in self._streams:
                await ensure_stream(client, stream)
            self._publisher = Publisher(client)
            await self._publisher.start()
        return self._publisher

    def _message(self, row: Row) -> Message:
        event_id = str(row.event_id)
        envelope = Envelope(event_id, row.event_type, row.aggregate_id, row.aggregate_version, row.create_time)
        with self._tracing.publishing(row.subject, row.event_type, event_id, row.traceparent) as traceparent:
            return Message(row.subject, row.payload, envelope.headers(traceparent), key=row.aggregate_id)

    async def _back_off(self, table: OutboxTable, trouble: str) -> None:
        self._note(trouble)
        self.lag = await table.lag()
        if self._publisher:
            await self._publisher.stop()
            self._publisher = None
        await self._pause(RETRY)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _note(self, trouble: str) -> None:
        """Log what is wrong once, however often it is met."""
        if trouble != self._trouble:
            self._trouble = trouble
            extra = {"fields": {"service": self._broker.service, "waiting": self.lag.rows}}
            logger.warning("events wait: %s", trouble, extra=extra) if trouble else logger.info(
                "events leave", extra=extra
            )
