"""Orders as the contract's messages."""

from collections.abc import Sequence
from uuid import UUID

from meshmart.order.v1 import order_events_pb2, order_pb2, order_service_pb2

from services.chassis.messages import money, now, timestamp
from services.chassis.refusals import RequestInvalid
from services.order.domain import CartLine, Change, Line, Order


def cart(lines: Sequence[order_service_pb2.CartLine]) -> tuple[CartLine, ...]:
    """Return the lines of a request. Raises RequestInvalid for a product in two: ids may differ in case only."""
    cart = tuple(CartLine(UUID(line.product_id), line.quantity) for line in lines)
    if len({line.product_id for line in cart}) < len(cart):
        raise RequestInvalid("the request is invalid", fields={"lines": "each product may stand in one line only"})
    return cart


def order_line(line: Line) -> order_pb2.OrderLine:
    """Return a line of an order as a message."""
    return order_pb2.OrderLine(
        product_id=str(line.product_id),
        display_name=line.display_name,
        quantity=line.quantity,
        unit_price=money(line.unit_price),
    )


def order(value: Order) -> order_pb2.Order:
    """Return an order as a message."""
    return order_pb2.Order(
        id=str(value.id),
        customer_id=str(value.customer_id),
        state=order_pb2.Order.State.Value(f"STATE_{value.state.value}"),
        lines=map(order_line, value.lines),
        total=money(value.total),
        payment_method_id=str(value.payment_method_id),
        reason=value.reason,
        version=value.version,
        create_time=timestamp(value.changes[0].time),
        update_time=timestamp(value.changes[-1].time),
    )


def change(value: Change, resume_token: str, *, last: bool) -> order_service_pb2.WatchOrderResponse:
    """Return a change of an order as a message of a watch."""
    end = order_service_pb2.WatchOrderResponse.END_REASON_LAST_STATE
    return order_service_pb2.WatchOrderResponse(
        state=order_pb2.Order.State.Value(f"STATE_{value.state.value}"),
        reason=value.reason,
        version=value.version,
        change_time=timestamp(value.time),
        resume_token=resume_token,
        end_reason=end if last else order_service_pb2.WatchOrderResponse.END_REASON_UNSPECIFIED,
    )


def resume(value: Order, resume_token: str) -> order_service_pb2.WatchOrderResponse:
    """Return the last message of a watch that is to be resumed: where the order is, once more."""
    message = change(value.changes[-1], resume_token, last=False)
    message.end_reason = order_service_pb2.WatchOrderResponse.END_REASON_RESUME
    return message


def order_placed(value: Order) -> order_events_pb2.OrderPlaced:
    """Return the event of a placed order."""
    return order_events_pb2.OrderPlaced(
        order_id=str(value.id),
        customer_id=str(value.customer_id),
        lines=map(_ordered_line, value.lines),
        total=money(value.total),
        place_time=timestamp(value.changes[0].time),
    )


def order_confirmed(value: Order) -> order_events_pb2.OrderConfirmed:
    """Return the event of an order that is being confirmed."""
    return order_events_pb2.OrderConfirmed(
        order_id=str(value.id),
        customer_id=str(value.customer_id),
        lines=map(_ordered_line, value.lines),
        total=money(value.total),
        payment_method_id=str(value.payment_method_id),
        confirm_time=now(),
    )


def order_rejected(value: Order, reason: str) -> order_events_pb2.OrderRejected:
    """Return the event of an order that is being rejected."""
    return order_events_pb2.OrderRejected(
        order_id=str(value.id), customer_id=str(value.customer_id), reason=reason, reject_time=now()
    )


def order_cancelled(order_id: UUID, customer_id: UUID, reason: str) -> order_events_pb2.OrderCancelled:
    """Return the event of an order that is being cancelled."""
    return order_events_pb2.OrderCancelled(
        order_id=str(order_id), customer_id=str(customer_id), reason=reason, cancel_time=now()
    )


def order_closed(order_id: UUID, customer_id: UUID) -> order_events_pb2.OrderClosed:
    """Return the event of an order that is being closed."""
    return order_events_pb2.OrderClosed(order_id=str(order_id), customer_id=str(customer_id), close_time=now())


def _ordered_line(line: Line) -> order_events_pb2.OrderedLine:
    return order_events_pb2.OrderedLine(
        product_id=str(line.product_id), quantity=line.quantity, unit_price=money(line.unit_price)
    )
