"""Signing keys: one for all replicas, readable only with the secret, verifiable by anyone."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.identity import keys
from services.identity.domain import ACCESS_TOKEN_LIFETIME, Role, Session
from services.identity.keys import SealedKey, SigningKeyError, SigningKeyring, Vault, new_signing_key
from services.identity.tokens import AUDIENCE, ISSUER, new_access_token

VAULT = Vault("a secret of the tests, long enough")


def _numbers(key: ec.EllipticCurvePrivateKey) -> int:
    return key.private_numbers().private_value


async def test_replicas_that_start_at_once_make_one_key(store):
    keyrings = [SigningKeyring(store, VAULT) for _ in range(8)]
    await asyncio.gather(*(keyring.load() for keyring in keyrings))
    assert len({keyring.active.public.kid for keyring in keyrings}) == 1
    assert [key.kid for key in await store.list_public_keys()] == [keyrings[0].active.public.kid]


async def test_the_key_survives_a_restart(store):
    first, second = SigningKeyring(store, VAULT), SigningKeyring(store, VAULT)
    await first.load()
    await second.load()
    assert _numbers(first.active.private) == _numbers(second.active.private)


async def test_another_secret_stops_the_start(store):
    await SigningKeyring(store, VAULT).load()
    with pytest.raises(SigningKeyError, match="MESHMART_IDENTITY_KEY_ENCRYPTION_SECRET"):
        await SigningKeyring(store, Vault("another secret of the tests, as long")).load()


async def test_a_retired_key_stays_published_until_its_tokens_are_dead(store, database):
    keyring = SigningKeyring(store, VAULT)
    await keyring.load()
    retired, gone = new_signing_key(), new_signing_key()
    for key, retire_time in ((retired, "1 hour"), (gone, "-1 hour")):
        await database.execute(
            "INSERT INTO signing_key (kid, x, y, sealed_private_key, active, retire_time)"
            " VALUES (%s, 'x', 'y', '', false, now() + %s::interval)",
            (key.public.kid, retire_time),
        )
    published = {key.kid for key in await store.list_public_keys()}
    assert published == {keyring.active.public.kid, retired.public.kid}


async def test_no_private_key_lies_open_in_the_database(store, database):
    keyring = SigningKeyring(store, VAULT)
    await keyring.load()
    row = await database.one("SELECT sealed_private_key FROM signing_key")
    assert _numbers(keyring.active.private).to_bytes(32) not in bytes(row[0])


def test_a_sealed_key_belongs_to_its_kid():
    one, other = VAULT.seal(new_signing_key()), VAULT.seal(new_signing_key())
    with pytest.raises(SigningKeyError):
        VAULT.open(SealedKey(one.public, other.sealed))


def test_the_kid_is_the_thumbprint_of_rfc_7638():
    # Key and thumbprint as computed by an independent implementation of RFC 7638.
    x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    assert keys._thumbprint(x, y) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def test_an_access_token_says_who_asks_for_15_minutes():
    key = new_signing_key()
    session = Session(uuid4(), uuid4(), Role.STAFF, datetime.now(UTC))
    now = datetime.now(UTC)
    token = new_access_token(key, session, now)
    claims = jwt.decode(token.text, key.private.public_key(), ["ES256"], audience=AUDIENCE, issuer=ISSUER)
    issued = int(now.timestamp())
    assert claims == {
        "iss": "meshmart-identity",
        "aud": "meshmart",
        "sub": str(session.customer_id),
        "sid": str(session.id),
        "role": "staff",
        "iat": issued,
        "exp": issued + 900,
    }
    assert jwt.get_unverified_header(token.text)["kid"] == key.public.kid
    assert token.expire_time == datetime.fromtimestamp(issued, UTC) + ACCESS_TOKEN_LIFETIME


def test_a_fingerprint_depends_on_the_secret():
    data = b"a request with a password"
    assert VAULT.fingerprint(data) == VAULT.fingerprint(data)
    assert VAULT.fingerprint(data) != Vault("another secret of the tests, as long").fingerprint(data)
