"""Runs work in parallel, but what has the same key one after the other."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


class KeyedRunner:
    """Runs what it is given at once, unless something of the same key is running."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._queues: dict[str, deque[Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, key: str, work: Work) -> None:
        """Run work after all that has the same key."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(work)
            return
        self._queues[key] = deque([work])
        task = asyncio.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, at_most: float) -> None:
        """Wait for all work, and cancel what takes longer than some seconds."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=at_most)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: str) -> None:
        queue = self._queues[key]
        try:
            while queue:
                await self._do(queue.popleft())
        finally:
            del self._queues[key]

    async def _do(self, work: Work) -> None:
        try:
            await work()
        except Exception:
            logger.exception("work failed; what has the same key goes on")
