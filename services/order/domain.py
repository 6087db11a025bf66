"""What an order is, how it is priced, and which state follows which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import UUID

from services.chassis.errors import DomainError, Kind
from services.chassis.money import Money

MAX_TOTAL = 10_000_000
"""Largest total of one order, in minor units."""


class State(Enum):
    """Where an order is; the contract's `Order.State`."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    CLOSED = "CLOSED"

    @property
    def last(self) -> bool:
        """Whether an order that is not cancelled any more stays in this state."""
        return self in (State.COMPLETED, State.REJECTED, State.CLOSED)


CANCELLABLE = (State.PENDING, State.CONFIRMED, State.COMPLETED)


class OrderNotFound(DomainError):
    """There is no such order, or it is somebody else's."""

    kind = Kind.NOT_FOUND
    reason = "ORDER_NOT_FOUND"


class ProductNotFound(DomainError):
    """The catalog does not know a product of the cart."""

    kind = Kind.NOT_FOUND
    reason = "PRODUCT_NOT_FOUND"


class PriceChanged(DomainError):
    """The prices add up to another total than the customer was shown."""

    kind = Kind.FAILED_PRECONDITION
    reason = "PRICE_CHANGED"


class CurrencyMixed(DomainError):
    """The products are priced in more than one currency."""

    kind = Kind.FAILED_PRECONDITION
    reason = "CURRENCY_MIXED"


class TotalTooLarge(DomainError):
    """The order is worth more than the shop takes at once."""

    kind = Kind.FAILED_PRECONDITION
    reason = "TOTAL_TOO_LARGE"


class OrderNotCancellable(DomainError):
    """The order is in a state that cannot be cancelled."""

    kind = Kind.FAILED_PRECONDITION
    reason = "ORDER_NOT_CANCELLABLE"


class SagaBacklogFull(DomainError):
    """Too many orders are on their way; no further one is taken on."""

    kind = Kind.RESOURCE_EXHAUSTED
    reason = "SAGA_BACKLOG_FULL"


class ResumeTokenInvalid(DomainError):
    """The token was not given out by this method for this order."""

    kind = Kind.INVALID_ARGUMENT
    reason = "RESUME_TOKEN_INVALID"


@dataclass(frozen=True, slots=True)
class CartLine:
    """A product and how many of it a customer wants."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Product:
    """What an order must know of a product."""

    display_name: str
    price: Money


@dataclass(frozen=True, slots=True)
class Line:
    """A product of an order, at the name and price of the moment."""

    product_id: UUID
    display_name: str
    quantity: int
    unit_price: Money


@dataclass(frozen=True, slots=True)
class Change:
    """A state that an order went into."""

    version: int
    state: State
    reason: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer bought, or tried to."""

    id: UUID
    customer_id: UUID
    payment_method_id: UUID
    lines: tuple[Line, ...]
    total: Money
    changes: tuple[Change, ...]

    @property
    def state(self) -> State:
        """Where the order is."""
        return self.changes[-1].state

    @property
    def reason(self) -> str:
        """Why it was rejected or cancelled; empty otherwise."""
        return self.changes[-1].reason

    @property
    def version(self) -> int:
        """How often it changed, from 1."""
        return self.changes[-1].version


def price(cart: Sequence[CartLine], products: Mapping[UUID, Product]) -> tuple[Line, ...]:
    """Price a cart. Raises ProductNotFound or CurrencyMixed."""
    lines = []
    for line in cart:
        product = products.get(line.product_id)
        if product is None:
            raise product_not_found(str(line.product_id))
        lines.append(Line(line.product_id, product.display_name, line.quantity, product.price))
    currencies = sorted({line.unit_price.currency_code for line in lines})
    if len(currencies) > 1:
        raise CurrencyMixed(f"an order has one currency, these products have {', '.join(currencies)}")
    return tuple(lines)


def product_not_found(product_id: str) -> ProductNotFound:
    """Return the error that names an unknown product."""
    return ProductNotFound(f"product {product_id} does not exist", metadata={"product_id": product_id})


def total_of(lines: Sequence[Line]) -> Money:
    """Add the lines up. Raises TotalTooLarge."""
    currency = lines[0].unit_price.currency_code
    total = sum((line.unit_price * line.quantity for line in lines), Money(currency, 0))
    if total.minor_units > MAX_TOTAL:
        raise TotalTooLarge(f"an order may be worth {MAX_TOTAL} minor units, this one is worth {total.minor_units}")
    return total


def place(  # noqa: PLR0913  # an order has this many parts
    order_id: UUID,
    *,
    customer_id: UUID,
    payment_method_id: UUID,
    lines: tuple[Line, ...],
    expected_total: Money,
    now: datetime,
) -> Order:
    """Make a PENDING order. Raises PriceChanged or TotalTooLarge."""
    total = total_of(lines)
    if total != expected_total:
        raise PriceChanged(
            f"the total is {total.minor_units} {total.currency_code} minor units",
            metadata={"currency_code": total.currency_code, "minor_units": str(total.minor_units)},
        )
    placed = Change(1, State.PENDING, "", now)
    return Order(order_id, customer_id, payment_method_id, lines, total, (placed,))


def cancel(order: Order, reason: str, now: datetime) -> Order:
    """Return the order, CANCELLED. Raises OrderNotCancellable."""
    if order.state not in CANCELLABLE:
        raise OrderNotCancellable(
            f"the order is {order.state.value}", metadata={"order_id": str(order.id), "state": order.state.value}
        )
    change = Change(order.version + 1, State.CANCELLED, reason, now)
    return replace(order, changes=(*order.changes, change))


class Catalog(Protocol):
    """Where products are known."""

    async def products(self, ids: Sequence[UUID]) -> Mapping[UUID, Product]:
        """Return the products. Raises ProductNotFound."""


class Inventory(Protocol):
    """Where units are held. Both calls may be repeated; they raise StepRefused or StepFailed."""

    async def reserve(self, order: Order) -> None:
        """Hold the units of an order."""

    async def release(self, order: Order) -> None:
        """Give them back, or refuse them to a reserve that comes late."""


class Payment(Protocol):
    """Where money is held. Both calls may be repeated; they raise StepRefused or StepFailed."""

    async def authorize(self, order: Order) -> None:
        """Hold the total of an order."""

    async def void(self, order: Order) -> None:
        """Give the hold up, or refuse it to an authorize that comes late."""


class StepRefused(Exception):  # it is an answer, not a fault
    """A neighbour said no, for good."""

    def __init__(self, reason: str) -> None:
        """Keep the neighbour's reason."""
        super().__init__(reason)
        self.reason = reason


class StepFailed(Exception):  # it is an outcome: unknown
    """Nobody knows whether a step was done. Worth a repeat unless its time ran out."""

    def __init__(self, reason: str, *, timed_out: bool) -> None:
        """Keep what was seen."""
        super().__init__(reason)
        self.reason = reason
        self.timed_out = timed_out
