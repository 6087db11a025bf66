"""Access tokens for tests, and a hand-written identity that publishes their key."""

import base64
import time
from typing import Any
from uuid import UUID

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from meshmart.identity.v1 import identity_service_pb2 as pb
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from services.chassis.auth import AUDIENCE, ISSUER
from services.chassis.ids import new_id

KEY_ID = "test"
Headers = tuple[tuple[str, str], ...]


class FakeIdentity(IdentityServiceServicer):
    """Signs tokens for anyone, and publishes the key that verifies them."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    async def GetJsonWebKeySet(
        self, request: pb.GetJsonWebKeySetRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetJsonWebKeySetResponse:
        numbers = self._key.public_key().public_numbers()
        key = pb.GetJsonWebKeySetResponse.JsonWebKey(
            kid=KEY_ID,
            kty="EC",
            crv="P-256",
            alg="ES256",
            use="sig",
            x=_coordinate(numbers.x),
            y=_coordinate(numbers.y),
        )
        return pb.GetJsonWebKeySetResponse(keys=[key])

    def token(self, subject: UUID | None = None, role: str = "customer", **claims: Any) -> str:
        """Return a token of a customer, living ten minutes unless `exp` says otherwise."""
        now = int(time.time())
        defaults = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600}
        own = {"sub": str(subject or new_id()), "sid": str(new_id()), "role": role}
        return jwt.encode({**defaults, **own, **claims}, self._key, algorithm="ES256", headers={"kid": KEY_ID})

    def headers(self, subject: UUID | None = None, role: str = "customer", **claims: Any) -> Headers:
        """Return the metadata of a call by a customer, or by staff."""
        return (("authorization", f"Bearer {self.token(subject, role, **claims)}"),)


def _coordinate(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32)).rstrip(b"=").decode()
