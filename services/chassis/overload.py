"""Bounds of a service: so many calls at once, so many waiting, and the rest is refused at once."""

import asyncio
from collections import deque

from services.chassis.refusals import Overloaded

RETRY_AFTER = 0.5
"""Seconds after which a refused caller may come back."""


class Admission:
    """Places for calls in flight, and a bounded queue for them. First come, first served.

    `enter` is `if not admission.try_enter(): await admission.wait()`: a call that finds a place pays no await.
    """

    def __init__(self, max_in_flight: int, max_queue: int) -> None:
        """Open all places."""
        self._free = max_in_flight
        self._max_queue = max_queue
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def queued(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    def try_enter(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self._free > 0 and not self._queue:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait for a place. Raises Overloaded when the queue is full."""
        if len(self._queue) >= self._max_queue:
            raise Overloaded("the service is overloaded", retry_after=RETRY_AFTER)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            self._give_up(place)
            raise

    def leave(self) -> None:
        """Give the place to the next in the queue, or back."""
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _give_up(self, place: "asyncio.Future[None]") -> None:
        """Leave the queue; a place that was given in the same moment goes on to the next."""
        if place.cancelled():
            if place in self._queue:
                self._queue.remove(place)
        else:
            self.leave()
