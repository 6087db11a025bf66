"""The order service's calls, refusals and repeats."""

import asyncio

import grpc
import pytest
from meshmart.common.v1.money_pb2 import Money
from meshmart.order.v1 import order_service_pb2 as pb
from meshmart.order.v1.order_pb2 import Order

from services.chassis.ids import new_id
from tests.order.conftest import DOLLARS, MUG, PRICES, TEA, Line, Shop
from tests.support.events import outbox_of
from tests.support.serving import refusal_of


async def test_a_cart_is_quoted_without_being_ordered(shop: Shop):
    quote = await shop.stub.QuoteOrder(pb.QuoteOrderRequest(lines=[Line(product_id=MUG, quantity=3)]))

    assert quote.total == Money(currency_code="EUR", minor_units=3600)
    assert shop.neighbours.seen == []


async def test_an_order_is_placed_pending_and_confirmed_by_its_saga(shop: Shop):
    placed = await shop.place()
    confirmed = await shop.get(placed.id, wait=5)

    assert (placed.state, placed.version, placed.total.minor_units) == (Order.STATE_PENDING, 1, 2100)
    assert (confirmed.state, confirmed.version) == (Order.STATE_CONFIRMED, 2)
    assert shop.neighbours.seen == ["reserve", "authorize"]
    assert await outbox_of(shop.served.database, placed.id) == [("OrderPlaced", 1), ("OrderConfirmed", 2)]
    assert await shop.sagas() == 0


@pytest.mark.parametrize(
    ("step", "code", "reason"),
    [
        pytest.param("reserve", grpc.StatusCode.FAILED_PRECONDITION, "STOCK_INSUFFICIENT", id="no stock"),
        pytest.param("authorize", grpc.StatusCode.FAILED_PRECONDITION, "CARD_DECLINED", id="declined card"),
        pytest.param("authorize", grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", id="silent processor"),
    ],
)
async def test_an_order_is_rejected_with_the_reason_and_everything_given_back(shop: Shop, step, code, reason):
    shop.neighbours.failures[step].append((code, reason))

    rejected = await shop.get((await shop.place()).id, wait=5)

    assert (rejected.state, rejected.reason) == (Order.STATE_REJECTED, reason)
    assert shop.neighbours.seen[-2:] == ["void", "release"]
    assert [name for name, _ in await outbox_of(shop.served.database, rejected.id)] == ["OrderPlaced", "OrderRejected"]


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        pytest.param(
            {"lines": [Line(product_id=str(new_id()), quantity=1)]}, "NOT_FOUND", "PRODUCT_NOT_FOUND", id="no product"
        ),
        pytest.param(
            {"expected_total": Money(currency_code="EUR", minor_units=1)},
            "FAILED_PRECONDITION",
            "PRICE_CHANGED",
            id="another total",
        ),
        pytest.param(
            {"lines": [Line(product_id=TEA, quantity=1), Line(product_id=DOLLARS, quantity=1)]},
            "FAILED_PRECONDITION",
            "CURRENCY_MIXED",
            id="two currencies",
        ),
        pytest.param(
            {"lines": [Line(product_id=TEA, quantity=1)] * 2}, "INVALID_ARGUMENT", "REQUEST_INVALID", id="a line twice"
        ),
        pytest.param({"lines": []}, "INVALID_ARGUMENT", "REQUEST_INVALID", id="an empty cart"),
        pytest.param({"request_id": "7"}, "INVALID_ARGUMENT", "REQUEST_INVALID", id="a request id that is no UUID"),
    ],
)
async def test_an_order_is_refused(shop: Shop, changes, code, reason):
    refusal = await refusal_of(shop.place(shop.cart(**changes)))

    assert (refusal.code.name, refusal.reason) == (code, reason)
    assert await shop.sagas() == 0


async def test_a_product_that_stands_in_two_lines_in_letters_of_either_case_is_refused(shop: Shop):
    product_id = str(new_id())
    lines = [Line(product_id=product_id, quantity=1), Line(product_id=product_id.upper(), quantity=1)]

    refusal = await refusal_of(shop.stub.QuoteOrder(pb.QuoteOrderRequest(lines=lines)))

    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_INVALID")


async def test_too_large_an_order_is_refused(shop: Shop, monkeypatch):
    monkeypatch.setitem(PRICES, TEA, Money(currency_code="EUR", minor_units=10_001))
    request = pb.QuoteOrderRequest(lines=[Line(product_id=TEA, quantity=1000)])

    refusal = await refusal_of(shop.stub.QuoteOrder(request))

    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "TOTAL_TOO_LARGE")


async def test_the_same_request_sent_twenty_times_at_once_makes_one_order(shop: Shop):
    request = shop.cart()

    orders = await asyncio.gather(*(shop.place(request) for _ in range(20)))

    count = await shop.served.database.one("SELECT count(*) FROM orders")
    assert len({order.id for order in orders}) == 1
    assert count == (1,)


async def test_a_repeat_is_answered_with_the_first_reply_though_the_price_has_changed(shop: Shop, monkeypatch):
    request = shop.cart()
    placed = await shop.place(request)
    monkeypatch.setitem(PRICES, TEA, Money(currency_code="EUR", minor_units=1))

    assert await shop.place(request) == placed


async def test_a_request_id_is_not_reused_for_another_cart(shop: Shop):
    request = shop.cart()
    await shop.place(request)

    refusal = await refusal_of(shop.place(shop.cart(request_id=request.request_id)))

    assert (refusal.code.name, refusal.reason) == ("ABORTED", "REQUEST_ID_REUSED")


async def test_a_backlog_over_the_limit_refuses_further_orders(open_shop):
    shop = await open_shop(saga_limit=1)
    shop.neighbours.gates["reserve"] = asyncio.Event()
    await shop.place()

    refusal = await refusal_of(shop.place())
    shop.neighbours.gates["reserve"].set()

    assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", "SAGA_BACKLOG_FULL")


async def test_somebody_elses_order_does_not_exist(shop: Shop):
    placed = await shop.place()
    request, theirs = pb.GetOrderRequest(order_id=placed.id), shop.headers(new_id())

    refusals = [
        await refusal_of(shop.stub.GetOrder(request, metadata=theirs)),
        await refusal_of(
            shop.stub.CancelOrder(pb.CancelOrderRequest(request_id=str(new_id()), order_id=placed.id), metadata=theirs)
        ),
        await refusal_of(shop.stub.WatchOrder(pb.WatchOrderRequest(order_id=placed.id), metadata=theirs).read()),
    ]

    assert {(refusal.code.name, refusal.reason) for refusal in refusals} == {("NOT_FOUND", "ORDER_NOT_FOUND")}


async def test_orders_are_listed_newest_first_a_page_at_a_time(shop: Shop):
    placed = [(await shop.place()).id for _ in range(3)]

    first = await shop.stub.ListOrders(pb.ListOrdersRequest(page_size=2), metadata=shop.headers())
    second = await shop.stub.ListOrders(
        pb.ListOrdersRequest(page_size=2, page_token=first.next_page_token), metadata=shop.headers()
    )

    assert [order.id for page in (first, second) for order in page.orders] == placed[::-1]
    assert second.next_page_token == ""


async def test_a_page_token_of_another_method_is_refused(shop: Shop):
    refusal = await refusal_of(shop.stub.ListOrders(pb.ListOrdersRequest(page_token="x"), metadata=shop.headers()))

    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_a_confirmed_order_is_cancelled_once_whatever_is_repeated(shop: Shop):
    placed = await shop.get((await shop.place()).id, wait=5)
    request_id = str(new_id())

    first = await shop.cancel(placed.id, request_id)
    again = await shop.cancel(placed.id, request_id)
    refusal = await refusal_of(shop.cancel(placed.id))

    assert first == again
    assert (first.state, first.reason) == (Order.STATE_CANCELLED, "CUSTOMER_CANCELLED")
    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "ORDER_NOT_CANCELLABLE")
    assert (await outbox_of(shop.served.database, placed.id))[-1] == ("OrderCancelled", 3)


async def test_a_request_id_does_not_cancel_two_orders(shop: Shop):
    first, second = await shop.place(), await shop.place()
    request_id = str(new_id())
    await shop.cancel(first.id, request_id)

    refusal = await refusal_of(shop.cancel(second.id, request_id))

    assert (refusal.code.name, refusal.reason) == ("ABORTED", "REQUEST_ID_REUSED")
    assert (await shop.get(second.id, wait=5)).state == Order.STATE_CONFIRMED


async def test_an_order_cancelled_while_pending_is_never_confirmed(shop: Shop):
    gate = shop.neighbours.gates["authorize"] = asyncio.Event()
    placed = await shop.place()

    cancelled = await shop.cancel(placed.id)
    gate.set()

    assert cancelled.state == Order.STATE_CANCELLED
    assert (await shop.get(placed.id, wait=1)).state == Order.STATE_CANCELLED
    assert await shop.sagas() == 0
