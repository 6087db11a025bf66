"""How identity starts: its settings, its staff account."""

from contextlib import AsyncExitStack

import jwt
import pytest
from meshmart.identity.v1.customer_pb2 import Session

from services.chassis.process import StartError
from services.chassis.settings import read_settings
from services.identity.service import SERVICE
from tests.identity.conftest import PASSWORD, SECRET, Identity
from tests.support.refusals import refused

EMAIL = "boss@example.com"
STAFF = {"staff_email": "Boss@example.com", "staff_password": PASSWORD}


def _role(session):
    return jwt.decode(session.access_token, options={"verify_signature": False})["role"]


async def _expect_signed_out(identity: Identity, password: str, session: Session) -> None:
    with refused("UNAUTHENTICATED", "CREDENTIALS_INVALID"):
        await identity.sign_in(EMAIL, password)
    with refused("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID"):
        await identity.refresh(session.refresh_token)


async def test_the_staff_account_signs_in_after_the_start(serve):
    async with serve(**STAFF) as identity:
        assert _role(await identity.sign_in(EMAIL)) == "staff"


async def test_replicas_that_start_at_once_make_one_staff_account(serve, database):
    async with AsyncExitStack() as stack:
        for _ in range(2):
            identity = await stack.enter_async_context(serve(**STAFF))
        assert _role(await identity.sign_in(EMAIL)) == "staff"
    assert await database.one("SELECT count(*) FROM customer") == (1,)


async def test_a_restart_keeps_sessions_and_a_new_password_ends_them(serve):
    async with serve(**STAFF) as identity:
        session = await identity.sign_in(EMAIL)
    async with serve(**STAFF) as identity:
        session = await identity.refresh(session.refresh_token)
    async with serve(**STAFF | {"staff_password": "another horse battery"}) as identity:
        await _expect_signed_out(identity, PASSWORD, session)
        assert _role(await identity.sign_in(EMAIL, "another horse battery")) == "staff"


async def test_whoever_registered_the_address_before_does_not_become_staff(serve):
    async with serve() as identity:
        await identity.register(EMAIL, "a squatter's password")
        session = await identity.sign_in(EMAIL, "a squatter's password")
    async with serve(**STAFF) as identity:
        await _expect_signed_out(identity, "a squatter's password", session)


async def test_another_secret_stops_the_start(serve):
    async with serve():
        pass
    with pytest.raises(StartError, match="MESHMART_IDENTITY_KEY_ENCRYPTION_SECRET"):
        async with serve(key_encryption_secret="another secret of the tests, as long"):
            pass


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("KEY_ENCRYPTION_SECRET", "", "a secret, got nothing", id="no secret"),
        pytest.param("KEY_ENCRYPTION_SECRET", "short", "at least 32 characters", id="short secret"),
        pytest.param("STAFF_PASSWORD", "short", "at least 10 characters", id="short password"),
        pytest.param("STAFF_PASSWORD", "", "at least 10 characters", id="no password"),
    ],
)
def test_a_wrong_setting_stops_the_start_by_its_name(monkeypatch, capsys, name, value, says):
    right = {
        "DATABASE_URL": "postgresql://",
        "NATS_PASSWORD": "test",
        "KEY_ENCRYPTION_SECRET": SECRET,
        "STAFF_EMAIL": EMAIL,
        "STAFF_PASSWORD": PASSWORD,
    }
    for key, text in (right | {name: value}).items():
        monkeypatch.setenv(f"MESHMART_IDENTITY_{key}", text)
    with pytest.raises(SystemExit):
        read_settings([SERVICE])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"MESHMART_IDENTITY_{name}: expected {says}")
    assert "short" not in line
