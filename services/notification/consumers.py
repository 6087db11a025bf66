"""What is told to customers about the events of others. Nothing is asked back while it is recorded."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.identity.v1.customer_events_pb2 import CustomerRegistered
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderRejected
from meshmart.payment.v1.payment_events_pb2 import PaymentRefunded

from services.chassis.consumer import Delivery
from services.chassis.messages import amount
from services.chassis.service import Consumer
from services.notification.domain import Kind, News, is_old
from services.notification.recorder import Recorder


class NotificationConsumers:
    """Handlers, one per event. Each event is news of its own, so they may come in any order."""

    def __init__(self, recorder: Recorder) -> None:
        """Keep what records news."""
        self._recorder = recorder

    def all(self) -> tuple[Consumer[Any], ...]:
        """Return the declarations."""
        return (
            Consumer(CustomerRegistered, self.registered),
            Consumer(OrderConfirmed, self.confirmed),
            Consumer(OrderRejected, self.rejected),
            Consumer(OrderCancelled, self.cancelled),
            Consumer(PaymentRefunded, self.refunded),
        )

    async def registered(self, delivery: Delivery[CustomerRegistered]) -> None:
        """Welcome the customer."""
        news = News(UUID(delivery.message.customer_id), Kind.WELCOME)
        await self._record(news, delivery.message.register_time, delivery)

    async def confirmed(self, delivery: Delivery[OrderConfirmed]) -> None:
        """Tell that the order comes, and what it costs."""
        order = delivery.message
        news = News(UUID(order.customer_id), Kind.ORDER_CONFIRMED, UUID(order.order_id), amount(order.total))
        await self._record(news, order.confirm_time, delivery)

    async def rejected(self, delivery: Delivery[OrderRejected]) -> None:
        """Tell that the order does not come, and why."""
        order = delivery.message
        news = News(UUID(order.customer_id), Kind.ORDER_REJECTED, UUID(order.order_id), reason=order.reason)
        await self._record(news, order.reject_time, delivery)

    async def cancelled(self, delivery: Delivery[OrderCancelled]) -> None:
        """Tell that the order was cancelled, and why."""
        order = delivery.message
        news = News(UUID(order.customer_id), Kind.ORDER_CANCELLED, UUID(order.order_id), reason=order.reason)
        await self._record(news, order.cancel_time, delivery)

    async def refunded(self, delivery: Delivery[PaymentRefunded]) -> None:
        """Tell what was given back, if anything was. Older events do not say to whom."""
        refund = delivery.message
        if refund.amount.minor_units and refund.customer_id:
            news = News(UUID(refund.customer_id), Kind.PAYMENT_REFUNDED, UUID(refund.order_id), amount(refund.amount))
            await self._record(news, refund.refund_time, delivery)
        else:
            await self._recorder.heard(delivery.inbox_parameters())

    async def _record(self, news: News, happened: Timestamp, delivery: Delivery[Any]) -> None:
        known = happened.ToMilliseconds() > 0
        old = known and is_old(happened.ToDatetime(UTC), datetime.now(UTC))
        await self._recorder.record(news, delivery.inbox_parameters(), old=old)
