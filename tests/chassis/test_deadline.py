"""Every call has a budget: from its caller, capped by the contract, and handed on to neighbours."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub

from services.chassis import deadline, methods, streams
from services.chassis.contract import method_contract
from services.chassis.refusals import DeadlineExceeded
from tests.chassis.shop import GET, ID, IMPORT, WATCH, served_call, shop
from tests.support.refusals import refused

GET_ORDER_TIMEOUT = 6.0
GET_PRODUCT_TIMEOUT = 1.0


@pytest.fixture
def hurried(monkeypatch):
    """Return a function that gives every method shorter times than its contract."""

    def hurry(**times: Any) -> None:
        monkeypatch.setattr(methods, "method_contract", lambda path: replace(method_contract(path), **times))
        monkeypatch.setattr(streams, "HARD_STOP_AFTER", 0.02)

    return hurry


async def forever() -> None:
    await asyncio.Event().wait()


BUDGETS = [
    pytest.param(None, GET_ORDER_TIMEOUT, id="none brought: the method's timeout"),
    pytest.param(2.0, 2.0, id="a shorter one rules"),
    pytest.param(60.0, GET_ORDER_TIMEOUT, id="a longer one is capped"),
]


@pytest.mark.parametrize(("brought", "given"), BUDGETS)
async def test_a_call_gets_what_its_caller_left_it_capped_by_the_contract(shop, brought, given):
    seen = []

    async def look() -> None:
        seen.append(served_call().remaining())

    shop.orders.act = look
    await shop.order.GetOrder(GET, metadata=shop.customer, timeout=brought)
    assert given - 0.5 < seen[0] <= given + 0.05


async def test_a_handler_is_cancelled_at_its_deadline_and_the_caller_told_why(hurried):
    hurried(timeout=0.05)
    cancelled = asyncio.Event()

    async def linger() -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    async with shop() as served:
        served.orders.act = linger
        with refused("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
            await served.order.GetOrder(GET, metadata=served.customer)
        assert cancelled.is_set()


async def test_a_handler_is_cancelled_when_its_caller_leaves(shop):
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def linger() -> None:
        begun.set()
        try:
            await forever()
        finally:
            cancelled.set()

    shop.orders.act = linger
    call = shop.order.GetOrder(GET, metadata=shop.customer)
    await begun.wait()
    call.cancel()
    await cancelled.wait()


async def test_a_call_whose_budget_is_spent_never_reaches_its_handler(hurried):
    hurried(timeout=0.0)
    async with shop() as served:
        served.orders.act = forever
        with refused("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
            await served.order.GetOrder(GET, metadata=served.customer)


async def test_a_time_limit_ends_what_takes_too_long():
    with pytest.raises(TimeoutError), deadline.TimeLimit(0.01):
        await forever()


async def test_a_time_limit_lets_somebody_elses_cancellation_pass():
    async def limited() -> None:
        with deadline.TimeLimit(60):
            await forever()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit_leaves_what_is_done_in_time_alone():
    with deadline.TimeLimit(60):
        await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test runs in one


OUTBOUND = [
    pytest.param(None, 1.0, 1.0, id="in a saga: the method's timeout"),
    pytest.param(5.0, 1.0, 1.0, id="much is left: the method's timeout"),
    pytest.param(0.5, 1.0, 0.48, id="little is left: that, less the reserve"),
]


@pytest.mark.parametrize(("remaining", "timeout", "given"), OUTBOUND)
def test_a_neighbour_gets_the_smaller_of_its_timeout_and_what_is_left(remaining, timeout, given):
    assert deadline.outbound(remaining, timeout) == pytest.approx(given)


@pytest.mark.parametrize("remaining", [-1.0, 0.0, deadline.RESERVE])
def test_without_time_left_no_neighbour_is_called(remaining):
    with pytest.raises(DeadlineExceeded):
        deadline.outbound(remaining, 1.0)


@pytest.mark.parametrize(
    ("brought", "given"), [(None, GET_PRODUCT_TIMEOUT), (0.5, 0.5 - deadline.RESERVE)], ids=["none", "half a second"]
)
async def test_a_budget_is_handed_on_to_a_neighbour(shop, brought, given):
    catalog, seen = shop.runtimes["order"].stub(CatalogServiceStub), []

    async def ask_catalog() -> None:
        await catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))

    async def look() -> None:
        seen.append(served_call().remaining())

    shop.orders.act, shop.products.act = ask_catalog, look
    await shop.order.GetOrder(GET, metadata=shop.customer, timeout=brought)
    assert given - 0.3 < seen[0] <= given + 0.05


async def test_a_silent_stream_is_ended(hurried):
    hurried(idle_timeout=0.05)
    async with shop() as served:
        served.orders.act = forever
        call = served.order.WatchOrder(WATCH, metadata=served.customer)
        assert [(await call.read()).version, (await call.read()).version] == [1, 2]
        with refused("UNAVAILABLE", "STREAM_IDLE"):
            await call.read()


async def test_a_stream_of_requests_that_falls_silent_is_ended(hurried):
    hurried(idle_timeout=0.05)
    async with shop() as served:
        call = served.catalog.ImportProducts(metadata=served.staff)
        await call.write(IMPORT)
        with refused("UNAVAILABLE", "STREAM_IDLE"):
            await call


async def test_a_stream_that_does_not_end_at_its_maximum_age_is_cut(hurried):
    hurried(max_age=0.05)
    async with shop() as served:
        served.orders.act = forever
        with refused("UNAVAILABLE", "STREAM_MAX_AGE"):
            async for _ in served.order.WatchOrder(WATCH, metadata=served.customer):
                pass


async def test_a_stream_sees_its_maximum_age_as_its_deadline_and_can_end_by_itself(hurried):
    hurried(max_age=0.05)

    async def until_deadline() -> None:
        await asyncio.sleep(served_call().remaining())

    async with shop() as served:
        served.orders.act = until_deadline
        call = served.order.WatchOrder(WATCH, metadata=served.customer)
        assert [message.version async for message in call] == [1, 2]
        assert await call.code() == grpc.StatusCode.OK
