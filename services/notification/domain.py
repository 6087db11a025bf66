"""What customers are told, whether they want to be, and for how long it is tried."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from services.chassis.errors import DomainError
from services.chassis.errors import Kind as ErrorKind
from services.chassis.money import Money

FIRST_DELAY: Final = 2.0
LONGEST_DELAY: Final = 900.0
"""Seconds between two tries: the first doubles until it is the longest."""

OLD_AFTER: Final = timedelta(days=7)
"""What happened longer ago is no news: nobody is told of it, for example when notification hears a shop's history."""

CHANGEABLE: Final = ("mail_enabled", "muted_kinds")


class Kind(StrEnum):
    """What a customer is told."""

    WELCOME = "WELCOME"
    ORDER_CONFIRMED = "ORDER_CONFIRMED"
    ORDER_REJECTED = "ORDER_REJECTED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED"


class Channel(StrEnum):
    """What a notification is sent over."""

    EMAIL = "EMAIL"
    LOG = "LOG"


class State(StrEnum):
    """Where a notification is."""

    PENDING = "PENDING"
    SENT = "SENT"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class ResumeTokenInvalid(DomainError):
    """The resume token was not given by a watch of this customer."""

    kind = ErrorKind.INVALID_ARGUMENT
    reason = "RESUME_TOKEN_INVALID"


class UnsubscribeTokenInvalid(DomainError):
    """The token is not one that a mail of ours holds."""

    kind = ErrorKind.INVALID_ARGUMENT
    reason = "UNSUBSCRIBE_TOKEN_INVALID"


class UpdateMaskInvalid(DomainError):
    """The mask names nothing, or what cannot be changed."""

    kind = ErrorKind.INVALID_ARGUMENT
    reason = "UPDATE_MASK_INVALID"


class EtagStale(DomainError):
    """The preferences changed since they were read."""

    kind = ErrorKind.ABORTED
    reason = "ETAG_STALE"


class Undeliverable(Exception):
    """It can never be sent: the mail server refuses it, or there is nobody to send it to."""

    def __init__(self, reason: str) -> None:
        """Keep why, as an error reason."""
        super().__init__(reason)
        self.reason = reason


class NotNow(Exception):
    """It could not be sent this time. The reason holds nothing personal."""

    def __init__(self, reason: str) -> None:
        """Keep why, as an error reason."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told to whom."""

    customer_id: UUID
    kind: Kind
    order_id: UUID | None = None
    amount: Money | None = None
    reason: str = ""
    """Why an order was rejected or cancelled, as an error reason."""


def is_old(happened: datetime, now: datetime) -> bool:
    """Whether something happened too long ago to tell anybody."""
    return now - happened > OLD_AFTER


@dataclass(frozen=True, slots=True)
class Notification:
    """News as they were recorded, and what became of them."""

    id: UUID
    news: News
    channel: Channel
    state: State
    failure_reason: str
    create_time: datetime
    send_time: datetime | None


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach a customer. Never stored here."""

    email: str
    display_name: str


class Contacts(Protocol):
    """Those who can be reached."""

    async def of(self, customer_id: UUID) -> Contact:
        """Return how to reach a customer. Raises Undeliverable if there is none, NotNow if it cannot be asked."""


class Transport(Protocol):
    """What sends notifications."""

    channel: Channel

    async def send(self, notification: Notification) -> None:
        """Send it. Raises Undeliverable or NotNow. It may come twice to who cannot tell repeats apart."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """Which mails a customer wants."""

    customer_id: UUID
    mail_enabled: bool = True
    muted_kinds: frozenset[Kind] = frozenset()
    version: int = 0
    """0 until the customer changes something."""
    update_time: datetime | None = None

    @property
    def etag(self) -> str:
        """Version as callers see it."""
        return str(self.version)


def revised(known: Preferences, told: Preferences, paths: Collection[str], etag: str, now: datetime) -> Preferences:
    """Return the next version of preferences, changed where the mask says so. An empty etag accepts any version."""
    check_mask(paths)
    if etag and etag != known.etag:
        raise EtagStale("the preferences changed since they were read")
    changes: dict[str, Any] = {path: getattr(told, path) for path in paths}
    return replace(known, **changes, version=known.version + 1, update_time=now)


def check_mask(paths: Collection[str]) -> None:
    """Refuse a mask that is empty or names what cannot change."""
    unknown = [path for path in paths if path not in CHANGEABLE]
    if unknown or not paths:
        problem = f"may name {' and '.join(CHANGEABLE)}; got {', '.join(unknown) or 'nothing'}"
        raise UpdateMaskInvalid("update_mask is not valid", fields={"update_mask": problem})


def retry_delay(attempt: int) -> float:
    """Return the seconds until the try after the n-th."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 16))
