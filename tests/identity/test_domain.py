"""The rules of signing in, without database and network."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.identity import domain
from services.identity.domain import (
    Account,
    CredentialsInvalid,
    Customer,
    CustomerNotFound,
    RefreshTokenInvalid,
    Role,
    Session,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = domain.new_customer(uuid4(), "Ann@Example.COM", "Ann", NOW)


class PlainPasswords:
    """Hashes that can be read, and a count of how often one was checked."""

    def __init__(self):
        self.checks = 0

    async def hash(self, password):
        return f"hash of {password}"

    async def verify(self, password_hash, password):
        self.checks += 1
        return password_hash == f"hash of {password}"


class OneCustomer:
    """A store that knows one customer."""

    def __init__(self, customer: Customer):
        self.customer = customer
        self.password_hash = "hash of correct horse"
        self.writes = 0

    async def find_customer(self, customer_id):
        return self.customer if customer_id == self.customer.id else None

    async def find_account(self, email):
        known = email == self.customer.email
        return Account(self.customer.id, self.customer.role, self.password_hash) if known else None

    async def put_staff(self, customer, password_hash):
        self.customer = replace(self.customer, role=Role.STAFF)
        self.password_hash = password_hash
        self.writes += 1


class OneSession:
    """A store with one session whose newest refresh token is `newest`."""

    def __init__(self):
        self.session = Session(uuid4(), ANN.id, Role.CUSTOMER, NOW)
        self.newest = b"first"
        self.spent: set[bytes] = set()
        self.revoked = False

    async def rotate(self, spent_hash, new_hash):
        if self.revoked or spent_hash != self.newest:
            return None
        self.spent.add(spent_hash)
        self.newest = new_hash
        return self.session

    async def revoke_reused(self, spent_hash):
        self.revoked = self.revoked or spent_hash in self.spent


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        pytest.param("Ann@Example.COM", "ann@example.com", id="upper case"),
        pytest.param("ann@example.com", "ann@example.com", id="lower case"),
        pytest.param("ann\0@example.com", "ann\ufffd@example.com", id="NUL, which no stored address has"),
    ],
)
def test_addresses_are_compared_without_regard_to_case(typed, stored):
    assert domain.sign_in_address(typed) == stored


def test_a_password_is_the_same_however_its_accents_are_typed():
    assert domain.canonical_password("cafe\u0301 au lait") == domain.canonical_password("caf\u00e9 au lait")


def test_a_new_customer_is_no_member_of_staff():
    assert (ANN.email, ANN.role, ANN.create_time) == ("ann@example.com", Role.CUSTOMER, NOW)


async def test_customers_see_their_own_record():
    assert await domain.get_customer(OneCustomer(ANN), ANN.id, ANN.id) == ANN


@pytest.mark.parametrize("caller_known", [True, False], ids=["somebody else's", "unknown"])
async def test_any_other_record_does_not_exist(caller_known):
    stranger = uuid4()
    asked = ANN.id if caller_known else stranger
    with pytest.raises(CustomerNotFound):
        await domain.get_customer(OneCustomer(ANN), stranger, asked)


async def test_address_and_password_open_the_account():
    account = await domain.sign_in(OneCustomer(ANN), PlainPasswords(), "ANN@example.com", "correct horse")
    assert account.customer_id == ANN.id


@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com"], ids=["wrong password", "unknown address"])
async def test_a_refused_sign_in_always_checks_one_password(email):
    passwords = PlainPasswords()
    with pytest.raises(CredentialsInvalid) as refusal:
        await domain.sign_in(OneCustomer(ANN), passwords, email, "wrong horse")
    assert passwords.checks == 1
    assert refusal.value.metadata == {}


async def test_a_refresh_token_works_once():
    sessions = OneSession()
    assert await domain.refresh(sessions, b"first", b"second") == sessions.session
    with pytest.raises(RefreshTokenInvalid):
        await domain.refresh(sessions, b"first", b"third")


async def test_a_reused_refresh_token_ends_the_session():
    sessions = OneSession()
    await domain.refresh(sessions, b"first", b"second")
    with pytest.raises(RefreshTokenInvalid):
        await domain.refresh(sessions, b"first", b"third")
    with pytest.raises(RefreshTokenInvalid):
        await domain.refresh(sessions, b"second", b"fourth")


async def test_an_unknown_refresh_token_ends_no_session():
    sessions = OneSession()
    with pytest.raises(RefreshTokenInvalid):
        await domain.refresh(sessions, b"guessed", b"second")
    assert not sessions.revoked


@pytest.mark.parametrize(
    ("role", "password", "writes"),
    [
        pytest.param(Role.STAFF, "correct horse", 0, id="nothing changed"),
        pytest.param(Role.STAFF, "another horse", 1, id="password changed"),
        pytest.param(Role.CUSTOMER, "correct horse", 1, id="a customer has the address"),
    ],
)
async def test_staff_is_written_only_when_something_changed(role, password, writes):
    store = OneCustomer(replace(ANN, role=role))
    await domain.ensure_staff(store, PlainPasswords(), ANN, password)
    assert store.writes == writes
    account = await domain.sign_in(store, PlainPasswords(), ANN.email, password)
    assert account.role is Role.STAFF
