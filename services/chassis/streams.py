"""Streams: how many may be open, how long each may live and be silent."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from services.chassis.contract import MethodContract
from services.chassis.errors import DomainError
from services.chassis.overload import RETRY_AFTER
from services.chassis.refusals import Draining, Overloaded, StreamIdle, StreamMaxAge

MAX_OPEN = 1000
"""Streams of one service at once. They hold no place among the calls in flight."""

HARD_STOP_AFTER = 2.0
"""Seconds past its maximum age at which a stream is cut that has not ended by itself."""


class OpenStreams:
    """The open streams of one service."""

    def __init__(self, limit: int = MAX_OPEN) -> None:
        """Open none."""
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cut = False

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._tasks)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count the current task as a stream while the context lasts."""
        if len(self._tasks) >= self._limit:
            raise Overloaded("too many streams are open", retry_after=RETRY_AFTER)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._cut:
                raise
            task.uncancel()
            raise Draining("the process is shutting down") from None
        finally:
            self._tasks.discard(task)

    def cut(self) -> None:
        """End what is still open: the grace is over."""
        self._cut = True
        for task in self._tasks:
            task.cancel()


class StreamTimer:
    """Ends a stream that is silent or old: `async with timer:` around it, `timer.heard()` at each message."""

    def __init__(self, contract: MethodContract, deadline: float) -> None:
        """Count from now; `deadline` is when the stream should have ended, by `time.monotonic()`."""
        self._idle = contract.idle_timeout
        self._end = deadline + HARD_STOP_AFTER
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        """Start counting."""
        await self._timeout.__aenter__()
        self.heard()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say why the stream was ended, if it was."""
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            if not self._timeout.expired():
                raise
            raise self._reason() from None

    def heard(self) -> None:
        """Start the silence anew."""
        left = min(self._idle, self._end - time.monotonic())
        self._timeout.reschedule(asyncio.get_running_loop().time() + left)

    def _reason(self) -> DomainError:
        if time.monotonic() >= self._end:
            return StreamMaxAge("the stream has reached its maximum age")
        return StreamIdle("the stream was silent for too long")
