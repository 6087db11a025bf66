"""Virtual time: one scheduler, and an event loop for each simulated process that can be paused or killed.

What is ready at the same moment runs in an order that the seed decides, as nothing in a real shop promises another.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, Protocol


class Owner(Protocol):
    """Whom something that becomes ready belongs to."""

    def run(self, ready: Any) -> None:
        """Run it."""

    def wants(self, ready: Any) -> bool:
        """Whether it is still to be run."""


class Scheduler:
    """Runs all that happens, in the order of virtual time; no real time passes in between."""

    def __init__(self, random: Random) -> None:
        """Begin at zero seconds."""
        self.now = 0.0
        self.running: Owner | None = None
        """Whose loop asyncio knows as the running one."""
        self._random = random
        self._ready: list[tuple[Owner, Any]] = []
        self._timers: list[tuple[float, int, Owner, Any]] = []
        self._count = 0

    def soon(self, owner: Owner, ready: Any) -> None:
        """Run something now."""
        self._ready.append((owner, ready))

    def at(self, when: float, owner: Owner, ready: Any) -> None:
        """Run something at a time."""
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, owner, ready))

    def after(self, delay: float, act: Callable[[], None]) -> None:
        """Do something outside of all processes after some seconds."""
        self.at(self.now + delay, self, act)

    def run(self, ready: Any) -> None:
        """Do what `after` asked for."""
        ready()

    def wants(self, ready: Any) -> bool:
        """Do all of it."""
        return True

    def run_until(self, done: Callable[[], bool], limit: float) -> bool:
        """Run until that is so, and return whether it was within the limit."""
        try:
            while True:
                self._run_ready()
                if done():
                    return True
                if not self._advance(limit):
                    return False
        finally:
            self.running = None
            asyncio._set_running_loop(None)

    def _run_ready(self) -> None:
        while self._ready:
            if len(self._ready) == 1:
                owner, ready = self._ready.pop()
                owner.run(ready)
                continue
            batch, self._ready = self._ready, []
            self._random.shuffle(batch)
            for owner, ready in batch:
                owner.run(ready)

    def _advance(self, limit: float) -> bool:
        """Go to the next moment at which something happens; False if there is none within the limit."""
        timers = self._timers
        while timers and timers[0][0] <= limit:
            when, _, owner, ready = heapq.heappop(timers)
            if owner.wants(ready):
                self.now = max(self.now, when)
                self._ready.append((owner, ready))
                while timers and timers[0][0] <= self.now:
                    self._ready.append(heapq.heappop(timers)[2:])
                return True
        return False


class Ready(asyncio.TimerHandle):
    """A callback that is or becomes ready: asyncio's own handle, without what only debugging needs."""

    __slots__ = ("arguments", "callback", "called_off", "context")

    def __init__(self, callback: Any, arguments: tuple[Any, ...], context: Context | None) -> None:
        """Keep what is to be called."""
        self.callback, self.arguments, self.context = callback, arguments, context
        self.called_off = False

    def cancel(self) -> None:
        """Do not call it."""
        self.called_off = True

    def cancelled(self) -> bool:
        """Whether it is not called any more."""
        return self.called_off

    def __call__(self) -> None:
        """Call it."""
        if self.context is None:
            self.callback(*self.arguments)
        else:
            self.context.run(self.callback, *self.arguments)


class Loop(asyncio.AbstractEventLoop):
    """The event loop of one process, from its start to its end."""

    def __init__(self, scheduler: Scheduler, on_error: Callable[[BaseException], None]) -> None:
        """Run what the scheduler finds due."""
        self._scheduler = scheduler
        self._on_error = on_error
        self._frozen: list[Ready] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self.paused = False
        self.dead = False

    def run(self, ready: Ready) -> None:
        """Run a callback, unless the process is paused or gone."""
        if self.dead or ready.called_off:
            return
        if self.paused:
            self._frozen.append(ready)
            return
        scheduler = self._scheduler
        if scheduler.running is not self:
            asyncio._set_running_loop(self)
            scheduler.running = self
        try:
            ready()
        except Exception as error:  # noqa: BLE001  # nobody else is there to hear of it
            self._on_error(error)

    def wants(self, ready: Ready) -> bool:
        """Whether a callback is still to be run."""
        return not (self.dead or ready.called_off)

    def pause(self) -> None:
        """Run nothing from now on, and keep what becomes due."""
        self.paused = True

    def wake(self) -> None:
        """Go on with what became due."""
        self.paused = False
        frozen, self._frozen = self._frozen, []
        for ready in frozen:
            self._scheduler.soon(self, ready)

    def kill(self) -> None:
        """Run nothing any more, not even what tidies up: as tasks are kept, Python does not tidy up either."""
        self.dead = True

    def bury(self) -> None:
        """Forget the tasks of a process that is gone, once nobody looks at what they touch."""
        self.kill()
        asyncio._set_running_loop(self)
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # of asyncio.Task, and in C
                _exhaust(task.get_coro())  # type: ignore[arg-type]  # tasks made here run coroutines
        self._tasks.clear()
        asyncio._set_running_loop(None)

    def time(self) -> float:
        """Return the virtual time."""
        return self._scheduler.now

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Return whether the process lives."""
        return not self.dead

    def is_closed(self) -> bool:
        """Return whether the process is gone."""
        return self.dead

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]  # any callback
        """Run a callback now."""
        handle = Ready(callback, args, context)
        self._scheduler.soon(self, handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]  # any callback
        """Run a callback after some seconds."""
        return self.call_at(self._scheduler.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]  # any callback
        """Run a callback at a time."""
        handle = Ready(callback, args, context)
        self._scheduler.at(when, self, handle)
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """Return a future."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> Any:
        """Begin a task; a process that is gone begins none."""
        if self.dead:
            coro.close()
            return self.create_future()
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of an exception that nobody caught."""
        error = context.get("exception")
        if error is not None and not self.dead:
            self._on_error(error)


def _exhaust(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine, also one that waits while it is closed."""
    for _ in range(5):
        with contextlib.suppress(Exception):
            coroutine.close()
            return
