"""Runs sagas in the background: those begun here, and those whose process died."""

import asyncio
import contextvars
import logging
import random
from collections.abc import Sequence
from uuid import UUID

from services.chassis.background import to_its_end
from services.chassis.tracing import following, outgoing
from services.order.domain import Order, SagaBacklogFull
from services.order.saga import OrderSaga
from services.order.store import OrderStore, Saga, saga_of

logger = logging.getLogger(__name__)

CLAIM_BATCH = 100
"""Most sagas taken over at once."""


class Patience:
    """Waits between tries: 50 ms doubling to 1 s, with full jitter; forward steps for a bounded time."""

    def __init__(self, seconds: float) -> None:
        """Keep how long a forward step may be tried."""
        self._seconds = seconds

    async def pause(self, attempt: int) -> bool:
        """Wait before the next try of a forward step; False when its time is over."""
        if self._longest(attempt) > self._seconds:
            return False
        await self.rest(attempt)
        return True

    async def rest(self, attempt: int) -> None:
        """Wait before the next try."""
        await asyncio.sleep(random.uniform(0.5, 1) * _delay(attempt))  # noqa: S311  # not for secrets

    def _longest(self, attempt: int) -> float:
        return sum(_delay(n) for n in range(1, attempt + 1))


def _delay(attempt: int) -> float:
    return min(1.0, 0.05 * float(2 ** min(attempt - 1, 10)))


class SagaRunner:
    """Holds a bounded number of sagas. Each runs in an empty context: no deadline and no credentials of a request."""

    def __init__(self, saga: OrderSaga, store: OrderStore, *, limit: int, lease: float) -> None:
        """Keep what runs a saga, how many at most, and how long a lease lasts in seconds."""
        self._saga = saga
        self._store = store
        self._limit = limit
        self._lease = lease
        self._held: dict[UUID, tuple[Saga, asyncio.Task[None]]] = {}
        self._missed: set[tuple[UUID, int]] = set()
        self._accepting = True

    @property
    def running(self) -> int:
        """How many sagas this process holds."""
        return len(self._held)

    def require_room(self) -> None:
        """Raise SagaBacklogFull when no further saga can be held."""
        if len(self._held) >= self._limit:
            raise SagaBacklogFull(f"{self._limit} orders are on their way already", retry_after=1.0)

    def begin(self, order: Order) -> None:
        """Run the saga of an order that was just placed. Without an effect while shutting down: another takes it over."""
        if self._accepting:
            self._start(saga_of(order))

    def _start(self, saga: Saga) -> None:
        trace = outgoing()  # of the call that placed the order; a new one where a lapsed saga is taken over
        _, lapsed = self._held.get(saga.order.id, (None, None))
        if lapsed:  # lost its lease and was taken over by its own process; it may not speak for the saga any more
            lapsed.cancel()
        task = asyncio.get_running_loop().create_task(self._run(saga, trace), context=contextvars.Context())
        self._held[saga.order.id] = (saga, task)

    async def _run(self, saga: Saga, trace: str) -> None:
        try:
            with following(trace):
                await self._saga.run(saga, self._turned)
        except Exception:
            extra = {"order_id": str(saga.order.id)}
            logger.exception("saga stopped; it is taken over when its lease lapses", extra=extra)
        finally:
            self._finished(saga.order.id)

    def _turned(self, saga: Saga) -> None:
        self._held[saga.order.id] = (saga, self._held[saga.order.id][1])

    def _finished(self, order_id: UUID) -> None:
        """Let go of a saga, unless it was taken over again by this process or is being given back."""
        _, task = self._held.get(order_id, (None, None))
        if self._accepting and task is asyncio.current_task():
            del self._held[order_id]

    async def keep(self) -> None:
        """Renew leases and take over lapsed sagas until cancelled; then stop all and give the leases back."""
        try:
            while True:
                await self._tend()
                await asyncio.sleep(self._lease / 4)
        finally:
            await to_its_end(self._stop())

    async def _tend(self) -> None:
        try:
            await self._extend([saga for saga, _ in self._held.values()])
            room = min(CLAIM_BATCH, self._limit - len(self._held))
            for saga in await self._store.claim(room) if room > 0 else ():
                self._start(saga)
        except Exception:
            logger.exception("sagas cannot be tended; trying again")

    async def _extend(self, sagas: Sequence[Saga]) -> None:
        if not sagas:
            return
        kept = await self._store.extend(sagas)
        missed = {(saga.order.id, saga.version) for saga in sagas if saga.order.id not in kept}
        lost, self._missed = missed & self._missed, missed
        for saga in sagas:
            if (saga.order.id, saga.version) in lost:
                self._drop(saga)

    def _drop(self, lost: Saga) -> None:
        """Stop a saga that another process holds now. One that moved on meanwhile is left alone.

        Missed once, it may just not have heard the answer to a write of its own: stopped then, it would wait for its
        lease to lapse.
        """
        held = self._held.get(lost.order.id)
        if held is not None and held[0] == lost:
            held[1].cancel()

    async def _stop(self) -> None:
        self._accepting = False
        held = list(self._held.values())
        for _, task in held:
            task.cancel()
        await asyncio.gather(*(task for _, task in held), return_exceptions=True)
        self._held.clear()
        try:
            await self._store.give_back([saga for saga, _ in held])
        except Exception:  # raised from here, it would hide the cancellation, and the process would never end
            logger.exception("leases cannot be given back; they lapse")
