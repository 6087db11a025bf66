"""Shows in the metrics how many events of a service are parked."""

import asyncio
import contextlib
from typing import Final

import nats.errors

from services.chassis.background import end
from services.chassis.broker import Broker
from services.chassis.dead_letters import DeadLetters, count
from services.chassis.metrics import ServiceMetrics

INTERVAL: Final = 15.0


class DeadLetterCount:
    """Asks now and then."""

    def __init__(self, broker: Broker, letters: DeadLetters, metrics: ServiceMetrics) -> None:
        """Begin with none known."""
        self._broker, self._letters = broker, letters
        self._known = 0
        self._task: asyncio.Task[None] | None = None
        metrics.gauge("dead_letters", "Events that are parked.", lambda: float(self._known))

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._run(), name=f"{self._letters.service} dead letters")

    async def stop(self) -> None:
        """Ask no more."""
        if self._task:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(nats.errors.Error, OSError):
                self._known = await count(await self._broker.client(), self._letters)
            await asyncio.sleep(INTERVAL)
