"""The way to whatever answers in one step: a database, the card processor, the broker. Questions and answers get lost."""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

from tests.simulation.loop import Scheduler
from tests.simulation.plan import Weather

T = TypeVar("T")

_CALM: Final = Weather(0.0, 0.0, 0.0, 0.0)
_STORM: Final = Weather(0.2, 0.5, 0.2, 0.1)


class Chance:
    """Decides what happens to a message on its way."""

    def __init__(self, random: Random, weather: Weather) -> None:
        """Draw from a random generator."""
        self.random, self.weather = random, weather
        self._usual = weather
        self.under_way = 0
        """Questions and calls that have not arrived yet."""

    def calm(self) -> None:
        """Let nothing go wrong from now on."""
        self.weather = self._usual = _CALM

    def storm(self) -> None:
        """Let most go wrong for a while, unless all is calm already."""
        self.weather = self._usual if self._usual is _CALM else _STORM

    def clear(self) -> None:
        """End a storm."""
        self.weather = self._usual

    def delay(self) -> float:
        """Return how long a message takes: less than any deadline, unless it is slow."""
        roll = self.random.random()
        slow = self.weather.slow * 0.5
        return 0.3 + roll / slow * 6.0 if roll < slow else 0.002 + roll * 0.15

    def refused(self) -> bool:
        """Whether a question does not arrive."""
        return self.weather.refused > 0.0 and self.random.random() < self.weather.refused

    def unanswered(self) -> bool:
        """Whether an answer does not arrive."""
        return self.weather.unanswered > 0.0 and self.random.random() < self.weather.unanswered

    def doubled(self) -> bool:
        """Whether a message arrives twice."""
        return self.weather.doubled > 0.0 and self.random.random() < self.weather.doubled


class Link:
    """A connection to something that acts in one step. When it breaks, the process hears so at once or at the end."""

    def __init__(self, scheduler: Scheduler, chance: Chance, broken: Callable[[], Exception]) -> None:
        """Say what a process is told when the connection breaks."""
        self._scheduler, self._chance, self._broken = scheduler, chance, broken
        self.down = False

    async def ask(self, act: Callable[[], T]) -> T:
        """Have something done there. Raises what `broken` returns; then nobody knows whether it was done."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._chance.under_way += 1
        self._scheduler.after(self._chance.delay(), partial(self._arrive, future, act))
        return await future

    def _arrive(self, future: "asyncio.Future[T]", act: Callable[[], T]) -> None:
        self._chance.under_way -= 1
        if self.down or self._chance.refused():
            self._answer(future, None, self._broken())
            return
        try:
            result, error = act(), None
        except Exception as refusal:  # noqa: BLE001  # it is the answer
            result, error = None, refusal
        if self._chance.unanswered():
            error = self._broken()
        delay = self._chance.delay()
        if delay < _SOON:
            self._answer(future, result, error)
        else:
            self._scheduler.after(delay, partial(self._answer, future, result, error))

    def _answer(self, future: "asyncio.Future[T]", result: Any, error: Exception | None) -> None:
        if future.done() or future.get_loop().is_closed():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)


_SOON: Final = 0.07
"""An answer that takes no longer arrives at once: that nothing comes between it and the deed is worth trying too."""
