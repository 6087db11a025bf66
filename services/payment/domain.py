"""What a payment may become, and what a processor of cards is to us."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import UUID

from services.chassis.errors import DomainError, Kind
from services.chassis.money import Money


class State(Enum):
    """Where a payment is. The three with -ING are held while the processor is asked, so that nothing else begins."""

    AUTHORIZED = "AUTHORIZED"
    EXPIRED = "EXPIRED"
    CAPTURING = "CAPTURING"
    CAPTURED = "CAPTURED"
    CAPTURE_FAILED = "CAPTURE_FAILED"
    VOIDING = "VOIDING"
    VOIDED = "VOIDED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


class Brand(Enum):
    """Network of a card."""

    UNSPECIFIED = "UNSPECIFIED"
    VISA = "VISA"
    MASTERCARD = "MASTERCARD"
    AMEX = "AMEX"


class CardInvalid(DomainError):
    """The card's number is none (ISO/IEC 7812 check digit)."""

    kind = Kind.INVALID_ARGUMENT
    reason = "CARD_INVALID"


class CardExpired(DomainError):
    """The card's last month is over."""

    kind = Kind.FAILED_PRECONDITION
    reason = "CARD_EXPIRED"


class CardDeclined(DomainError):
    """The card's issuer said no."""

    kind = Kind.FAILED_PRECONDITION
    reason = "CARD_DECLINED"


class ProcessorUnavailable(DomainError):
    """The processor cannot answer now."""

    kind = Kind.UNAVAILABLE
    reason = "PROCESSOR_UNAVAILABLE"


class PaymentMethodNotFound(DomainError):
    """There is no such payment method, or it is somebody else's."""

    kind = Kind.NOT_FOUND
    reason = "PAYMENT_METHOD_NOT_FOUND"


class PaymentNotFound(DomainError):
    """The order has no payment, or is somebody else's."""

    kind = Kind.NOT_FOUND
    reason = "PAYMENT_NOT_FOUND"


class PaymentVoided(DomainError):
    """The order's payment was voided before it was authorized; it never will be."""

    kind = Kind.FAILED_PRECONDITION
    reason = "PAYMENT_VOIDED"


class PaymentCaptured(DomainError):
    """The amount was taken already; it is refunded, not voided."""

    kind = Kind.FAILED_PRECONDITION
    reason = "PAYMENT_CAPTURED"


@dataclass(frozen=True, slots=True)
class Card:
    """A payment card, as it passes through to the processor."""

    number: str
    expire_month: int
    expire_year: int
    security_code: str

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Card(...)"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A card that the processor keeps for a customer."""

    id: UUID
    customer_id: UUID
    brand: Brand
    last_four: str
    expire_month: int
    expire_year: int
    processor_token: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """What was authorized, captured or given back for one order. A tombstone has no customer and no amount."""

    order_id: UUID
    state: State
    customer_id: UUID | None
    payment_method_id: UUID | None
    amount: Money | None
    processor_token: str
    lapsed: bool
    """Whether the hold is past its time."""
    create_time: datetime
    update_time: datetime

    @property
    def held_amount(self) -> Money:
        """The amount of a payment that is no tombstone. Raises LookupError for one."""
        if self.amount is None:
            raise LookupError(f"the payment of order {self.order_id} is a tombstone")
        return self.amount


class Processor(Protocol):
    """Who moves the money. Every call may be repeated with the same reference and then has no second effect.

    Answers may arrive more than once; each call returns all that came. Raises CardDeclined or ProcessorUnavailable,
    which leaves the outcome unknown.
    """

    async def tokenize(self, card: Card) -> str:
        """Keep a card and return a token for it."""

    async def authorize(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Hold an amount, again if the hold has lapsed, and return the authorization codes."""

    async def capture(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Take an amount that is held."""

    async def void(self, reference: str) -> None:
        """Give back whatever is held, or was taken unheard, under a reference; what comes late under it is declined.

        Only the processor can make sure of that: a process may pause right before it asks for a hold or a capture.
        """

    async def refund(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Give back an amount that was taken."""


def check_card(card: Card, today: datetime) -> None:
    """Refuse a card that cannot be one. Raises CardInvalid or CardExpired."""
    if not luhn_valid(card.number):
        raise CardInvalid("the card number's check digit is wrong", fields={"card.number": "is not a card number"})
    if (card.expire_year, card.expire_month) < (today.year, today.month):
        raise CardExpired(f"the card expired in {card.expire_month:02}/{card.expire_year}")


def luhn_valid(number: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def brand_of(number: str) -> Brand:
    """Return the network that a card's number belongs to."""
    if number.startswith("4"):
        return Brand.VISA
    if number.startswith(("34", "37")):
        return Brand.AMEX
    if "51" <= number[:2] <= "55" or "2221" <= number[:4] <= "2720":
        return Brand.MASTERCARD
    return Brand.UNSPECIFIED
