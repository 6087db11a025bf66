"""What the payment service does about the events of an order: capture when confirmed, give back when cancelled.

The payment is claimed before the processor is asked, so that a capture and a refund of one order never run at the same
time. A claim outlives a crash: the event is delivered again and goes on from there.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed

from services.chassis.consumer import Delivery
from services.chassis.errors import DomainError, Kind
from services.chassis.money import Money
from services.chassis.outbox import Outbox
from services.chassis.service import Consumer
from services.payment import messages
from services.payment.domain import (
    CardDeclined,
    Payment,
    PaymentNotFound,
    Processor,
    ProcessorUnavailable,
    State,
)
from services.payment.store import PaymentStore


class PaymentBusyError(DomainError):
    """The payment is being captured, for as long as the processor is away. Like any outage it is waited for."""

    kind = Kind.ABORTED
    reason = "PAYMENT_BUSY"


class PaymentConsumers:
    """Handlers, one per event. Each is insensitive to order and repeats: the payment's state decides."""

    def __init__(self, store: PaymentStore, processor: Processor, outbox: Outbox) -> None:
        """Keep the collaborators."""
        self._store = store
        self._processor = processor
        self._outbox = outbox

    def all(self) -> tuple[Consumer[Any], ...]:
        """Return the declarations."""
        return Consumer(OrderConfirmed, self.confirmed), Consumer(OrderCancelled, self.cancelled)

    async def confirmed(self, delivery: Delivery[OrderConfirmed]) -> None:
        """Capture the payment, unless the order was cancelled meanwhile; tried again while the hold lives."""
        order_id = UUID(delivery.message.order_id)
        payment = await self._store.claim_capture(order_id)
        if payment is None:
            await self._require(order_id)
            await self._store.heard(delivery.inbox_parameters())
            return
        amount = payment.held_amount
        try:
            await self._capture(payment, amount)
        except (CardDeclined, ProcessorUnavailable) as error:
            if isinstance(error, ProcessorUnavailable) and not payment.lapsed:
                raise
            failed = self._event(order_id, messages.payment_capture_failed(order_id, error.reason))
            await self._store.capture_failed(order_id, delivery.inbox_parameters(), failed)
        else:
            captured = self._event(order_id, messages.payment_captured(order_id, amount))
            await self._store.captured(order_id, delivery.inbox_parameters(), captured)
        self._outbox.wake()

    async def _capture(self, payment: Payment, amount: Money) -> Sequence[str]:
        """Take the amount; a hold past its time is taken again first. An answer that comes twice counts once."""
        reference = str(payment.order_id)
        if payment.lapsed:
            await self._processor.authorize(payment.processor_token, reference, amount)
        return await self._processor.capture(payment.processor_token, reference, amount)

    async def cancelled(self, delivery: Delivery[OrderCancelled]) -> None:
        """Refund what was captured, void what was held, or refuse what is authorized late."""
        order_id = UUID(delivery.message.order_id)
        payment = await self._store.claim_give_back(order_id)
        if payment is None:
            await self._require_refunded(order_id)
            await self._store.heard(delivery.inbox_parameters())
            return
        refunded = payment.held_amount if payment.state is State.REFUNDING else None
        if refunded:
            await self._processor.refund(payment.processor_token, str(order_id), refunded)
        else:
            await self._processor.void(str(order_id))
        event = self._event(order_id, messages.payment_refunded(payment, refunded))
        await self._store.given_back(order_id, delivery.inbox_parameters(), event)
        self._outbox.wake()

    async def _require_refunded(self, order_id: UUID) -> None:
        """Raise PaymentBusyError for any other payment: it was being captured, even if it is captured by now."""
        if (await self._require(order_id)).state is not State.REFUNDED:
            raise PaymentBusyError(f"the payment of order {order_id} is being captured")

    async def _require(self, order_id: UUID) -> Payment:
        payment = await self._store.get(order_id)
        if payment is None:
            raise PaymentNotFound(f"order {order_id} is confirmed and has no payment")
        return payment

    def _event(self, order_id: UUID, event: Message) -> Mapping[str, Any]:
        return self._outbox.parameters(event, order_id)
