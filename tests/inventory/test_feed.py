"""The world hears of changed stock in few events, and always of the newest figures."""

import asyncio

import pytest
from meshmart.inventory.v1.stock_events_pb2 import StockChanged

from services.chassis.database import Database
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.inventory.domain import Line, hold
from services.inventory.feed import StockFeed
from services.inventory.stock_store import StockStore
from services.inventory.store import ReservationStore
from tests.support.events import outbox_of

REPLY = {
    "idem_principal": "-",
    "idem_method": "test",
    "idem_request_hash": bytes(32),
    "idem_reply": b"",
}


@pytest.fixture
async def database(database_url):
    async with Database(await database_url("inventory"), name="test") as database:
        yield database


@pytest.fixture
def stock(database) -> StockStore:
    return StockStore(database)


@pytest.fixture
def feed(stock) -> StockFeed:
    return StockFeed(stock, Outbox(), interval=0.001, sweep_interval=60)


@pytest.fixture
def restock(stock):
    async def restock(quantity: int, product_id=None):
        product_id = product_id or new_id()
        await stock.restock(product_id, quantity, lambda _: REPLY | {"idem_request_id": new_id()})
        return product_id

    return restock


@pytest.fixture
def reserve(database):
    store = ReservationStore(database, hold=60)

    async def reserve(product_id, quantity: int) -> None:
        wanted = hold(new_id(), [Line(product_id, quantity)])
        assert await store.reserve(wanted, REPLY | {"idem_request_id": new_id()})

    return reserve


async def names(database, product_id) -> list[str]:
    return [name for name, _ in await outbox_of(database, product_id)]


async def publish(feed, product_id) -> None:
    feed.mark([product_id])
    await feed.publish()


async def test_changes_that_follow_each_other_are_one_event_with_the_newest_figures(database, feed, restock, reserve):
    product_id = await restock(10)
    for _ in range(3):
        await reserve(product_id, 2)

    await publish(feed, product_id)
    await publish(feed, product_id)

    assert await outbox_of(database, product_id) == [("StockChanged", 4)]
    [[payload]] = await database.all("SELECT payload FROM outbox")
    assert StockChanged.FromString(payload).available == 4


async def test_a_product_that_runs_out_is_announced_once(database, feed, restock, reserve):
    product_id = await restock(2)
    await publish(feed, product_id)
    await reserve(product_id, 2)
    await publish(feed, product_id)
    await publish(feed, product_id)

    assert await names(database, product_id) == ["StockChanged", "StockChanged", "StockDepleted"]


async def test_a_change_that_leaves_as_many_units_to_buy_is_no_event(database, feed, restock, reserve):
    product_id = await restock(2)
    await publish(feed, product_id)
    await reserve(product_id, 1)
    await restock(1, product_id)
    await publish(feed, product_id)

    assert await names(database, product_id) == ["StockChanged"]


async def test_two_replicas_publish_a_change_once(database, feed, restock):
    products = [await restock(1) for _ in range(20)]
    feeds = feed, StockFeed(StockStore(database), Outbox(), interval=1, sweep_interval=1)
    for one in feeds:
        one.mark(products)

    await asyncio.gather(*(one.publish() for one in feeds))

    for product_id in products:
        assert await names(database, product_id) == ["StockChanged"]


async def test_many_products_are_published_in_batches(database, feed, restock, monkeypatch):
    monkeypatch.setattr("services.inventory.feed.BATCH", 2)
    products = [await restock(1) for _ in range(5)]
    feed.mark(products)

    await feed.publish()

    assert await database.all("SELECT count(*) FROM outbox") == [(5,)]


async def test_what_could_not_be_published_is_tried_again(database, stock, feed, restock, monkeypatch):
    product_id = await restock(1)
    feed.mark([product_id])
    with monkeypatch.context() as broken:
        broken.setattr(stock, "publish", lambda *_: asyncio.sleep(0, 1 / 0))
        with pytest.raises(ZeroDivisionError):
            await feed.publish()

    await feed.publish()

    assert await names(database, product_id) == ["StockChanged"]


async def test_what_a_crash_left_unpublished_is_found(database, feed, restock):
    product_id = await restock(1)
    running = asyncio.create_task(feed.run())
    await feed.published(5)
    running.cancel()

    assert await names(database, product_id) == ["StockChanged"]
