"""The saga that takes a placed order to CONFIRMED or REJECTED.

Each step may be repeated without a second effect, so nothing is written between steps: a saga that is taken over begins
again with the first. Only the turn to compensation is written, because from then on going forward would be wrong. Every
write is fenced by the saga's version (see `store`), so a process that lost its lease and wakes late writes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from services.order.domain import Inventory, Order, Payment, StepFailed, StepRefused
from services.order.store import Saga

CONFIRMATION_LATE = "CONFIRMATION_LATE"
"""Reason of an order whose confirmation came after `confirm_before`."""


class SagaLog(Protocol):
    """Where a saga's turns and ends are written. Each write says whether this process still held the saga."""

    async def confirm(self, saga: Saga) -> bool:
        """Confirm the order in time."""

    async def turn(self, saga: Saga, reason: str) -> Saga | None:
        """Turn to compensation."""

    async def reject(self, saga: Saga) -> bool:
        """Reject the order once everything was given back."""


class Backoff(Protocol):
    """How long to wait between tries."""

    async def pause(self, attempt: int) -> bool:
        """Wait before the next try of a forward step; False when it has been tried long enough."""

    async def rest(self, attempt: int) -> None:
        """Wait before the next try of a compensation, which is tried for ever."""


class OrderSaga:
    """Runs sagas against the neighbours."""

    def __init__(
        self, inventory: Inventory, payment: Payment, log: SagaLog, backoff: Backoff, *, steps_at_once: int = 32
    ) -> None:
        """Keep the neighbours, the log and the patience.

        Steps beyond `steps_at_once` wait here: a burst of orders would otherwise queue at the neighbours until even
        new orders, which need them too, ran out of time.
        """
        self._turns = asyncio.Semaphore(steps_at_once)
        self._inventory = inventory
        self._payment = payment
        self._log = log
        self._backoff = backoff

    async def run(self, saga: Saga, turned: Callable[[Saga], None]) -> None:
        """Take a saga to its end, or to where another process holds it; `turned` hears of its new version."""
        back = saga if saga.compensating else await self._forward(saga)
        if back is not None:
            turned(back)
            await self._compensate(back)

    async def _forward(self, saga: Saga) -> Saga | None:
        try:
            await self._persist(self._inventory.reserve, saga.order)
            await self._persist(self._payment.authorize, saga.order)
        except (StepRefused, StepFailed) as ended:
            return await self._log.turn(saga, ended.reason)
        if await self._log.confirm(saga):
            return None
        return await self._log.turn(saga, CONFIRMATION_LATE)

    async def _persist(self, step: Callable[[Order], Awaitable[None]], order: Order) -> None:
        """Try a forward step until it is answered. A time-out is an unknown outcome and is compensated at once."""
        attempt = 0
        while True:
            try:
                async with self._turns:
                    await step(order)
            except StepFailed as failed:
                attempt += 1
                if failed.timed_out or not await self._backoff.pause(attempt):
                    raise
            else:
                return

    async def _compensate(self, saga: Saga) -> None:
        await self._insist(self._payment.void, saga.order)
        await self._insist(self._inventory.release, saga.order)
        await self._log.reject(saga)

    async def _insist(self, step: Callable[[Order], Awaitable[None]], order: Order) -> None:
        attempt = 0
        while True:
            try:
                async with self._turns:
                    await step(order)
            except StepFailed:
                attempt += 1
                await self._backoff.rest(attempt)
            else:
                return
