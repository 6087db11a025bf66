"""What staff are told about sales, and what is refused."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.analytics.v1 import analytics_service_pb2 as pb
from meshmart.catalog.v1.product_events_pb2 import ProductChanged
from meshmart.common.v1.money_pb2 import Money
from meshmart.order.v1.order_events_pb2 import OrderedLine

from scripts.benchmarks.history import Bought, Happening, fill
from services.analytics import queries
from services.chassis.ids import new_id
from tests.chassis.eventing import eventually
from tests.support.refusals import refused

TEA, MUG, SPADE, UNKNOWN = (str(new_id()) for _ in range(4))
ANNA, BERT = (str(new_id()) for _ in range(2))
NAMES = {TEA: ("Assam", "coffee-and-tea"), MUG: ("Mug", "coffee-and-tea"), SPADE: ("Spade", "garden")}
PRICES = {TEA: 450, MUG: 1200, SPADE: 2500, UNKNOWN: 100}
FIRST = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOVEMBER = pb.Days(first="2026-11-01", last="2026-11-30")

# Who bought what, in which currency, and what happened on which day of November.
ORDERS = (
    (ANNA, "EUR", {TEA: 2, MUG: 1}, {"placed": 1, "confirmed": 1, "captured": 2}),
    (ANNA, "EUR", {TEA: 1}, {"placed": 3, "confirmed": 3, "captured": 3, "cancelled": 4, "refunded": 5, "closed": 6}),
    (BERT, "EUR", {SPADE: 1, UNKNOWN: 5}, {"placed": 3, "confirmed": 3, "captured": 3}),
    (BERT, "USD", {TEA: 1}, {"placed": 4, "confirmed": 4, "captured": 4}),
    (BERT, "EUR", {MUG: 9}, {"placed": 5, "rejected": 5}),
    (ANNA, "EUR", {MUG: 1}, {"placed": 6, "confirmed": 6, "capture_failed": 7, "cancelled": 7, "voided": 7, "closed": 7}),
)  # fmt: skip


def products() -> list[Happening]:
    events = [ProductChanged(product_id=i, display_name=name, category=kind) for i, (name, kind) in NAMES.items()]
    return [Happening(new_id(), event, event.product_id, 1, FIRST) for event in events]


def orders() -> list[Happening]:
    return [happening for order in ORDERS for happening in happenings(*order)]


def happenings(customer_id, currency, units, steps) -> list[Happening]:
    def money(amount):
        return Money(currency_code=currency, minor_units=amount)

    lines = [OrderedLine(product_id=i, quantity=n, unit_price=money(PRICES[i])) for i, n in units.items()]
    order = Bought(str(new_id()), customer_id, lines, money(sum(n * PRICES[i] for i, n in units.items())))
    found = []
    for version, (step, day) in enumerate(steps.items(), start=1):
        time = FIRST + timedelta(days=day - 1)
        event = order.event(step, Timestamp(seconds=int(time.timestamp())))
        found.append(Happening(new_id(), event, order.order_id, version, time))
    return found


@pytest.fixture
async def shop(analytics):
    await analytics.tell([*products(), *orders()])
    return analytics


def told(sales):
    """Return what a row says, without its amounts' parts."""
    key = sales.day or sales.display_name or sales.product_id or sales.category
    money = (sales.captured.minor_units, sales.refunded.minor_units, sales.revenue.minor_units)
    return key, sales.revenue.currency_code, sales.orders, sales.refunded_orders, sales.units, *money


QUESTIONS = {
    "by day": (
        {},
        [
            ("2026-11-02", "EUR", 1, 0, 3, 2100, 0, 2100),
            ("2026-11-03", "EUR", 2, 0, 7, 3450, 0, 3450),
            ("2026-11-04", "USD", 1, 0, 1, 450, 0, 450),
            ("2026-11-05", "EUR", 0, 1, -1, 0, 450, -450),
        ],
    ),
    "in one currency": ({"currency_code": "USD"}, [("2026-11-04", "USD", 1, 0, 1, 450, 0, 450)]),
    "of some days": (
        {"days": pb.Days(first="2026-11-05", last="2026-11-05")},
        [("2026-11-05", "EUR", 0, 1, -1, 0, 450, -450)],
    ),
    "by day, of a category": (
        {"category": "garden"},
        [("2026-11-03", "EUR", 1, 0, 1, 2500, 0, 2500)],
    ),
    "by day, of a product": (
        {"product_id": TEA},
        [
            ("2026-11-02", "EUR", 1, 0, 2, 900, 0, 900),
            ("2026-11-03", "EUR", 1, 0, 1, 450, 0, 450),
            ("2026-11-04", "USD", 1, 0, 1, 450, 0, 450),
            ("2026-11-05", "EUR", 0, 1, -1, 0, 450, -450),
        ],
    ),
    "by category, the unknown first, an order once for each product": (
        {"group_by": pb.QuerySalesRequest.GROUP_BY_CATEGORY},
        [
            ("", "EUR", 1, 0, 5, 500, 0, 500),
            ("coffee-and-tea", "EUR", 3, 1, 3, 2550, 450, 2100),
            ("coffee-and-tea", "USD", 1, 0, 1, 450, 0, 450),
            ("garden", "EUR", 1, 0, 1, 2500, 0, 2500),
        ],
    ),
    "by product": (
        {"group_by": pb.QuerySalesRequest.GROUP_BY_PRODUCT, "currency_code": "EUR"},
        [
            ("Assam", "EUR", 2, 1, 2, 1350, 450, 900),
            ("Mug", "EUR", 1, 0, 1, 1200, 0, 1200),
            ("Spade", "EUR", 1, 0, 1, 2500, 0, 2500),
            (UNKNOWN, "EUR", 1, 0, 5, 500, 0, 500),
        ],
    ),
    "where nothing was sold": ({"days": pb.Days(first="2025-01-01", last="2025-12-31")}, []),
}


@pytest.mark.parametrize(("question", "answer"), QUESTIONS.values(), ids=QUESTIONS)
async def test_sales_are_summed(shop, question, answer):
    reply = await shop.stub.QuerySales(pb.QuerySalesRequest(**{"days": NOVEMBER, **question}), metadata=shop.staff)

    assert sorted(told(row) for row in reply.sales) == sorted(answer)


async def test_a_change_of_category_moves_what_was_sold_before(shop):
    moved = ProductChanged(product_id=SPADE, display_name="Spade", category="tools")
    await shop.tell([Happening(new_id(), moved, SPADE, 2, FIRST)])

    question = pb.QuerySalesRequest(days=NOVEMBER, category="tools")
    reply = await shop.stub.QuerySales(question, metadata=shop.staff)

    assert [told(row) for row in reply.sales] == [("2026-11-03", "EUR", 1, 0, 1, 2500, 0, 2500)]


async def test_products_are_listed_best_first(shop):
    question = pb.ListTopProductsRequest(days=NOVEMBER, currency_code="EUR")
    by_revenue = await shop.stub.ListTopProducts(question, metadata=shop.staff)
    question.order_by = pb.ListTopProductsRequest.ORDER_BY_UNITS
    by_units = await shop.stub.ListTopProducts(question, metadata=shop.staff)

    assert [row.product_id for row in by_revenue.products] == [SPADE, MUG, TEA, UNKNOWN]
    assert [(row.product_id, row.units) for row in by_units.products][:2] == [(UNKNOWN, 5), (TEA, 2)]
    assert [(row.display_name, row.category) for row in by_revenue.products][:1] == [("Spade", "garden")]
    assert (by_units.products[0].display_name, by_units.products[0].category) == ("", "")


async def test_orders_are_counted_by_how_far_they_got(shop):
    reply = await shop.stub.GetFunnel(pb.GetFunnelRequest(days=NOVEMBER), metadata=shop.staff)
    third = pb.GetFunnelRequest(days=pb.Days(first="2026-11-03", last="2026-11-03"))
    one_day = await shop.stub.GetFunnel(third, metadata=shop.staff)

    counts = {field.name: value for field, value in reply.funnel.ListFields()}
    assert counts == {
        "placed": 6, "confirmed": 5, "captured": 4, "capture_failed": 1, "rejected": 1, "cancelled": 2, "refunded": 1,
        "closed": 2,
    }  # fmt: skip
    assert (one_day.funnel.placed, one_day.funnel.refunded, one_day.funnel.rejected) == (2, 1, 0)


async def test_a_customer_is_worth_what_was_captured_less_what_was_refunded(shop):
    reply = await shop.stub.GetCustomerValue(pb.GetCustomerValueRequest(customer_id=ANNA), metadata=shop.staff)

    [value] = reply.values
    assert (value.placed_orders, value.orders, value.refunded_orders, value.value.minor_units) == (3, 2, 1, 2100)
    times = value.first_order_time.ToDatetime(), value.last_order_time.ToDatetime()
    assert [time.date() for time in times] == [date(2026, 11, 1), date(2026, 11, 6)]


async def test_a_customer_has_a_value_in_each_currency_and_none_without_orders(shop):
    bert = await shop.stub.GetCustomerValue(pb.GetCustomerValueRequest(customer_id=BERT), metadata=shop.staff)
    nobody = await shop.stub.GetCustomerValue(
        pb.GetCustomerValueRequest(customer_id=str(new_id())), metadata=shop.staff
    )

    assert [(v.value.currency_code, v.value.minor_units) for v in bert.values] == [("EUR", 3000), ("USD", 450)]
    assert not nobody.values
    assert nobody.freshness.generation == 1


async def test_customers_are_listed_by_value(shop):
    question = pb.ListTopCustomersRequest(currency_code="EUR")
    reply = await shop.stub.ListTopCustomers(question, metadata=shop.staff)

    assert [(c.customer_id, c.value.minor_units) for c in reply.customers] == [(BERT, 3000), (ANNA, 2100)]


LISTS: dict[str, tuple[str, Any, str]] = {
    "sales by day": ("QuerySales", pb.QuerySalesRequest(days=NOVEMBER), "sales"),
    "sales by product": (
        "QuerySales",
        pb.QuerySalesRequest(days=NOVEMBER, group_by=pb.QuerySalesRequest.GROUP_BY_PRODUCT),
        "sales",
    ),
    "top products": ("ListTopProducts", pb.ListTopProductsRequest(days=NOVEMBER, currency_code="EUR"), "products"),
    "top customers": ("ListTopCustomers", pb.ListTopCustomersRequest(currency_code="EUR"), "customers"),
}


@pytest.mark.parametrize(("method", "question", "field"), LISTS.values(), ids=LISTS)
async def test_a_list_in_pages_is_the_whole_list(shop, method, question, field):
    call = getattr(shop.stub, method)
    whole = list(getattr(await call(question, metadata=shop.staff), field))

    paged, page = [], type(question).FromString(question.SerializeToString())
    page.page_size = 1
    while True:
        reply = await call(page, metadata=shop.staff)
        paged += getattr(reply, field)
        page.page_token = reply.next_page_token
        if not page.page_token:
            break

    assert paged == whole
    assert len(whole) > 1


EVERY: dict[str, Any] = {
    "QuerySales": pb.QuerySalesRequest(days=NOVEMBER),
    "ListTopProducts": pb.ListTopProductsRequest(days=NOVEMBER, currency_code="EUR"),
    "GetFunnel": pb.GetFunnelRequest(days=NOVEMBER),
    "GetCustomerValue": pb.GetCustomerValueRequest(customer_id=ANNA),
    "ListTopCustomers": pb.ListTopCustomersRequest(currency_code="EUR"),
}


@pytest.mark.parametrize(("method", "request_"), EVERY.items(), ids=EVERY)
async def test_only_staff_are_told(analytics, method, request_):
    customer = analytics.served.identity.headers(new_id())
    with refused("PERMISSION_DENIED", "STAFF_REQUIRED"):
        await getattr(analytics.stub, method)(request_, metadata=customer)
    with refused("UNAUTHENTICATED", "TOKEN_MISSING"):
        await getattr(analytics.stub, method)(request_)


BAD_DAYS = {
    "no day of the calendar": (("2026-02-30", "2026-03-01"), "DAYS_INVALID", "days.first"),
    "the last before the first": (("2026-11-02", "2026-11-01"), "DAYS_INVALID", "days.last"),
    "more than 366": (("2025-11-01", "2026-11-02"), "DAYS_INVALID", "days"),
    "not a day": (("yesterday", "2026-11-01"), "REQUEST_INVALID", "days.first"),
    "none": (("", ""), "REQUEST_INVALID", "days.first"),
}
WITH_DAYS = {name: request for name, request in EVERY.items() if "days" in request.DESCRIPTOR.fields_by_name}


@pytest.mark.parametrize("method", WITH_DAYS)
@pytest.mark.parametrize(("days", "reason", "field"), BAD_DAYS.values(), ids=BAD_DAYS)
async def test_days_that_cannot_be_are_refused(analytics, method, days, reason, field):
    request = type(WITH_DAYS[method]).FromString(WITH_DAYS[method].SerializeToString())
    request.days.first, request.days.last = days
    with refused("INVALID_ARGUMENT", reason) as told:
        await getattr(analytics.stub, method)(request, metadata=analytics.staff)
    assert field in told.fields


REFUSED = {
    "no currency": ("ListTopProducts", {"currency_code": ""}, "currency_code"),
    "a currency in small letters": ("QuerySales", {"currency_code": "eur"}, "currency_code"),
    "an order by nothing known": ("ListTopProducts", {"order_by": 9}, "order_by"),
    "a group by nothing known": ("QuerySales", {"group_by": 9}, "group_by"),
    "no product": ("QuerySales", {"product_id": "tea"}, "product_id"),
    "a negative page": ("ListTopCustomers", {"page_size": -1}, "page_size"),
    "no customer": ("GetCustomerValue", {"customer_id": ""}, "customer_id"),
    "no days": ("GetFunnel", {"days": None}, "days"),
}


@pytest.mark.parametrize(("method", "changes", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_request_that_breaks_a_rule_is_refused(analytics, method, changes, field):
    request = type(EVERY[method]).FromString(EVERY[method].SerializeToString())
    for name, value in changes.items():
        request.ClearField(name) if value is None else setattr(request, name, value)
    with refused("INVALID_ARGUMENT", "REQUEST_INVALID") as told:
        await getattr(analytics.stub, method)(request, metadata=analytics.staff)
    assert field in told.fields


@pytest.mark.parametrize(("method", "question", "field"), LISTS.values(), ids=LISTS)
async def test_a_token_of_another_question_is_refused(shop, method, question, field):
    page = type(question).FromString(question.SerializeToString())
    page.page_size = 1
    first = await getattr(shop.stub, method)(page, metadata=shop.staff)

    for asked, request, _ in [other for other in LISTS.values() if other[1] != question]:
        strange = type(request).FromString(request.SerializeToString())
        strange.page_token = first.next_page_token
        with refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"):
            await getattr(shop.stub, asked)(strange, metadata=shop.staff)


@pytest.mark.parametrize(("method", "request_"), EVERY.items(), ids=EVERY)
async def test_each_answer_says_how_fresh_it_is(shop, method, request_):
    before = datetime.now(UTC)
    reply = await getattr(shop.stub, method)(request_, metadata=shop.staff)

    as_of = reply.freshness.as_of.ToDatetime(UTC)
    assert before <= as_of <= datetime.now(UTC)
    assert timedelta(0) <= reply.freshness.lag.ToTimedelta() <= datetime.now(UTC) - as_of
    assert (reply.freshness.pending_events, reply.freshness.generation) == (0, 1)


async def test_an_answer_is_as_old_as_what_is_not_counted_yet(shop):
    """The statement of one event is held up: answers go on, and say that something is missing."""
    placed = happenings(ANNA, "EUR", {TEA: 1}, {"placed": 6})
    statement = "INSERT INTO inbox (event_id, consumer, generation) VALUES (%s, 'analytics_OrderPlaced', 1)"
    async with await psycopg.AsyncConnection.connect(shop.url) as holder:
        await holder.execute(statement, (placed[0].event_id,))
        await fill(shop.broker, iter(placed))
        await eventually(shop.pending, 1)
        published = datetime.now(UTC)
        funnel = await shop.stub.GetFunnel(pb.GetFunnelRequest(days=NOVEMBER), metadata=shop.staff)
        await holder.rollback()

    assert (funnel.funnel.placed, funnel.freshness.pending_events) == (6, 1)
    assert funnel.freshness.as_of.ToDatetime(UTC) < published
    await eventually(shop.pending, 0)
    funnel = await shop.stub.GetFunnel(pb.GetFunnelRequest(days=NOVEMBER), metadata=shop.staff)
    assert (funnel.funnel.placed, funnel.freshness.pending_events) == (7, 0)
    assert funnel.freshness.as_of.ToDatetime(UTC) > published


async def test_answers_go_on_while_the_broker_is_away_and_grow_old(shop, nats):
    fresh = await shop.stub.GetFunnel(pb.GetFunnelRequest(days=NOVEMBER), metadata=shop.staff)
    nats.server.stop()
    lost = datetime.now(UTC)
    old = await shop.stub.GetFunnel(pb.GetFunnelRequest(days=NOVEMBER), metadata=shop.staff)

    assert old.funnel == fresh.funnel
    assert old.freshness.as_of.ToDatetime(UTC) < lost
    assert old.freshness.lag.ToTimedelta() > timedelta(0)


STATEMENTS = {
    "days": queries.DAYS,
    **{f"sales by {group.value}": statement for group, statement in queries.SALES.items()},
    **{f"top products by {rank.value}": statement for rank, statement in queries.TOP_PRODUCTS.items()},
    "funnel": queries.FUNNEL,
    "customer": queries.CUSTOMER,
    "top customers": queries.TOP_CUSTOMERS,
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
async def test_sums_are_read_by_index_and_orders_not_at_all(analytics, statement):
    day = date(2026, 11, 1)
    parameters = {
        "first": day, "last": day, "category": "", "product_id": None, "currency_code": "EUR", "key": "", "after": "",
        "limit": 20, "rank": 5, "customer_id": new_id(),
    }  # fmt: skip
    plan = [line for (line,) in await analytics.database.all(f"EXPLAIN {statement}", parameters)]

    assert not [line for line in plan if "Seq Scan" in line or "known_order" in line]
