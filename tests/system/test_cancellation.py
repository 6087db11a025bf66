"""An order that is cancelled, by its customer or because the card fails, gives everything back."""

import pytest

from tests.system.shopper import UNCAPTURABLE, cart, state_of
from tests.system.state import broken_invariants

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def _units(stock) -> tuple[int, int, int]:
    return stock.available, stock.reserved, stock.sold


# What is kept down while the order is placed and cancelled, and so the state that it cannot leave.
@pytest.mark.parametrize(
    ("down", "state", "payments"),
    [
        pytest.param("payment", "PENDING", {"NONE", "VOIDED"}, id="pending"),
        pytest.param("nats", "CONFIRMED", {"VOIDED", "REFUNDED"}, id="confirmed"),
        pytest.param(None, "COMPLETED", {"REFUNDED"}, id="completed"),
    ],
)
async def test_a_cancelled_order_is_refunded_restocked_and_closed(shop, shopper, down, state, payments):
    product, card = await shopper.product(), await shopper.card()
    before = await shopper.stock(product)
    if down:
        await shop.kill(down, hold=True)
    order = await shopper.place(cart(product, card))
    await shopper.becomes(order.id, state)

    assert state_of(await shopper.cancel(order.id)) == "CANCELLED"
    if down:
        await shop.restart(down)

    closed = await shopper.becomes(order.id, "CLOSED")
    assert closed.reason == "CUSTOMER_CANCELLED"
    assert await shopper.payment(order.id) in payments
    assert _units(await shopper.stock(product)) == _units(before)
    assert await broken_invariants(shop) == []


async def test_an_order_whose_card_fails_at_capture_is_closed_and_restocked(shop, shopper):
    product = await shopper.product()
    before = await shopper.stock(product)
    order = await shopper.place(cart(product, await shopper.card(UNCAPTURABLE)))

    closed = await shopper.becomes(order.id, "CLOSED")

    assert closed.reason == "CARD_DECLINED"
    assert await shopper.payment(order.id) in {"VOIDED", "CAPTURE_FAILED"}
    assert _units(await shopper.stock(product)) == _units(before)
    assert await broken_invariants(shop) == []
