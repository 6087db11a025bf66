"""Who may call what: tokens are verified here again, whatever the edge has done."""

import time

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.chassis import auth
from services.chassis.auth import Authenticator
from services.chassis.contract import Access
from services.chassis.refusals import SessionRevoked, TokenExpired, TokenInvalid
from tests.chassis.shop import GET, IMPORT, QUOTE, WATCH, served_call, shop
from tests.support.refusals import refused
from tests.support.tokens import KEY_ID

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def header(key=KEY, kid=KEY_ID, algorithm="ES256", **claims) -> str:
    """Return the header of a customer's token; a claim that is None is left out."""
    now = int(time.time())
    standard = {"iss": auth.ISSUER, "aud": auth.AUDIENCE, "iat": now, "exp": now + 600}
    own = {"sub": "customer-1", "sid": "session-1", "role": "customer"}
    kept = {name: value for name, value in {**standard, **own, **claims}.items() if value is not None}
    return f"Bearer {jwt.encode(kept, key, algorithm, {'kid': kid})}"


class Identity:
    """Publishes keys, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys = {KEY_ID: KEY}
        self.asked = 0

    async def fetch(self):
        self.asked += 1
        return {
            kid: jwt.PyJWK(
                {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "ES256"}
            )
            for kid, key in self.keys.items()
        }


BAD = [
    pytest.param("Basic dXNlcjpwYXNz", TokenInvalid, id="no bearer token"),
    pytest.param("Bearer ", TokenInvalid, id="empty"),
    pytest.param("Bearer x.y.z", TokenInvalid, id="no token"),
    pytest.param(header(OTHER_KEY), TokenInvalid, id="another's signature"),
    pytest.param(header(kid="unknown"), TokenInvalid, id="unknown key"),
    pytest.param(header("0" * 32, algorithm="HS256"), TokenInvalid, id="shared secret"),
    pytest.param(header(None, algorithm="none"), TokenInvalid, id="unsigned"),
    pytest.param(header(aud="other-shop"), TokenInvalid, id="for somebody else"),
    pytest.param(header(iss="other-shop"), TokenInvalid, id="from somebody else"),
    pytest.param(header(sid=None), TokenInvalid, id="without a session"),
    pytest.param(header(sub=None), TokenInvalid, id="without a subject"),
    pytest.param(header(role=None), TokenInvalid, id="without a role"),
    pytest.param(header(exp=None), TokenInvalid, id="without an end"),
    pytest.param(header(exp=int(time.time() - auth.CLOCK_SKEW) - 1), TokenExpired, id="expired"),
]


@pytest.mark.parametrize(("value", "error"), BAD)
async def test_a_bad_token_names_nobody(value, error):
    with pytest.raises(error):
        await Authenticator(Identity().fetch).principal_of(value)


async def test_a_good_token_names_its_customer():
    principal = await Authenticator(Identity().fetch).principal_of(header())
    assert (principal.subject, principal.session_id, principal.role) == ("customer-1", "session-1", "customer")


async def test_a_token_is_verified_once(monkeypatch):
    authenticator, value = Authenticator(Identity().fetch), header()
    first = await authenticator.principal_of(value)
    monkeypatch.setattr(jwt, "decode", None)
    assert await authenticator.principal_of(value) is first


async def test_a_token_that_was_verified_still_expires(monkeypatch):
    authenticator, value = Authenticator(Identity().fetch), header()
    await authenticator.principal_of(value)
    later = time.time() + 600 + auth.CLOCK_SKEW + 1
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(TokenExpired):
        await authenticator.principal_of(value)


async def test_no_more_tokens_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(auth, "CACHED_TOKENS", 2)
    authenticator = Authenticator(Identity().fetch)
    values = [header(sub=f"customer-{number}") for number in range(3)]
    for value in values:
        await authenticator.principal_of(value)
    assert list(authenticator._verified) == values[1:]


async def test_a_revoked_session_is_refused_although_its_token_lives():
    authenticator = Authenticator(Identity().fetch)
    await authenticator.principal_of(header())
    authenticator.revoked.add("session-1")
    with pytest.raises(SessionRevoked):
        await authenticator.principal_of(header())


async def test_a_new_key_is_fetched_when_its_first_token_comes(monkeypatch):
    identity = Identity()
    authenticator = Authenticator(identity.fetch)
    await authenticator.principal_of(header())
    identity.keys["new"] = OTHER_KEY
    monkeypatch.setattr(auth, "KEYS_MIN_INTERVAL", 0)
    assert (await authenticator.principal_of(header(OTHER_KEY, "new"))).subject == "customer-1"


async def test_unknown_keys_do_not_make_a_storm_of_fetches():
    identity = Identity()
    authenticator = Authenticator(identity.fetch)
    for number in range(10):
        with pytest.raises(TokenInvalid):
            await authenticator.principal_of(header(kid=f"unknown-{number}"))
    assert identity.asked == 1


async def test_an_internal_method_has_no_principal_whoever_asks():
    assert await Authenticator(Identity().fetch).gate(Access.INTERNAL)(header()) is None


CALLERS = [
    pytest.param(QUOTE, "QuoteOrder", None, None, id="PUBLIC without a token"),
    pytest.param(QUOTE, "QuoteOrder", "Bearer bad", None, id="PUBLIC with a bad token"),
    pytest.param(QUOTE, "QuoteOrder", "customer", "customer", id="PUBLIC with a token"),
    pytest.param(GET, "GetOrder", "customer", "customer", id="CUSTOMER by a customer"),
    pytest.param(GET, "GetOrder", "staff", "staff", id="CUSTOMER by staff"),
]


def metadata(shop, caller):
    if caller in {"customer", "staff"}:
        return shop.identity.headers(role=caller)
    return (("authorization", caller),) if caller else ()


@pytest.mark.parametrize(("request_", "method", "caller", "role"), CALLERS)
async def test_who_may_call_is_let_in_and_known(shop, request_, method, caller, role):
    seen = []

    async def look() -> None:
        principal = served_call().principal
        seen.append(principal and principal.role)

    shop.orders.act = look
    await getattr(shop.order, method)(request_, metadata=metadata(shop, caller))
    assert seen == [role]


REFUSED = [
    pytest.param(None, "UNAUTHENTICATED", "TOKEN_MISSING", id="no token"),
    pytest.param("Bearer bad", "UNAUTHENTICATED", "TOKEN_INVALID", id="bad token"),
]


@pytest.mark.parametrize(("caller", "code", "reason"), REFUSED)
async def test_who_is_not_known_gets_into_no_customers_method(shop, caller, code, reason):
    with refused(code, reason):
        await shop.order.GetOrder(GET, metadata=metadata(shop, caller))
    with refused(code, reason):
        await shop.order.WatchOrder(WATCH, metadata=metadata(shop, caller)).read()


@pytest.mark.parametrize(
    ("caller", "code", "reason"),
    [*REFUSED, pytest.param("customer", "PERMISSION_DENIED", "STAFF_REQUIRED", id="customer")],
)
async def test_who_is_not_staff_gets_into_no_method_of_staff(shop, caller, code, reason):
    with refused(code, reason):
        await shop.catalog.ImportProducts(iter([IMPORT]), metadata=metadata(shop, caller))


async def test_an_expired_token_is_told_from_a_bad_one(shop):
    with refused("UNAUTHENTICATED", "TOKEN_EXPIRED"):
        await shop.order.GetOrder(GET, metadata=shop.identity.headers(exp=1))


async def test_while_identity_is_down_public_methods_go_on_and_the_rest_says_so():
    async with shop("order", addresses={"identity": "127.0.0.1:1", "catalog": "127.0.0.1:1"}) as served:
        await served.order.QuoteOrder(QUOTE, metadata=served.customer)
        with refused("UNAVAILABLE", "NEIGHBOUR_UNAVAILABLE") as told:
            await served.order.GetOrder(GET, metadata=served.customer)
        assert told.metadata == {"neighbour": "identity"}
        with pytest.raises(grpc.aio.AioRpcError):
            await served.order.WatchOrder(WATCH, metadata=served.customer).read()
