"""Work that runs beside the calls for as long as the process does."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from services.chassis.service import Task

logger = logging.getLogger(__name__)

RESTART_DELAY = 1.0
"""Seconds before work that failed is begun again."""
CANCEL_AGAIN = 2.0
"""Seconds after which a task that goes on is cancelled again."""


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and return when it has ended.

    Once may not be enough: asyncio.wait_for of Python 3.11, which the NATS client uses, drops a cancellation that comes
    at the moment of its result, and the task would go on for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN)


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what a cancelled task still owes, also when it is cancelled again meanwhile. Raises what the work raises."""
    working = asyncio.ensure_future(work)
    while not working.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({working})
    working.result()


class Background:
    """Tasks of one owner."""

    def __init__(self, owner: str, tasks: Iterable[Task]) -> None:
        """Run nothing yet."""
        self._owner, self._tasks = owner, tuple(tasks)
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin all tasks."""
        self._running = [
            asyncio.create_task(self._keep_running(task), name=f"{self._owner} {task.name}") for task in self._tasks
        ]

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they gave back what they hold."""
        await asyncio.gather(*map(end, self._running))

    async def _keep_running(self, task: Task) -> None:
        """Begin a task again whenever it fails or ends: a service without its background work is not whole."""
        while True:
            try:
                await task.run()
            except Exception:
                logger.exception("task failed", extra={"fields": {"service": self._owner, "task": task.name}})
            await asyncio.sleep(RESTART_DELAY)
