"""The rules of signing in: who a customer is, what proves it, and how long that holds."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.chassis.errors import DomainError, Kind

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
REFRESH_TOKEN_LIFETIME = timedelta(days=30)
"""Counted anew from each refresh: a session ends 30 days after it was last used."""
PASSWORD_MIN_LENGTH = 10
"""As in the contract; stated here for the password of the staff account, which comes from the settings."""


class Role(StrEnum):
    """What a signed-in person may do; the `role` claim of their tokens."""

    CUSTOMER = "customer"
    STAFF = "staff"


class EmailTaken(DomainError):
    """Another customer signs in with this address."""

    kind = Kind.ALREADY_EXISTS
    reason = "EMAIL_TAKEN"


class CustomerNotFound(DomainError):
    """There is no such customer, or it is somebody else."""

    kind = Kind.NOT_FOUND
    reason = "CUSTOMER_NOT_FOUND"


class CredentialsInvalid(DomainError):
    """Nobody signs in with this address and password; which of the two is wrong is not said."""

    kind = Kind.UNAUTHENTICATED
    reason = "CREDENTIALS_INVALID"


class RefreshTokenInvalid(DomainError):
    """The refresh token is unknown, spent or expired, or its session was revoked."""

    kind = Kind.UNAUTHENTICATED
    reason = "REFRESH_TOKEN_INVALID"


@dataclass(frozen=True, slots=True)
class Customer:
    """A person who can sign in."""

    id: UUID
    email: str
    display_name: str
    role: Role
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach a customer."""

    email: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Account:
    """What signing in needs to know of a customer."""

    customer_id: UUID
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in session, alive until its newest refresh token expires."""

    id: UUID
    customer_id: UUID
    role: Role
    expire_time: datetime


class Passwords(Protocol):
    """Makes and checks password hashes."""

    async def hash(self, password: str) -> str:
        """Return a hash that is slow to guess from."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password made the hash. Without a hash it takes as long, and the answer is False."""


class Customers(Protocol):
    """The customers we know."""

    async def find_customer(self, customer_id: UUID) -> Customer | None:
        """Return the customer with this id."""

    async def find_account(self, email: str) -> Account | None:
        """Return the account that signs in with this address, given in lower case."""


class StaffAccounts(Customers, Protocol):
    """The customers we know, where one can be made staff."""

    async def put_staff(self, customer: Customer, password_hash: str) -> None:
        """Store the customer as staff with this password; end the sessions of whoever had the address."""


class Sessions(Protocol):
    """The sessions that are open."""

    async def rotate(self, spent_hash: bytes, new_hash: bytes) -> Session | None:
        """Spend one refresh token for another; None when it buys nothing any more."""

    async def revoke_reused(self, spent_hash: bytes) -> None:
        """Revoke the session whose spent refresh token this is, if it is one."""


def sign_in_address(email: str) -> str:
    """Return the address in the form it is stored and compared in.

    A NUL, which no stored address has and PostgreSQL refuses to compare, becomes the replacement character.
    """
    return email.lower().replace("\0", "\N{REPLACEMENT CHARACTER}")


def canonical_password(password: str) -> str:
    """Return the password as every keyboard types it: NFKC (NIST SP 800-63B, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def new_customer(customer_id: UUID, email: str, display_name: str, now: datetime) -> Customer:
    """Return a customer who registers now."""
    return Customer(customer_id, sign_in_address(email), display_name, Role.CUSTOMER, now)


async def get_customer(customers: Customers, caller_id: UUID, customer_id: UUID) -> Customer:
    """Return the caller's own record. Somebody else's is as good as none."""
    customer = await customers.find_customer(customer_id) if customer_id == caller_id else None
    if customer is None:
        raise _no_such_customer(customer_id)
    return customer


async def get_contact(customers: Customers, customer_id: UUID) -> Contact:
    """Return how to reach a customer."""
    customer = await customers.find_customer(customer_id)
    if customer is None:
        raise _no_such_customer(customer_id)
    return Contact(customer.email, customer.display_name)


def _no_such_customer(customer_id: UUID) -> CustomerNotFound:
    return CustomerNotFound("no such customer", metadata={"customer_id": str(customer_id)})


async def sign_in(customers: Customers, passwords: Passwords, email: str, password: str) -> Account:
    """Return the account that the address and password open, in the same time whether or not the address is known."""
    account = await customers.find_account(sign_in_address(email))
    matches = await passwords.verify(account.password_hash if account else None, password)
    if account is None or not matches:
        raise CredentialsInvalid("no customer signs in with this address and password")
    return account


async def refresh(sessions: Sessions, spent_hash: bytes, new_hash: bytes) -> Session:
    """Exchange a refresh token for a new one.

    A token that comes a second time is in two hands, and nobody can tell which is the customer's: the session ends
    (RFC 9700, section 4.14.2).
    """
    session = await sessions.rotate(spent_hash, new_hash)
    if session is None:
        await sessions.revoke_reused(spent_hash)
        raise RefreshTokenInvalid("the refresh token is unknown, spent or expired; sign in again")
    return session


async def ensure_staff(accounts: StaffAccounts, passwords: Passwords, staff: Customer, password: str) -> None:
    """See to it that this address and password sign a member of staff in. Doing it again changes nothing."""
    account = await accounts.find_account(staff.email)
    if account and account.role is Role.STAFF and await passwords.verify(account.password_hash, password):
        return
    await accounts.put_staff(staff, await passwords.hash(password))
