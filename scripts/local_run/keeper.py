"""Keeps programs running: starts again what dies, and lets a test or the demo kill and hold what it likes."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from scripts.local_run.program import Program, ProgramError

_LOOK = 0.05
_FIRST_BACKOFF, _LAST_BACKOFF, _STEADY = 0.1, 5.0, 10.0

_log = logging.getLogger(__name__)


class Part(Protocol):
    """One program, with its own way to start and stop."""

    @property
    def program(self) -> Program:
        """The program itself."""

    def start(self) -> None:
        """Start it; return once it is of use."""

    def stop(self) -> None:
        """Stop it in its own way."""


@dataclass
class Kept:
    """A part and how it fares."""

    name: str
    part: Part
    held: bool = False
    """Whether it stays down until somebody restarts it."""
    restarts: int = 0
    backoff: float = 0.0
    started: float = 0.0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever starts or stops it."""

    def next_backoff(self) -> float:
        """Return how long to wait before the next start: longer each time, unless it had been running steadily."""
        steady = time.monotonic() - self.started > _STEADY
        self.backoff = _FIRST_BACKOFF if steady else min(max(2 * self.backoff, _FIRST_BACKOFF), _LAST_BACKOFF)
        return self.backoff


class Keeper:
    """The running parts, by name."""

    def __init__(self, on_change: Callable[[dict[str, Program]], None]) -> None:
        """Say whom to tell which programs run."""
        self.parts: dict[str, Kept] = {}
        self._on_change = on_change
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, name: str, part: Part) -> None:
        """Start a part and keep it running; return once it is ready."""
        kept = self.parts[name] = Kept(name, part)
        async with kept.turn:
            await self._start(kept)
        self._tasks.append(asyncio.create_task(self._keep(kept)))

    async def kill(self, name: str, *, hold: bool) -> None:
        """End a part as a crash would; with `hold` it stays down."""
        kept = self.parts[name]
        kept.held = hold
        kept.ready.clear()
        await asyncio.to_thread(kept.part.program.kill)

    async def restart(self, name: str) -> None:
        """Stop a part if it runs, and start it; return once it is ready."""
        kept = self.parts[name]
        async with kept.turn:
            kept.ready.clear()
            kept.held = False
            await asyncio.to_thread(kept.part.stop)
            await self._start(kept)

    def hurry(self, name: str) -> None:
        """Wait before the next start of a part no longer than before its first."""
        self.parts[name].backoff = 0.0

    async def relax(self) -> None:
        """Start nothing again from now on."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def stop(self, names: Iterable[str]) -> None:
        """Stop parts side by side; names of parts that were never added are ignored."""
        parts = [self.parts[name].part for name in names if name in self.parts]
        await asyncio.gather(*(asyncio.to_thread(part.stop) for part in parts))

    async def _start(self, kept: Kept) -> None:
        kept.started = time.monotonic()
        await asyncio.to_thread(kept.part.start)
        kept.ready.set()
        self._on_change({name: each.part.program for name, each in self.parts.items()})

    async def _keep(self, kept: Kept) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            if kept.part.program.running or kept.held or kept.turn.locked():
                continue
            kept.ready.clear()
            _log.warning("%s ended with status %s and is started again", kept.name, kept.part.program.status)
            await asyncio.sleep(kept.next_backoff())
            async with kept.turn:
                await self._revive(kept)

    async def _revive(self, kept: Kept) -> None:
        if kept.held or kept.part.program.running:  # somebody was faster
            return
        kept.restarts += 1
        try:
            await self._start(kept)
        except ProgramError as error:
            _log.warning("%s", error)
