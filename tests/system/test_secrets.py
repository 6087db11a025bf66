"""No secret in any log of a shop that has been through all the other tests (conftest.py has this one run last)."""

import re
from contextlib import suppress
from typing import Any
from uuid import uuid4

import grpc
import pytest
from meshmart.identity.v1.identity_service_pb2 import (
    CreateSessionRequest,
    RefreshSessionRequest,
    RegisterCustomerRequest,
)
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from scripts.local_run.supervisor import Shop
from tests.support.fronts import Fronts
from tests.system.shopper import DECLINES, UNCAPTURABLE, WORKS, cart

ALWAYS_SECRET = ["Bearer ", WORKS, DECLINES, UNCAPTURABLE]
TOKEN = re.compile(r"eyJ[\w-]{10,}\.")

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def _found(shop: Shop, secrets: list[str]) -> list[str]:
    """Return which secrets are in which logs."""
    found = []
    for log in (shop.state / "logs").iterdir():
        text = log.read_text(errors="replace")
        found += [f"{secret} in {log.name}" for secret in secrets if secret in text]
        found += [f"{token} in {log.name}" for token in TOKEN.findall(text)]
    return found


async def _try(method: Any, request: Any) -> Any:
    """Make a call that may be refused."""
    with suppress(grpc.aio.AioRpcError):
        return await method(request)


async def _sign_in_and_fail(fronts: Fronts) -> list[str]:
    """Register, sign in and refresh, each also in a way that is refused; return what must stay secret."""
    identity, password, email = IdentityServiceStub(fronts.channel), uuid4().hex, f"{uuid4().hex}@example.com"
    for _ in range(2):  # the second finds the address taken
        registration = RegisterCustomerRequest(
            request_id=str(uuid4()), email=email, password=password, display_name="Somebody"
        )
        await _try(identity.RegisterCustomer, registration)
    for wrong in (password[::-1], "short"):
        await _try(identity.CreateSession, CreateSessionRequest(email=email, password=wrong))
    tokens = (await identity.CreateSession(CreateSessionRequest(email=email, password=password))).session
    for _ in range(2):  # the second spends a token that is spent
        await _try(identity.RefreshSession, RefreshSessionRequest(refresh_token=tokens.refresh_token))
    return [email, password, password[::-1], tokens.access_token, tokens.refresh_token]


@pytest.mark.parametrize("running", ["separate_shop", "one_process_shop"], indirect=True)
async def test_neither_calls_nor_refusals_leave_a_secret_in_a_log(shop, fronts, shopper):
    secrets = await _sign_in_and_fail(fronts)
    order = await shopper.place(cart(await shopper.product(), await shopper.card(DECLINES)))
    await shopper.becomes(order.id, "REJECTED")
    invalid = {"number": f"{WORKS[:-1]}1", "expireMonth": 13, "expireYear": 2099, "securityCode": "123"}
    body = {"requestId": str(uuid4()), "card": invalid}
    assert (await fronts.rest("POST", "/v1/paymentMethods", shopper.token, json=body)).status == 400
    assert (await fronts.rest("GET", f"/v1/orders?access_token={shopper.token}")).status == 401

    secrets += [shopper.password, shopper.token, str(invalid["number"]), *shop.secrets.values.values()]
    assert _found(shop, [*ALWAYS_SECRET, *secrets]) == []
