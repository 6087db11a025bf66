"""What a reservation is, which state follows which, and when units cannot be had."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from services.chassis.errors import DomainError, Kind


class State(Enum):
    """What became of a reservation; the contract's `Reservation.State`.

    HELD -> COMMITTED (the order was confirmed) -> RESTOCKED (and cancelled after all); HELD -> RELEASED. A released
    one may become COMMITTED: it had expired, the order was confirmed all the same, and the units were still there.
    """

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    RESTOCKED = "RESTOCKED"


class StockInsufficient(DomainError):
    """There are fewer units of a product than the order wants."""

    kind = Kind.FAILED_PRECONDITION
    reason = "STOCK_INSUFFICIENT"


class ReservationReleased(DomainError):
    """The order's reservation was released, maybe before it was made."""

    kind = Kind.FAILED_PRECONDITION
    reason = "RESERVATION_RELEASED"


class ReservationCommitted(DomainError):
    """The order was confirmed; its units are sold."""

    kind = Kind.FAILED_PRECONDITION
    reason = "RESERVATION_COMMITTED"


class ReservationExists(DomainError):
    """The order has a reservation already, of something else."""

    kind = Kind.ALREADY_EXISTS
    reason = "RESERVATION_EXISTS"


class ProductRepeated(DomainError):
    """Two lines of a request name the same product."""

    kind = Kind.INVALID_ARGUMENT
    reason = "PRODUCT_REPEATED"


class ResumeTokenInvalid(DomainError):
    """The token was not given out by WatchStock for these products."""

    kind = Kind.INVALID_ARGUMENT
    reason = "RESUME_TOKEN_INVALID"


@dataclass(frozen=True, slots=True)
class Stock:
    """How many units of one product there are. `update_time` is None for a product that was never restocked."""

    product_id: UUID
    available: int = 0
    reserved: int = 0
    sold: int = 0
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Units of one product."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Units held for one order, its lines in the order of products."""

    order_id: UUID
    state: State
    lines: tuple[Line, ...]
    cancelled: bool = False
    """Whether the order's cancellation was heard."""


def hold(order_id: UUID, lines: Sequence[Line]) -> Reservation:
    """Return what is to be held for an order. Raises ProductRepeated."""
    seen = set()
    for index, line in enumerate(lines):
        if line.product_id in seen:
            raise ProductRepeated(
                f"product {line.product_id} is in more than one line",
                fields={f"lines[{index}].product_id": "names a product that an earlier line names"},
            )
        seen.add(line.product_id)
    return Reservation(order_id, State.HELD, in_order(lines))


def in_order(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return lines in the order of products, each product once: the order in which stock is locked."""
    quantities: dict[UUID, int] = {}
    for line in lines:
        quantities[line.product_id] = quantities.get(line.product_id, 0) + line.quantity
    return tuple(Line(*item) for item in sorted(quantities.items()))


def hold_again(found: Reservation, wanted: Reservation) -> Reservation:
    """Return the reservation that an order has already. Raises ReservationReleased or ReservationExists."""
    metadata = {"order_id": str(found.order_id)}
    if found.state in (State.RELEASED, State.RESTOCKED):
        raise ReservationReleased(f"the reservation of order {found.order_id} was released", metadata=metadata)
    if found.lines != wanted.lines:
        raise ReservationExists(f"order {found.order_id} has a reservation of other units", metadata=metadata)
    return found


def insufficient(order_id: UUID, product_ids: Iterable[UUID]) -> StockInsufficient:
    """Return the refusal that names the products there are too few of."""
    named = ",".join(map(str, sorted(product_ids)))
    return StockInsufficient(
        f"there are too few units of {named}", metadata={"order_id": str(order_id), "product_ids": named}
    )


def require_given_back(found: Reservation | None) -> None:
    """Raise ReservationCommitted if the units are sold, and so are not to be released."""
    if found is not None and found.state is State.COMMITTED:
        raise ReservationCommitted(f"order {found.order_id} was confirmed", metadata={"order_id": str(found.order_id)})


def confirmation_is_settled(found: Reservation | None) -> bool:
    """Return whether a confirmation changes nothing any more: it was heard before, or the order was cancelled."""
    return found is not None and (found.cancelled or found.state in (State.COMMITTED, State.RESTOCKED))
