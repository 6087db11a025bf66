"""The stream of stock begins with what is, and never stays behind what was published."""

import asyncio
from typing import Self, cast

import grpc
import pytest
from meshmart.inventory.v1 import inventory_service_pb2 as pb
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

from services.chassis.ids import new_id
from services.inventory.service import SERVICE
from services.inventory.watch import token_of
from tests.inventory.conftest import Depot
from tests.support.serving import refusal_of


class Watch:
    """A stream as one who keeps the last figures of each product sees it."""

    def __init__(self, depot: Depot, *product_ids, resume_token: str = "") -> None:
        request = pb.WatchStockRequest(product_ids=map(str, product_ids), resume_token=resume_token)
        self.stream = depot.stub.WatchStock(request, metadata=depot.staff)
        self.available: dict[str, int] = {}
        self.token = ""

    async def __aenter__(self) -> Self:
        await self.read()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stream.cancel()

    async def read(self) -> pb.WatchStockResponse:
        message = cast("pb.WatchStockResponse", await self.stream.read())
        self.available |= {stock.product_id: stock.available for stock in message.stocks}
        self.token = message.resume_token or self.token
        return message

    async def until(self, product_id, available: int) -> None:
        """Read until a product has so many units; the test's own timeout is the limit."""
        while self.available.get(str(product_id)) != available:
            await self.read()


async def test_a_watch_begins_with_all_of_the_stock(depot):
    tea, pot = await depot.product(5), await depot.product(7)
    async with Watch(depot) as watch:
        assert watch.available == {str(tea): 5, str(pot): 7}


async def test_a_watch_of_some_products_begins_with_those_even_if_never_restocked(depot):
    tea, never = await depot.product(5), new_id()
    await depot.product(7)
    async with Watch(depot, tea, never) as watch:
        assert watch.available == {str(tea): 5, str(never): 0}
        await depot.restock(never, 1)
        await watch.until(never, 1)


async def test_a_watch_of_an_empty_stock_begins_with_a_token(depot):
    async with Watch(depot) as watch:
        assert watch.token


async def test_a_watch_hears_of_each_kind_of_change(depot):
    tea, order_id = await depot.product(5), new_id()
    async with Watch(depot) as watch:
        await depot.reserve(order_id, (tea, 3))
        await watch.until(tea, 2)
        await depot.release(order_id)
        await watch.until(tea, 5)
        await depot.restock(tea, 1)
        await watch.until(tea, 6)


async def test_a_watch_hears_of_what_another_process_changed(depot, serve):
    tea = await depot.product(5)
    url = depot.served.host._settings["inventory"].database_url.get_secret_value()
    served = await serve(SERVICE, url=url, publish_interval=0.01)
    other = Depot(served, served.stub(InventoryServiceStub))
    async with Watch(depot) as watch:
        await other.reserve(new_id(), (tea, 3))
        await watch.until(tea, 2)


async def test_a_resumed_watch_misses_nothing_and_does_not_begin_anew(depot, monkeypatch):
    monkeypatch.setattr("services.inventory.watch.SILENCE", 0.0)
    tea, untouched = await depot.product(5), await depot.product(7)
    await depot.published()
    async with Watch(depot) as watch:
        while (await watch.read()).stocks:
            pass
    await depot.restock(tea, 1)
    async with Watch(depot, resume_token=watch.token) as resumed:
        await resumed.until(tea, 6)

    assert str(untouched) not in resumed.available


async def test_no_change_is_missed_however_many_transactions_overlap(depot):
    products = [await depot.product(100) for _ in range(10)]
    async with Watch(depot) as watch:
        await asyncio.gather(*(depot.reserve(new_id(), (product_id, 1)) for product_id in products for _ in range(20)))
        for product_id in products:
            await watch.until(product_id, 80)


async def test_a_large_stock_comes_in_parts_of_which_only_the_last_can_be_resumed_from(depot, monkeypatch):
    monkeypatch.setattr("services.inventory.watch.PART", 2)
    products = {str(await depot.product(1)) for _ in range(3)}
    async with Watch(depot) as watch:
        assert (len(watch.available), watch.token) == (2, "")
        await watch.read()
        assert (set(watch.available), bool(watch.token)) == (products, True)


async def test_a_quiet_watch_says_that_it_lives(depot, monkeypatch):
    monkeypatch.setattr("services.inventory.watch.SILENCE", 0.0)
    async with Watch(depot) as watch:
        assert not (await watch.read()).stocks


PRODUCT = new_id()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("?", id="not base64"),
        pytest.param("AAAA", id="too short"),
        pytest.param(token_of(1, []), id="of other products"),
        pytest.param(token_of(1 << 60, [PRODUCT]), id="of another database"),
        pytest.param("é", id="not ascii"),
    ],
)
async def test_a_token_that_was_not_given_out_is_refused(depot, token):
    refusal = await refusal_of(Watch(depot, PRODUCT, resume_token=token).read())
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "RESUME_TOKEN_INVALID")


async def test_only_staff_may_watch(depot):
    stream = depot.stub.WatchStock(pb.WatchStockRequest(), metadata=depot.served.identity.headers())
    assert (await refusal_of(stream.read())).reason == "STAFF_REQUIRED"


async def test_a_watch_ends_when_the_process_drains(depot):
    async with Watch(depot) as watch:
        depot.served.host.process.draining.set()
        while (await watch.stream.read()) != grpc.aio.EOF:
            pass
        assert (await watch.stream.code()).name == "OK"
