"""Signing in and staying signed in, through a real host with a real database behind it."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import jwt
import pytest
from google.protobuf.json_format import MessageToDict
from meshmart.identity.v1.identity_service_pb2 import CreateSessionRequest, GetJsonWebKeySetRequest

from tests.identity.conftest import Identity
from tests.support.refusals import refusal, refused


async def _claims(identity: Identity, token: str) -> dict[str, object]:
    """Verify a token as any stranger could: by the published keys."""
    reply = await identity.stub.GetJsonWebKeySet(GetJsonWebKeySetRequest())
    keys = jwt.PyJWKSet.from_dict(MessageToDict(reply))
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.decode(token, keys[kid], ["ES256"], audience="meshmart", issuer="meshmart-identity")


async def _expect_invalid(identity: Identity, token: str) -> None:
    with refused("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID"):
        await identity.refresh(token)


def _from_now(timestamp):
    return timestamp.ToDatetime(UTC) - datetime.now(UTC)


async def test_a_session_has_a_token_that_anyone_can_verify(identity):
    customer = await identity.register()
    session = await identity.sign_in("ANN@example.com")
    claims = await _claims(identity, session.access_token)
    assert (claims["sub"], claims["sid"], claims["role"]) == (customer.id, session.id, "customer")
    assert session.customer_id == customer.id
    assert claims["exp"] == session.access_token_expire_time.seconds


async def test_an_access_token_lives_15_minutes_and_a_refresh_token_30_days(identity):
    await identity.register()
    session = await identity.sign_in()
    assert timedelta(minutes=14) < _from_now(session.access_token_expire_time) <= timedelta(minutes=15)
    assert timedelta(days=29) < _from_now(session.refresh_token_expire_time) <= timedelta(days=30)


async def test_each_sign_in_opens_a_session_of_its_own(identity):
    await identity.register()
    assert (await identity.sign_in()).id != (await identity.sign_in()).id


async def test_an_unknown_address_and_a_wrong_password_cannot_be_told_apart(identity):
    await identity.register()
    answers = []
    for email, password in (("nobody@example.com", "wrong"), ("ann@example.com", "wrong"), ("a\0@x", "wrong")):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await identity.stub.CreateSession(CreateSessionRequest(email=email, password=password))
        assert refusal(error.value).reason == "CREDENTIALS_INVALID"
        answers.append((error.value.code(), error.value.details(), dict(error.value.trailing_metadata())))
    assert answers[0][0] is grpc.StatusCode.UNAUTHENTICATED
    assert answers[1:] == answers[:1] * 2


async def test_a_refresh_keeps_the_session_and_changes_both_tokens(identity):
    await identity.register()
    first = await identity.sign_in()
    second = await identity.refresh(first.refresh_token)
    assert (second.id, second.customer_id) == (first.id, first.customer_id)
    assert second.refresh_token != first.refresh_token
    assert (await _claims(identity, second.access_token))["sid"] == first.id


async def test_a_spent_refresh_token_ends_its_session_and_no_other(identity):
    await identity.register()
    first, other = await identity.sign_in(), await identity.sign_in()
    second = await identity.refresh(first.refresh_token)
    await _expect_invalid(identity, first.refresh_token)
    await _expect_invalid(identity, second.refresh_token)
    assert (await identity.refresh(other.refresh_token)).id == other.id


async def test_of_many_refreshes_at_once_one_succeeds(identity):
    await identity.register()
    session = await identity.sign_in()
    calls = (identity.refresh(session.refresh_token) for _ in range(10))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [refusal(error).reason for error in errors] == ["REFRESH_TOKEN_INVALID"] * 9


async def test_an_unknown_refresh_token_is_refused(identity):
    await _expect_invalid(identity, "guessed")


async def test_an_expired_refresh_token_is_refused_and_then_forgotten(identity, store, database):
    await identity.register()
    session = await identity.sign_in()
    await database.execute("UPDATE refresh_token SET expire_time = now() - interval '1 second'")
    await database.execute("UPDATE session SET expire_time = now() - interval '1 second'")
    await _expect_invalid(identity, session.refresh_token)
    await store.forget_expired()
    assert await database.one("SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM refresh_token)") == (0, 0)


async def test_refresh_tokens_do_not_lie_in_the_database(identity, database):
    await identity.register()
    session = await identity.sign_in()
    [row] = await database.all("SELECT session::text || refresh_token::text FROM session, refresh_token")
    assert session.refresh_token not in row[0]
    assert session.refresh_token.encode().hex() not in row[0]
