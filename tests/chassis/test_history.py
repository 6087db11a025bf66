"""The history of an event is all that its stream holds, in order, however much that is."""

import json

import nats.errors
import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from services.chassis import history
from services.chassis.event_streams import durable_of, ensure_stream, streams_of
from services.chassis.history import History

DURABLE = durable_of("analytics", OrderConfirmed)
SUBJECT, ANOTHER = "meshmart.order.v1.OrderConfirmed", "meshmart.order.v1.OrderPlaced"


@pytest.fixture
async def admin(nats, monkeypatch):
    monkeypatch.setattr(history, "SIZE", 10)
    monkeypatch.setattr(history, "_PATIENCE", 1.0)
    admin = await nats.connect()
    await ensure_stream(admin, streams_of("order")[0])
    yield admin
    await admin.close()


async def publish(admin, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await admin.jetstream().publish(f"{SUBJECT}.{number % 16}", json.dumps(number).encode())
        await admin.jetstream().publish(f"{ANOTHER}.{number % 16}", b"of no concern")


async def numbers(opened: History) -> list[list[int]]:
    return [[json.loads(message.data) for message in batch] async for batch in opened.batches()]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 45])
async def test_it_is_read_whole_and_in_order(admin, count):
    await publish(admin, 1, count)

    async with History(admin, DURABLE) as opened:
        batches = await numbers(opened)

    assert opened.count == count
    assert [number for batch in batches for number in batch] == list(range(1, count + 1))
    assert all(len(batch) == 10 for batch in batches[:-1])


async def test_what_comes_after_it_was_opened_is_left_out(admin):
    await publish(admin, 1, 12)
    async with History(admin, DURABLE) as opened:
        await publish(admin, 13, 15)
        batches = await numbers(opened)

    assert sum(batches, []) == list(range(1, 13))  # noqa: RUF017  # few


async def test_a_reader_that_a_crash_left_half_read_does_not_matter(admin):
    await publish(admin, 1, 25)
    crashed = await History(admin, DURABLE).__aenter__()
    await anext(aiter(crashed.batches()))

    async with History(admin, DURABLE) as opened:
        assert sum(map(len, await numbers(opened))) == 25


async def test_a_closed_one_leaves_nothing_behind(admin):
    await publish(admin, 1, 3)
    async with History(admin, DURABLE) as opened:
        await numbers(opened)

    assert await admin.jetstream().consumers_info(DURABLE.stream) == []


async def test_one_whose_messages_do_not_come_ends_with_an_error(admin):
    await publish(admin, 1, 25)
    async with History(admin, DURABLE) as opened:
        batches = aiter(opened.batches())
        await anext(batches)
        await admin.jetstream().delete_consumer(DURABLE.stream, f"{DURABLE.name}_replay")
        with pytest.raises((nats.errors.Error, TimeoutError)):
            [batch async for batch in batches]
