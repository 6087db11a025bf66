"""Stock and reservations as the contract's messages."""

from collections.abc import Iterable, Iterator
from typing import Protocol
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.inventory.v1 import stock_events_pb2, stock_pb2

from services.chassis.messages import now, timestamp
from services.inventory.domain import Line, Reservation, Stock


class WireLine(Protocol):
    """A line of a request or an event."""

    @property
    def product_id(self) -> str:
        """The product."""

    @property
    def quantity(self) -> int:
        """Units of it."""


def lines_of(lines: Iterable[WireLine]) -> list[Line]:
    """Return the lines of a message."""
    return [Line(UUID(line.product_id), line.quantity) for line in lines]


def stock(value: Stock) -> stock_pb2.Stock:
    """Return stock as a message."""
    return stock_pb2.Stock(
        product_id=str(value.product_id),
        available=value.available,
        reserved=value.reserved,
        sold=value.sold,
        update_time=_time(value),
    )


def reservation(value: Reservation) -> stock_pb2.Reservation:
    """Return a reservation as a message."""
    return stock_pb2.Reservation(
        order_id=str(value.order_id),
        state=stock_pb2.Reservation.State.Value(f"STATE_{value.state.value}"),
        lines=_wire_lines(value.lines),
    )


def stock_changed(value: Stock) -> stock_events_pb2.StockChanged:
    """Return the event of changed figures."""
    return stock_events_pb2.StockChanged(
        product_id=str(value.product_id), available=value.available, change_time=_time(value)
    )


def stock_depleted(value: Stock) -> stock_events_pb2.StockDepleted:
    """Return the event of a product that ran out."""
    return stock_events_pb2.StockDepleted(product_id=str(value.product_id), deplete_time=_time(value))


def reservation_released(order_id: UUID, reason: str) -> stock_events_pb2.ReservationReleased:
    """Return the event of a reservation that is being released, for a reason of the contract."""
    number = stock_events_pb2.ReservationReleased.Reason.Value(f"REASON_{reason}")
    return stock_events_pb2.ReservationReleased(order_id=str(order_id), reason=number, release_time=now())


def order_restocked(order_id: UUID) -> stock_events_pb2.OrderRestocked:
    """Return the event of a cancelled order whose units are being put back."""
    return stock_events_pb2.OrderRestocked(order_id=str(order_id), restock_time=now())


def stock_commit_failed(order_id: UUID) -> stock_events_pb2.StockCommitFailed:
    """Return the event of a confirmed order whose units cannot be had."""
    return stock_events_pb2.StockCommitFailed(order_id=str(order_id), fail_time=now())


def _wire_lines(lines: Iterable[Line]) -> Iterator[stock_pb2.ReservationLine]:
    return (stock_pb2.ReservationLine(product_id=str(line.product_id), quantity=line.quantity) for line in lines)


def _time(value: Stock) -> Timestamp | None:
    return timestamp(value.update_time) if value.update_time else None
