"""What analytics does about events: it counts them, many in one statement."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.catalog.v1.product_events_pb2 import ProductChanged
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderClosed, OrderConfirmed, OrderPlaced, OrderRejected
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentCaptureFailed, PaymentRefunded

from services.analytics.statements import TABLES
from services.analytics.store import Columns, SalesStore
from services.chassis.batch import Batch
from services.chassis.delivery import Delivery
from services.chassis.generations import Projection, ReadModel

STEPS: Final[dict[type[Message], tuple[str, str]]] = {
    OrderConfirmed: ("confirmed", "confirm_time"),
    OrderRejected: ("rejected", "reject_time"),
    OrderCancelled: ("cancelled", "cancel_time"),
    OrderClosed: ("closed", "close_time"),
    PaymentCaptureFailed: ("capture_failed", "fail_time"),
}
"""Events that only say that an order took a step of the funnel, and the field that says when."""
PAYMENTS: Final[dict[type[Message], tuple[str, str]]] = {
    PaymentCaptured: ("captured", "capture_time"),
    PaymentRefunded: ("refunded", "refund_time"),
}
"""Events of amounts, and the field that says when."""


class SalesProjections:
    """Handlers of batches, one per event. Each is insensitive to order and repeats."""

    def __init__(self, store: SalesStore) -> None:
        """Keep where it is counted."""
        self._store = store

    def read_model(self) -> ReadModel:
        """Return the declaration."""
        steps = [Projection(event, partial(self.stepped, *names)) for event, names in STEPS.items()]
        payments = [Projection(event, partial(self.paid, *names)) for event, names in PAYMENTS.items()]
        first = Projection(ProductChanged, self.changed), Projection(OrderPlaced, self.placed)
        return ReadModel((*first, *steps, *payments), TABLES)

    async def placed(self, batch: Batch[OrderPlaced]) -> None:
        """Count orders, with all that is known of them already."""
        orders = [delivery.message for delivery in batch.deliveries]
        columns = {
            **_orders(batch.deliveries, "place_time"),
            "customer_ids": [order.customer_id for order in orders],
            "currency_codes": [order.total.currency_code for order in orders],
            "product_ids": [_array(line.product_id for line in order.lines) for order in orders],
            "quantities": [_array(line.quantity for line in order.lines) for order in orders],
            "amounts": [
                _array(line.quantity * line.unit_price.minor_units for line in order.lines) for order in orders
            ],
        }
        await self._store.place(batch.inbox_parameters(), columns)

    async def stepped(self, step: str, time_field: str, batch: Batch[Any]) -> None:
        """Count a step of orders."""
        await self._store.step(step, batch.inbox_parameters(), _orders(batch.deliveries, time_field))

    async def paid(self, step: str, time_field: str, batch: Batch[Any]) -> None:
        """Count captures or refunds. Without an amount nothing had been captured, and nothing is counted."""
        paid = [delivery for delivery in batch.deliveries if delivery.message.HasField("amount")]
        amounts = [delivery.message.amount.minor_units for delivery in paid]
        await self._store.pay(step, batch.inbox_parameters(), {**_orders(paid, time_field), "amounts": amounts})

    async def changed(self, batch: Batch[ProductChanged]) -> None:
        """Keep name and category of products as they now are."""
        products = [delivery.message for delivery in batch.deliveries]
        columns: Columns = {
            "event_ids": [delivery.event_id for delivery in batch.deliveries],
            "product_ids": [UUID(product.product_id) for product in products],
            "versions": [delivery.aggregate_version for delivery in batch.deliveries],
            "display_names": [product.display_name for product in products],
            "categories": [product.category for product in products],
        }
        await self._store.change_products(batch.inbox_parameters(), columns)


def _orders(deliveries: Sequence[Delivery[Any]], time_field: str) -> Columns:
    return {
        "event_ids": [delivery.event_id for delivery in deliveries],
        "order_ids": [delivery.message.order_id for delivery in deliveries],
        "times": [_time(getattr(delivery.message, time_field)) for delivery in deliveries],
    }


def _time(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)


def _array(values: Iterable[object]) -> str:
    """Return an array as PostgreSQL reads it; ids and numbers need no quotes."""
    return f"{{{','.join(map(str, values))}}}"
