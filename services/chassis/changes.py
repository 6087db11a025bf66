"""Wakes those who wait for a change: of an order, of what a customer is told."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

POLL_INTERVAL = 0.25
"""Seconds after which a waiter looks by itself, because another process may have made the change."""


class Changes:
    """Tells waiters in this process that something changed, by its id."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._waiters: dict[UUID, set[asyncio.Event]] = defaultdict(set)

    def announce(self, changed_id: UUID) -> None:
        """Wake all who wait for it."""
        for event in self._waiters.get(changed_id, ()):
            event.set()

    @contextmanager
    def subscribe(self, changed_id: UUID) -> Iterator["Subscription"]:
        """Listen for changes. Those made before the look that follows are not missed."""
        event = asyncio.Event()
        self._waiters[changed_id].add(event)
        try:
            yield Subscription(event)
        finally:
            waiting = self._waiters[changed_id]
            waiting.discard(event)
            if not waiting:
                del self._waiters[changed_id]


class Subscription:
    """One waiter."""

    def __init__(self, event: asyncio.Event) -> None:
        """Keep what wakes it."""
        self._event = event

    async def wait(self, timeout: float = POLL_INTERVAL) -> None:  # noqa: ASYNC109  # waiting shorter is no error
        """Return at the next change, or when it is time to look again."""
        try:
            async with asyncio.timeout(min(timeout, POLL_INTERVAL)):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()
