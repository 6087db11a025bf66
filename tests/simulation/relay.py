"""The relay of one process, in the manner of the chassis's: one per database is active, and marks what was taken."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import nats.errors
import psycopg

from services.chassis.outbox import Outbox
from services.chassis.outbox_table import HELD_FOR
from tests.simulation.broker import Broker
from tests.simulation.links import Link
from tests.simulation.loop import Loop
from tests.simulation.tables.chassis import Event, Tables

POLL: Final = 5.0
"""Seconds between looks for what other processes wrote; they are hinted at it, too."""
RETRY: Final = 0.5


class Lock:
    """PostgreSQL's advisory lock of the active relay. It ends with the session, also of one that hangs."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin with nobody holding it."""
        self._now = now
        self._holder: Loop | None = None
        self._until = 0.0

    @property
    def holder(self) -> Loop | None:
        """The process that has it, as far as that is up to it."""
        found = self._holder
        return found if found and not found.dead and not found.paused else None

    def try_hold(self, loop: Loop) -> bool:
        """Take or keep the lock, unless another process has it."""
        if self._holder is None or self._holder.dead or self._now() >= self._until:
            self._holder = loop
        if self._holder is not loop:
            return False
        self._until = self._now() + HELD_FOR
        return True


class Store(Protocol):
    """Where the events are."""

    tables: Tables
    lock: Lock
    link: Link


class Relay:
    """Publishes what services wrote."""

    def __init__(self, store: Store, outbox: Outbox, broker: Broker, loop: Loop) -> None:
        """Keep the collaborators."""
        self._store, self._outbox, self._broker, self._loop = store, outbox, broker, loop

    async def run(self) -> None:
        """Publish, or stand by, until cancelled."""
        while True:
            try:
                await self._publish_all()
            except (psycopg.OperationalError, nats.errors.Error):
                await asyncio.sleep(RETRY)
            else:
                await self._outbox.written(POLL)

    async def _publish_all(self) -> None:
        if all(row.published for row in self._store.tables.outbox):
            return  # a look that finds nothing changes nothing, and most do
        rows = await self._store.link.ask(self._unpublished)
        if not rows:
            return
        by_aggregate: defaultdict[str, list[Event]] = defaultdict(list)
        for row in rows:
            by_aggregate[row.aggregate_id].append(row)
        published = await asyncio.gather(*map(self._publish, by_aggregate.values()))
        taken = [row for some in published for row in some]
        await self._store.link.ask(lambda: self._mark(taken))
        if len(taken) < len(rows):
            raise nats.errors.Error("the broker did not take all")

    def _unpublished(self) -> list[Event]:
        if not self._store.lock.try_hold(self._loop):
            return []
        return [row for row in self._store.tables.outbox if not row.published]

    async def _publish(self, rows: Sequence[Event]) -> list[Event]:
        """Publish events of one aggregate in their order, and return those that were acknowledged."""
        taken = []
        for row in rows:
            try:
                await self._broker.link.ask(lambda row=row: self._broker.append(row))  # type: ignore[misc]
            except nats.errors.Error:
                break
            taken.append(row)
        return taken

    def _mark(self, rows: Sequence[Event]) -> None:
        if not self._store.lock.try_hold(self._loop):
            raise psycopg.OperationalError("the session was ended")
        for row in rows:
            row.published = True
