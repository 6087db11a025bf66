"""An identity for tests of other services: publishes a key, and mints tokens that it verifies."""

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from meshmart.identity.v1.identity_service_pb2 import GetJsonWebKeySetResponse
from meshmart.identity.v1.identity_service_pb2_grpc import (
    IdentityServiceServicer,
    add_IdentityServiceServicer_to_server,
)

from services.chassis.auth import AUDIENCE, ISSUER

KEY_ID = "test"

Metadata = tuple[tuple[str, str], ...]


class FakeIdentity(IdentityServiceServicer):
    """Knows everyone, whoever they say they are."""

    address = ""
    """Where it is served; a MESHMART_IDENTITY_ADDRESS."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, role: str = "customer", subject: str = "", *, lifetime: float = 900.0) -> str:
        """Return an access token of somebody, by default of a new customer."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject or str(uuid4()),
            "sid": str(uuid4()),
            "role": role,
            "iat": now,
            "exp": now + int(lifetime),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": KEY_ID})

    def metadata(self, role: str = "customer", subject: str = "", *, lifetime: float = 900.0) -> Metadata:
        """Return a call's metadata with such a token."""
        return (("authorization", f"Bearer {self.token(role, subject, lifetime=lifetime)}"),)

    async def GetJsonWebKeySet(self, request, context) -> GetJsonWebKeySetResponse:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        key = GetJsonWebKeySetResponse.JsonWebKey(
            kid=KEY_ID, kty="EC", crv="P-256", alg="ES256", use="sig", x=public["x"], y=public["y"]
        )
        return GetJsonWebKeySetResponse(keys=[key])


@pytest.fixture
async def fake_identity() -> AsyncIterator[FakeIdentity]:
    """Return an identity that services can ask for its keys at `address`."""
    identity = FakeIdentity()
    server = grpc.aio.server()
    add_IdentityServiceServicer_to_server(identity, server)
    identity.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield identity
    await server.stop(None)
