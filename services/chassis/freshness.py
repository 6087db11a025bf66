"""Up to when the events that a service hears are handled, for services whose answers follow from events.

`as_of` is a time at which the broker had nothing that is not handled by now. When nothing is pending that is the time
of asking. Else it is the newest earlier look at which the stream ended before the first event that is not handled yet:
an event that keeps failing holds it back, until it succeeds or is parked. What publishers did not publish yet is unknown.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.chassis.broker import Broker
from services.chassis.event_streams import Durable, ask

INTERVAL: Final = 5.0
"""Seconds between looks while nobody asks."""
_LOOK_TIMEOUT: Final = 0.5
_REMEMBERED: Final = 2000


@dataclass(frozen=True, slots=True)
class Reached:
    """How far events are handled."""

    as_of: datetime | None = None
    """None while it is not known."""
    pending: int = 0
    """Events that the broker has and that are not handled, as of the last look."""


class _Mark(NamedTuple):
    time: datetime
    last: int
    """The last sequence of the stream then, or a moment later."""


class Freshness:
    """Looks at the durables of one service."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._broker: Broker | None = None
        self._durables: Sequence[Durable] = ()
        self._marks: dict[str, deque[_Mark]] = {}
        self._as_of: dict[str, datetime] = {}
        self._reached = Reached()
        self._look: asyncio.Task[None] | None = None

    def watch(self, broker: Broker, durables: Sequence[Durable]) -> None:
        """Say what the service hears."""
        self._broker, self._durables = broker, durables
        self._marks = {durable.stream: deque(maxlen=_REMEMBERED) for durable in durables}

    async def reached(self) -> Reached:
        """Look, and return how far events are handled; what was known before if the broker does not answer."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._try(), name="freshness")
        await asyncio.shield(self._look)
        return self._reached

    async def run(self) -> None:
        """Look now and then, so that there is something to compare with when events are pending."""
        while True:
            await self.reached()
            await asyncio.sleep(INTERVAL)

    async def _try(self) -> None:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(_LOOK_TIMEOUT):
                if self._broker:
                    await self._see(self._broker.client_now())

    async def _see(self, client: Client) -> None:
        now = datetime.now(UTC)
        missing = await self._mark_streams(client, now)
        durables = [durable for durable in self._durables if durable.stream not in missing]
        self._as_of |= {durable.name: now for durable in self._durables if durable.stream in missing}
        infos = await asyncio.gather(*(_consumer(client, durable) for durable in durables))
        for durable, info in zip(durables, infos, strict=True):
            self._note(durable, info, now)
        complete = len(self._as_of) == len(self._durables)
        self._reached = Reached(
            min(self._as_of.values(), default=now) if complete else None, sum(_pending(info) for info in infos)
        )

    async def _mark_streams(self, client: Client, now: datetime) -> set[str]:
        """Remember where each stream ends, and return those that do not exist yet, in which nothing is pending."""
        lasts = await asyncio.gather(*(_last(client, stream) for stream in self._marks))
        found = dict(zip(self._marks, lasts, strict=True))
        for stream, last in found.items():
            if last is not None:
                _remember(self._marks[stream], _Mark(now, last))
        return {stream for stream, last in found.items() if last is None}

    def _note(self, durable: Durable, info: dict[str, Any], now: datetime) -> None:
        if _pending(info) == 0:
            self._as_of[durable.name] = now
            return
        done = info["ack_floor"]["stream_seq"]
        times = [mark.time for mark in self._marks[durable.stream] if mark.last <= done]
        if times:
            self._as_of[durable.name] = max(times[-1], self._as_of.get(durable.name, times[-1]))


def _remember(marks: deque[_Mark], mark: _Mark) -> None:
    """Keep the newest time for each end of a stream."""
    if marks and marks[-1].last == mark.last:
        marks.pop()
    marks.append(mark)


async def _last(client: Client, stream: str) -> int | None:
    try:
        return int((await ask(client, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
    except NotFoundError:
        return None


async def _consumer(client: Client, durable: Durable) -> dict[str, Any]:
    return await ask(client, f"CONSUMER.INFO.{durable.stream}.{durable.name}")


def _pending(info: dict[str, Any]) -> int:
    return int(info["num_pending"]) + int(info["num_ack_pending"])
