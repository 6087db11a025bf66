"""Tells the world of changed stock: at most one event per product and interval, with the newest figures.

A reservation only marks its products here, so that it costs no event. What a crash left marked is found by a sweep.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from services.chassis.outbox import Outbox
from services.inventory import messages
from services.inventory.stock_store import News, StockStore

BATCH: Final = 500
"""Most products that are published in one statement."""


class StockFeed:
    """Publishes the changes of the products that are marked."""

    def __init__(self, store: StockStore, outbox: Outbox, *, interval: float, sweep_interval: float) -> None:
        """Keep how often changes are published, and how often the whole stock is searched for them, in seconds."""
        self._store = store
        self._outbox = outbox
        self._interval = interval
        self._sweep_interval = sweep_interval
        self._marked: set[UUID] = set()
        self._wake = asyncio.Event()
        self._published = asyncio.Event()

    def mark(self, product_ids: Iterable[UUID]) -> None:
        """Say that the figures of products changed. Called after that was committed."""
        self._marked.update(product_ids)
        self._wake.set()

    async def published(self, within: float) -> None:
        """Wait until this process publishes something, or for so many seconds."""
        await _set(self._published, within)

    async def run(self) -> None:
        """Publish until cancelled. After an error the chassis begins it anew."""
        sweep_at = time.monotonic()
        while True:
            if time.monotonic() >= sweep_at:
                self._marked.update(await self._store.behind())
                sweep_at = time.monotonic() + self._sweep_interval
            await self.publish()
            await asyncio.sleep(self._interval)
            await _set(self._wake, sweep_at - time.monotonic())

    async def publish(self) -> None:
        """Publish the changes of all products that are marked now."""
        self._wake.clear()
        marked, self._marked = self._marked, set()
        try:
            for some in _batches(marked):
                marked.difference_update(await self._publish(some))
        finally:
            if marked:
                self.mark(marked)

    async def _publish(self, product_ids: Sequence[UUID]) -> set[UUID]:
        """Return the products that need no more publishing."""
        news = await self._store.news(product_ids)
        behind = {item.stock.product_id for item in news}
        if not news:
            return set(product_ids)
        published = await self._store.publish(news, [event for item in news for event in self._events(item)])
        self._outbox.wake()
        self._tell()
        return set(product_ids) - behind | published

    def _events(self, news: News) -> Iterator[Mapping[str, Any]]:
        product_id = news.stock.product_id
        if news.changed:
            yield self._outbox.parameters(messages.stock_changed(news.stock), product_id)
        if news.depleted:
            yield self._outbox.parameters(messages.stock_depleted(news.stock), product_id)

    def _tell(self) -> None:
        self._published.set()
        self._published = asyncio.Event()


def _batches(product_ids: Iterable[UUID]) -> Iterator[Sequence[UUID]]:
    left = iter(sorted(product_ids))
    while some := list(itertools.islice(left, BATCH)):
        yield some


async def _set(event: asyncio.Event, within: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
