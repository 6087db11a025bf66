"""An order's rules: pricing, placing, cancelling."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.chassis.errors import DomainError
from services.chassis.ids import new_id
from services.chassis.money import Money
from services.order import domain
from services.order.domain import CartLine, Change, Line, Order, Product, State

TEA, MUG = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRODUCTS = {TEA: Product("Tea", Money("EUR", 450)), MUG: Product("Mug", Money("EUR", 1200))}


def order_in(state: State) -> Order:
    line = Line(TEA, "Tea", 1, Money("EUR", 450))
    return Order(new_id(), new_id(), new_id(), (line,), line.unit_price, (Change(3, state, "", NOW),))


def test_a_cart_is_priced_at_the_names_and_prices_of_the_moment():
    lines = domain.price([CartLine(TEA, 2), CartLine(MUG, 1)], PRODUCTS)

    assert [(line.display_name, line.quantity) for line in lines] == [("Tea", 2), ("Mug", 1)]
    assert domain.total_of(lines) == Money("EUR", 2100)


@pytest.mark.parametrize(
    ("cart", "products", "reason"),
    [
        pytest.param([CartLine(UUID(int=9), 1)], PRODUCTS, "PRODUCT_NOT_FOUND", id="an unknown product"),
        pytest.param(
            [CartLine(TEA, 1), CartLine(MUG, 1)],
            {**PRODUCTS, MUG: Product("Mug", Money("USD", 1))},
            "CURRENCY_MIXED",
            id="two currencies",
        ),
        pytest.param([CartLine(MUG, 10_000)], PRODUCTS, "TOTAL_TOO_LARGE", id="more than the shop takes at once"),
    ],
)
def test_a_cart_is_refused_with(cart, products, reason):
    with pytest.raises(DomainError) as refused:
        domain.total_of(domain.price(cart, products))

    assert refused.value.reason == reason


def test_a_price_that_changed_is_refused_with_the_new_total():
    lines = domain.price([CartLine(TEA, 2)], PRODUCTS)

    with pytest.raises(domain.PriceChanged) as refused:
        domain.place(
            new_id(),
            customer_id=new_id(),
            payment_method_id=new_id(),
            lines=lines,
            expected_total=Money("EUR", 899),
            now=NOW,
        )

    assert refused.value.metadata == {"currency_code": "EUR", "minor_units": "900"}


@pytest.mark.parametrize("state", [State.PENDING, State.CONFIRMED, State.COMPLETED])
def test_an_order_can_be_cancelled_while_it_is(state):
    cancelled = domain.cancel(order_in(state), "CUSTOMER_CANCELLED", NOW)

    assert (cancelled.state, cancelled.version, cancelled.reason) == (State.CANCELLED, 4, "CUSTOMER_CANCELLED")


@pytest.mark.parametrize("state", [State.REJECTED, State.CANCELLED, State.CLOSED])
def test_an_order_cannot_be_cancelled_once_it_is(state):
    with pytest.raises(domain.OrderNotCancellable):
        domain.cancel(order_in(state), "CUSTOMER_CANCELLED", NOW)
