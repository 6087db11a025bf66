"""What the neighbours' events do to an order, in whichever order and however often they come."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from meshmart.inventory.v1.stock_events_pb2 import OrderRestocked, StockCommitFailed
from meshmart.order.v1.order_pb2 import Order
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentCaptureFailed, PaymentRefunded

from services.chassis import inbox
from services.chassis.changes import Changes
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.order.consumers import OrderConsumers
from services.order.domain import OrderNotFound
from services.order.publisher import OrderLog
from services.order.store import OrderStore
from tests.order.conftest import Shop
from tests.support.events import delivery, outbox_of

CAPTURED, FAILED, UNCOMMITTED = "captured", "capture failed", "commit failed"
REFUNDED, RESTOCKED, CANCEL = "refunded", "restocked", "cancel"


class Happenings:
    """Lets events reach the consumers as they would come from the stream."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        store = OrderStore(shop.served.database, lease=5, confirm_within=300)
        self.consumers = OrderConsumers(store, OrderLog(store, Outbox(), Changes()))

    async def __call__(self, order_id: str, *happenings: str) -> None:
        for happening in happenings:
            if happening == CANCEL:
                await self._shop.cancel(order_id)
            else:
                handle, event = self._handlers(order_id)[happening]
                await handle(delivery(event))

    def _handlers(self, order_id: str):
        own: Any = {"order_id": order_id}
        return {
            CAPTURED: (self.consumers.captured, PaymentCaptured(**own)),
            FAILED: (self.consumers.capture_failed, PaymentCaptureFailed(reason="CARD_DECLINED", **own)),
            UNCOMMITTED: (self.consumers.commit_failed, StockCommitFailed(**own)),
            REFUNDED: (self.consumers.refunded, PaymentRefunded(**own)),
            RESTOCKED: (self.consumers.restocked, OrderRestocked(**own)),
        }


@pytest.fixture
def happen(shop: Shop) -> Happenings:
    return Happenings(shop)


@pytest.mark.parametrize(
    ("happenings", "state", "reason", "events"),
    [
        pytest.param([CAPTURED], Order.STATE_COMPLETED, "", [], id="captured"),
        pytest.param([CAPTURED, CAPTURED], Order.STATE_COMPLETED, "", [], id="captured by two events"),
        pytest.param([FAILED], Order.STATE_CANCELLED, "CARD_DECLINED", ["OrderCancelled"], id="capture failed"),
        pytest.param(
            [CAPTURED, UNCOMMITTED],
            Order.STATE_CANCELLED,
            "STOCK_INSUFFICIENT",
            ["OrderCancelled"],
            id="stock was gone after the capture",
        ),
        pytest.param(
            [CANCEL, CAPTURED], Order.STATE_CANCELLED, "CUSTOMER_CANCELLED", ["OrderCancelled"], id="captured too late"
        ),
        pytest.param(
            [CANCEL, REFUNDED], Order.STATE_CANCELLED, "CUSTOMER_CANCELLED", ["OrderCancelled"], id="half given back"
        ),
        pytest.param(
            [CANCEL, REFUNDED, RESTOCKED],
            Order.STATE_CLOSED,
            "CUSTOMER_CANCELLED",
            ["OrderCancelled", "OrderClosed"],
            id="refunded, then restocked",
        ),
        pytest.param(
            [CANCEL, RESTOCKED, RESTOCKED, REFUNDED, REFUNDED],
            Order.STATE_CLOSED,
            "CUSTOMER_CANCELLED",
            ["OrderCancelled", "OrderClosed"],
            id="restocked, then refunded, each by two events",
        ),
    ],
)
async def test_an_order_ends(shop: Shop, happen, happenings, state, reason, events):
    order_id = (await shop.get((await shop.place()).id, wait=5)).id

    await happen(order_id, *happenings)

    order = await shop.get(order_id)
    assert (order.state, order.reason) == (state, reason)
    written = await outbox_of(shop.served.database, order_id)
    assert [name for name, _ in written] == ["OrderPlaced", "OrderConfirmed", *events]
    assert [version for _, version in written] == sorted({version for _, version in written})


async def test_a_redelivered_event_changes_nothing(shop: Shop, happen):
    order_id = (await shop.get((await shop.place()).id, wait=5)).id
    captured = delivery(PaymentCaptured(order_id=order_id))
    await happen.consumers.captured(captured)

    with pytest.raises(psycopg.errors.UniqueViolation) as repeat:
        await happen.consumers.captured(captured)

    assert inbox.is_repeat(repeat.value)
    assert (await shop.get(order_id)).version == 3


async def test_an_event_of_an_unknown_order_is_tried_again(happen):
    with pytest.raises(OrderNotFound):
        await happen(str(UUID(int=new_id().int)), REFUNDED)
