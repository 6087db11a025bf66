"""Registering and looking up customers through a real host, with a real database behind it."""

import asyncio
from uuid import uuid4

import pytest
from meshmart.identity.v1.customer_events_pb2 import CustomerRegistered
from meshmart.identity.v1.customer_pb2 import Customer
from meshmart.identity.v1.identity_service_pb2 import (
    GetContactRequest,
    GetContactResponse,
    GetCustomerRequest,
    RegisterCustomerRequest,
)

from services.chassis.redaction import redacted_text
from tests.identity.conftest import PASSWORD, Identity
from tests.support.refusals import refused


async def _get(identity: Identity, customer_id: str, token: str | None) -> Customer:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    request = GetCustomerRequest(customer_id=customer_id)
    return (await identity.stub.GetCustomer(request, metadata=metadata)).customer


async def test_a_customer_registers(identity):
    customer = await identity.register("Ann@Example.com")
    assert (customer.email, customer.display_name, customer.role) == ("ann@example.com", "Ann", Customer.ROLE_CUSTOMER)


async def test_the_registration_is_published_with_ids_only(identity, database):
    customer = await identity.register()
    [(kind, aggregate, version, payload)] = await database.all(
        "SELECT event_type, aggregate_id, aggregate_version, payload FROM outbox"
    )
    assert (kind, aggregate, version) == ("meshmart.identity.v1.CustomerRegistered", customer.id, 1)
    event = CustomerRegistered.FromString(payload)
    assert (event.customer_id, event.register_time) == (customer.id, customer.create_time)


async def test_a_repeated_registration_gets_the_first_answer(identity, database):
    request_id = str(uuid4())
    answers = await asyncio.gather(*(identity.register(request_id=request_id) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await database.one("SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM outbox)") == (1, 1)


@pytest.mark.parametrize(
    "changed",
    [{"email": "bob@example.com"}, {"password": "another horse battery"}, {"name": "Anna"}],
    ids=["address", "password", "name"],
)
async def test_a_request_id_belongs_to_one_request(identity, changed):
    request_id = str(uuid4())
    await identity.register(request_id=request_id)
    with refused("ABORTED", "REQUEST_ID_REUSED"):
        await identity.register(request_id=request_id, **changed)


async def test_an_address_is_registered_once_whatever_its_case(identity):
    await identity.register("ann@example.com")
    with refused("ALREADY_EXISTS", "EMAIL_TAKEN"):
        await identity.register("ANN@example.com")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("request_id", "7", id="request id is no UUID"),
        pytest.param("email", "ann", id="no address"),
        pytest.param("email", f"ann@{'x' * 60}.{'y' * 250}", id="address too long"),
        pytest.param("password", "123456789", id="password too short"),
        pytest.param("password", "x" * 129, id="password too long"),
        pytest.param("display_name", "", id="no name"),
    ],
)
async def test_what_breaks_the_contract_is_refused(identity, field, value):
    valid = {"request_id": str(uuid4()), "email": "a@b.example", "password": PASSWORD, "display_name": "A"}
    with refused("INVALID_ARGUMENT", "REQUEST_INVALID") as told:
        await identity.stub.RegisterCustomer(RegisterCustomerRequest(**(valid | {field: value})))
    assert list(told.fields) == [field]


async def test_customers_see_their_own_record(identity):
    customer = await identity.register()
    session = await identity.sign_in()
    assert await _get(identity, customer.id, session.access_token) == customer


async def test_somebody_elses_record_is_not_found_like_an_unknown_one(identity):
    other = await identity.register("bob@example.com")
    await identity.register()
    token = (await identity.sign_in()).access_token
    for customer_id in (other.id, str(uuid4())):
        with refused("NOT_FOUND", "CUSTOMER_NOT_FOUND") as told:
            await _get(identity, customer_id, token)
        assert (told.message, told.metadata) == ("no such customer", {"customer_id": customer_id})


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(None, "TOKEN_MISSING", id="no token"),
        pytest.param("x.y.z", "TOKEN_INVALID", id="no token of ours"),
    ],
)
async def test_nobody_sees_a_record_without_a_token(identity, token, reason):
    with refused("UNAUTHENTICATED", reason):
        await _get(identity, str(uuid4()), token)


async def test_a_service_learns_how_to_reach_a_customer(identity):
    customer = await identity.register()
    contact = await identity.stub.GetContact(GetContactRequest(customer_id=customer.id))
    assert (contact.email, contact.display_name) == ("ann@example.com", "Ann")


async def test_nobody_can_be_reached_who_is_no_customer(identity):
    customer_id = str(uuid4())
    with refused("NOT_FOUND", "CUSTOMER_NOT_FOUND") as told:
        await identity.stub.GetContact(GetContactRequest(customer_id=customer_id))
    assert told.metadata == {"customer_id": customer_id}


def test_how_to_reach_a_customer_is_not_logged():
    answer = GetContactResponse(email="ann@example.com", display_name="Ann")
    assert redacted_text(answer) == ""


async def test_passwords_are_stored_as_argon2id_only(identity, database):
    await identity.register()
    assert await database.one("SELECT password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%' FROM customer") == (True,)
    [row] = await database.all(
        "SELECT customer::text || idempotency::text || outbox::text FROM customer, idempotency, outbox"
    )
    assert PASSWORD not in row[0]
