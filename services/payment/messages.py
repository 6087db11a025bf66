"""Payments as the contract's messages."""

from uuid import UUID

from meshmart.payment.v1 import payment_events_pb2, payment_pb2, payment_service_pb2

from services.chassis.messages import money, now, timestamp
from services.chassis.money import Money
from services.payment.domain import Card, Payment, PaymentMethod, State

SHOWN = {State.CAPTURING: State.AUTHORIZED, State.VOIDING: State.VOIDED, State.REFUNDING: State.CAPTURED}
"""What a caller is shown while the processor is being asked."""


def card(message: payment_service_pb2.CreatePaymentMethodRequest.Card) -> Card:
    """Return the card of a request."""
    return Card(message.number, message.expire_month, message.expire_year, message.security_code)


def payment_method(value: PaymentMethod) -> payment_pb2.PaymentMethod:
    """Return a payment method as a message."""
    return payment_pb2.PaymentMethod(
        id=str(value.id),
        brand=payment_pb2.PaymentMethod.Brand.Value(f"BRAND_{value.brand.value}"),
        last_four=value.last_four,
        expire_month=value.expire_month,
        expire_year=value.expire_year,
        create_time=timestamp(value.create_time),
    )


def payment(value: Payment) -> payment_pb2.Payment:
    """Return a payment as a message."""
    return payment_pb2.Payment(
        order_id=str(value.order_id),
        state=payment_pb2.Payment.State.Value(f"STATE_{SHOWN.get(value.state, value.state).value}"),
        amount=money(value.amount) if value.amount else None,
        payment_method_id=str(value.payment_method_id or ""),
        create_time=timestamp(value.create_time),
        update_time=timestamp(value.update_time),
    )


def payment_captured(order_id: UUID, amount: Money) -> payment_events_pb2.PaymentCaptured:
    """Return the event of a capture."""
    return payment_events_pb2.PaymentCaptured(order_id=str(order_id), amount=money(amount), capture_time=now())


def payment_capture_failed(order_id: UUID, reason: str) -> payment_events_pb2.PaymentCaptureFailed:
    """Return the event of a capture that failed for good."""
    return payment_events_pb2.PaymentCaptureFailed(order_id=str(order_id), reason=reason, fail_time=now())


def payment_refunded(value: Payment, amount: Money | None) -> payment_events_pb2.PaymentRefunded:
    """Return the event of a payment that was given back; without an amount when none had been taken."""
    return payment_events_pb2.PaymentRefunded(
        order_id=str(value.order_id),
        amount=money(amount) if amount else None,
        refund_time=now(),
        customer_id=str(value.customer_id or ""),
    )
