"""What the runner holds, against a hand-written store: leases that cannot be given back or only seem lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from services.chassis.ids import new_id
from services.chassis.money import Money
from services.order.domain import Change, Line, Order, State
from services.order.runner import SagaRunner
from services.order.store import Saga


class Leases:
    """Renews all leases or none, and cannot be reached to take one back."""

    def __init__(self) -> None:
        self.lost = False
        self.lapsed: list[Saga] = []

    async def extend(self, sagas: Sequence[Saga]) -> set[UUID]:
        return set() if self.lost else {saga.order.id for saga in sagas}

    async def claim(self, limit: int) -> list[Saga]:
        lapsed, self.lapsed = self.lapsed, []
        return lapsed

    async def give_back(self, sagas: Sequence[Saga]) -> None:
        raise psycopg.OperationalError("the database is away")


class Waiting:
    """A saga that waits for an answer until it is stopped."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()

    async def run(self, saga, turned):
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


def an_order() -> Order:
    line = Line(new_id(), "Tea", 1, Money("EUR", 450))
    placed = Change(1, State.PENDING, "", datetime.now(UTC))
    return Order(new_id(), new_id(), new_id(), (line,), line.unit_price, (placed,))


@pytest.fixture
async def saga() -> Waiting:
    return Waiting()


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
async def runner(saga, leases) -> SagaRunner:
    runner = SagaRunner(saga, leases, limit=10, lease=3600)
    runner.begin(an_order())
    await saga.began.wait()
    return runner


@pytest.mark.timeout(10)
async def test_a_process_whose_database_is_away_ends_though_it_holds_sagas(runner, saga):
    keeping = asyncio.create_task(runner.keep())
    await asyncio.sleep(0)

    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping

    assert saga.stopped.is_set()
    assert runner.running == 0


async def test_a_saga_that_may_be_about_to_hear_of_its_own_write_is_not_stopped(runner, saga, leases):
    leases.lost = True
    await runner._tend()
    await asyncio.sleep(0)
    after_one_look = saga.stopped.is_set()

    await runner._tend()
    await saga.stopped.wait()

    assert not after_one_look


async def test_a_saga_whose_lease_lapsed_is_stopped_when_its_own_process_takes_it_over(runner, saga, leases):
    [(held, _)] = runner._held.values()
    leases.lapsed = [replace(held, version=held.version + 1)]

    await runner._tend()
    await saga.stopped.wait()

    assert [held.version for held, _ in runner._held.values()] == [held.version + 1]
