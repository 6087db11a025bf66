"""Idempotent methods: a repeat that fails because it was done before is answered with the first reply."""

import pytest
from meshmart.identity.v1.identity_service_pb2 import RegisterCustomerRequest

from services.chassis.call import Call, _current
from services.chassis.contract import method_contract
from services.chassis.refusals import RequestIdReused
from services.chassis.replay import replaying, request_hash

METHOD = "/meshmart.identity.v1.IdentityService/RegisterCustomer"
REQUEST = RegisterCustomerRequest(request_id="1", email="ann@example.com", password="secret", display_name="Ann")


@pytest.fixture
def call():
    """Return the call being served."""
    call = Call(method_contract(METHOD), None, 0.0, "", sampled=False)
    token = _current.set(call)
    yield call
    _current.reset(token)


def handler(outcome):
    """Return a handler that answers, or raises."""

    async def handle(request, context):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return handle


def store(outcome):
    """Return a store of first replies that finds always the same, and notes that it was asked."""
    asked = []

    async def stored_reply(call):
        asked.append(call.request_id)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return stored_reply, asked


async def test_success_looks_nothing_up(call):
    stored_reply, asked = store(b"first")
    assert await replaying(handler(b"new"), stored_reply)(REQUEST, None) == b"new"
    assert asked == []


async def test_a_repeat_is_answered_with_the_first_reply_whatever_it_failed_with(call):
    stored_reply, asked = store(b"first")
    assert await replaying(handler(KeyError("done before")), stored_reply)(REQUEST, None) == b"first"
    assert asked == ["1"]


FAILURES = [
    pytest.param(None, KeyError, id="nothing stored: the failure goes on"),
    pytest.param(RequestIdReused("other request"), RequestIdReused, id="stored for another request: reused"),
    pytest.param(ConnectionError("database"), ConnectionError, id="store unreadable: a repeat must not look refused"),
]


@pytest.mark.parametrize(("stored", "error"), FAILURES)
async def test_a_failure_without_a_first_reply_goes_on(call, stored, error):
    with pytest.raises(error):
        await replaying(handler(KeyError("failed")), store(stored)[0])(REQUEST, None)


def changed(**fields) -> RegisterCustomerRequest:
    """Return the request with other fields."""
    copy = RegisterCustomerRequest()
    copy.CopyFrom(REQUEST)
    copy.MergeFrom(RegisterCustomerRequest(**fields))
    return copy


def test_requests_are_told_apart_by_their_hash():
    assert request_hash(REQUEST) == request_hash(changed())
    assert request_hash(REQUEST) != request_hash(changed(request_id="2"))


def test_what_must_not_lie_in_a_fast_hash_is_left_out_of_it():
    assert request_hash(REQUEST) == request_hash(changed(password="another"))
