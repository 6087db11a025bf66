"""What the order service does about its neighbours' events."""

from typing import Any
from uuid import UUID

from meshmart.inventory.v1.stock_events_pb2 import OrderRestocked, StockCommitFailed
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentCaptureFailed, PaymentRefunded

from services.chassis.consumer import Delivery
from services.chassis.service import Consumer
from services.order.domain import Order, OrderNotFound
from services.order.publisher import OrderLog
from services.order.store import OrderStore

STOCK_INSUFFICIENT = "STOCK_INSUFFICIENT"


class OrderConsumers:
    """Handlers, one per event. Each is insensitive to order and repeats: the order's state decides."""

    def __init__(self, store: OrderStore, log: OrderLog) -> None:
        """Keep where orders are read and written."""
        self._store = store
        self._log = log

    def all(self) -> tuple[Consumer[Any], ...]:
        """Return the declarations."""
        return (
            Consumer(PaymentCaptured, self.captured),
            Consumer(PaymentCaptureFailed, self.capture_failed),
            Consumer(StockCommitFailed, self.commit_failed),
            Consumer(PaymentRefunded, self.refunded),
            Consumer(OrderRestocked, self.restocked),
        )

    async def captured(self, delivery: Delivery[PaymentCaptured]) -> None:
        """Complete the order."""
        await self._log.complete(UUID(delivery.message.order_id), delivery.inbox_parameters())

    async def capture_failed(self, delivery: Delivery[PaymentCaptureFailed]) -> None:
        """Cancel the order."""
        order = await self._order(delivery.message.order_id)
        await self._log.cancel_by_event(order, delivery.message.reason, delivery.inbox_parameters())

    async def commit_failed(self, delivery: Delivery[StockCommitFailed]) -> None:
        """Cancel the order."""
        order = await self._order(delivery.message.order_id)
        await self._log.cancel_by_event(order, STOCK_INSUFFICIENT, delivery.inbox_parameters())

    async def refunded(self, delivery: Delivery[PaymentRefunded]) -> None:
        """Note that the money is back."""
        order = await self._order(delivery.message.order_id)
        await self._log.note_refunded(order, delivery.inbox_parameters())

    async def restocked(self, delivery: Delivery[OrderRestocked]) -> None:
        """Note that the units are back."""
        order = await self._order(delivery.message.order_id)
        await self._log.note_restocked(order, delivery.inbox_parameters())

    async def _order(self, order_id: str) -> Order:
        order = await self._store.get(UUID(order_id))
        if order is None:
            raise OrderNotFound(f"an event speaks of order {order_id}, which does not exist")
        return order
