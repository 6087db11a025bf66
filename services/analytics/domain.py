"""What is asked about sales, and what is answered."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Final, Generic, TypeVar
from uuid import UUID

from services.chassis.errors import DomainError, Kind
from services.chassis.money import Money

T = TypeVar("T")

LONGEST: Final = timedelta(days=366)


class DaysInvalid(DomainError):
    """The days are none, in the wrong order, or too many."""

    kind = Kind.INVALID_ARGUMENT
    reason = "DAYS_INVALID"


@dataclass(frozen=True, slots=True)
class Days:
    """UTC days, both included."""

    first: date
    last: date


def days(first: str, last: str) -> Days:
    """Return the days from one to another. Raises DaysInvalid."""
    found = Days(_day("days.first", first), _day("days.last", last))
    if found.last < found.first:
        raise DaysInvalid("the last day is before the first", fields={"days.last": "must not be before days.first"})
    if found.last - found.first >= LONGEST:
        raise DaysInvalid("these are too many days", fields={"days": f"must be at most {LONGEST.days} days"})
    return found


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DaysInvalid("there is no such day", fields={field: "must be a day of the calendar"}) from None


class Group(Enum):
    """What sales are summed by."""

    DAY = "DAY"
    CATEGORY = "CATEGORY"
    PRODUCT = "PRODUCT"


class Rank(Enum):
    """What makes a product sell best."""

    REVENUE = "REVENUE"
    UNITS = "UNITS"


@dataclass(frozen=True, slots=True)
class Question:
    """Which sales are asked for; what is empty or None does not matter."""

    days: Days
    group: Group
    category: str = ""
    product_id: UUID | None = None
    currency_code: str = ""


@dataclass(frozen=True, slots=True)
class Sales:
    """What was sold, summed by `key`: a day, a category or a product's id."""

    key: str
    display_name: str
    category: str
    currency_code: str
    orders: int
    refunded_orders: int
    units: int
    captured: int
    refunded: int

    @property
    def revenue(self) -> int:
        """What was captured, less what was refunded."""
        return self.captured - self.refunded


@dataclass(frozen=True, slots=True)
class CustomerValue:
    """What a customer ordered so far, in one currency."""

    customer_id: UUID
    placed_orders: int
    orders: int
    refunded_orders: int
    value: Money
    first_order_time: datetime
    last_order_time: datetime


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a generation of the read model answers."""

    generation: int
    rows: list[T]
