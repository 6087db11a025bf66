"""Events gather while others are written, and what fails harms nobody else."""

import asyncio

import psycopg
import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from services.chassis.batch import Batch, Gathered
from services.chassis.delivery import Delivery
from tests.support.events import delivery


class Table:
    """Where batches are written: writes down which, waits where a test holds it, refuses what a test names."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self.refused: dict[str, Exception] = {}

    async def write(self, batch: Batch[OrderConfirmed]) -> None:
        names = [delivery.message.order_id for delivery in batch.deliveries]
        self.batches.append(names)
        self.entered.set()
        await self.open.wait()
        for name in names:
            if name in self.refused:
                raise self.refused[name]

    @property
    def written(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def table() -> Table:
    return Table()


def an_event(name: str) -> Delivery[OrderConfirmed]:
    return delivery(OrderConfirmed(order_id=name))


async def begin(gathered: Gathered, *names: str) -> list[asyncio.Task[None]]:
    """Hand events over, each by itself; return what waits for them."""
    tasks = [asyncio.create_task(gathered.handle(an_event(name))) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_what_arrives_while_a_batch_is_written_is_the_next_batch_in_order(table):
    gathered = Gathered(table.write)
    table.open.clear()
    first = await begin(gathered, "a")
    await table.entered.wait()
    rest = await begin(gathered, "b", "c", "d")
    assert not any(task.done() for task in [*first, *rest])

    table.open.set()
    await asyncio.gather(*first, *rest)

    assert table.batches == [["a"], ["b", "c", "d"]]


async def test_a_batch_has_a_limit(table):
    gathered = Gathered(table.write, limit=2)
    await asyncio.gather(*await begin(gathered, *"abcde"))

    assert table.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_what_fails_alone_holds_nobody_up(table):
    table.refused["b"] = ValueError("b is poison")
    outcomes = await asyncio.gather(*await begin(Gathered(table.write), *"abc"), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert table.batches == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_an_outage_fails_the_whole_batch_at_once(table):
    table.refused["a"] = psycopg.OperationalError("the database is away")
    outcomes = await asyncio.gather(*await begin(Gathered(table.write), *"abc"), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [psycopg.OperationalError] * 3
    assert table.batches == [["a", "b", "c"]]


async def test_an_event_that_nobody_waits_for_any_more_is_left_out(table):
    gathered = Gathered(table.write)
    table.open.clear()
    first = await begin(gathered, "a")
    await table.entered.wait()
    [given_up, kept] = await begin(gathered, "b", "c")
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)

    table.open.set()
    await asyncio.gather(*first, kept)

    assert table.batches == [["a"], ["c"]]


async def test_events_are_handled_after_a_quiet_time_too(table):
    gathered = Gathered(table.write)
    for name in "ab":
        await asyncio.gather(*await begin(gathered, name))

    assert table.written == ["a", "b"]
