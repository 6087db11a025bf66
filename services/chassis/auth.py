"""Who asks: verifies access tokens again, whatever the edge said, and refuses who may not."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import jwt

from services.chassis.call import Principal
from services.chassis.contract import Access
from services.chassis.refusals import SessionRevoked, StaffRequired, TokenExpired, TokenInvalid, TokenMissing

ISSUER = "meshmart-identity"
AUDIENCE = "meshmart"
CACHED_TOKENS = 4096
KEYS_MIN_INTERVAL = 5.0
"""Seconds between two fetches of the keys, however many unknown key ids come."""
CLOCK_SKEW = 5.0
"""Seconds by which the clocks of two machines may differ."""

Keys = Mapping[str, jwt.PyJWK]
FetchKeys = Callable[[], Awaitable[Keys]]
Authorize = Callable[[str | None], Awaitable[Principal | None]]


class Authenticator:
    """Turns `authorization` headers into principals. Verified tokens are remembered until they expire."""

    def __init__(self, fetch_keys: FetchKeys) -> None:
        """Keep the way to identity's keys; they are fetched when the first token comes."""
        self._fetch_keys = fetch_keys
        self._keys: Keys = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._verified: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self.revoked: set[str] = set()
        """Ids of sessions whose tokens are refused although they have not expired."""

    def gate(self, access: Access) -> Authorize:
        """Return what lets callers into methods of an access.

        INTERNAL methods have no principal and no check here: which services may call them is enforced by the
        mesh's policy alone, from the contract's `callers`.
        """
        return {
            Access.PUBLIC: self._public,
            Access.CUSTOMER: self.principal_of,
            Access.STAFF: self._staff,
            Access.INTERNAL: _nobody,
        }[access]

    async def principal_of(self, header: str | None) -> Principal:
        """Return whom a header's token names. Raises TokenMissing, TokenInvalid, TokenExpired or SessionRevoked."""
        if header is None:
            raise TokenMissing("the method needs an access token")
        known = self._verified.get(header)
        if known is None:
            known = await self._verify(header)
        else:
            self._verified.move_to_end(header)
        principal, expiry = known
        if expiry + CLOCK_SKEW <= time.time():
            self._verified.pop(header, None)
            raise TokenExpired("the access token has expired")
        if principal.session_id in self.revoked:
            raise SessionRevoked("the session was signed out")
        return principal

    async def _public(self, header: str | None) -> Principal | None:
        """Nobody is turned away: a bad token counts as none, and so does any while identity is down."""
        if header is None:
            return None
        try:
            return await self.principal_of(header)
        except (TokenInvalid, TokenExpired, SessionRevoked, grpc.aio.AioRpcError):
            return None

    async def _staff(self, header: str | None) -> Principal:
        principal = await self.principal_of(header)
        if not principal.staff:
            raise StaffRequired("the method is for staff")
        return principal

    async def _verify(self, header: str) -> tuple[Principal, float]:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenInvalid("the authorization header is not a bearer token")
        known = _read(token, await self._key_of(token))
        self._verified[header] = known
        if len(self._verified) > CACHED_TOKENS:
            self._verified.popitem(last=False)
        return known

    async def _key_of(self, token: str) -> jwt.PyJWK:
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
        except jwt.InvalidTokenError:
            raise TokenInvalid("the access token is malformed") from None
        if key_id not in self._keys:
            await self._refresh()
        if key_id not in self._keys:
            raise TokenInvalid("the access token is signed by an unknown key")
        return self._keys[key_id]

    async def _refresh(self) -> None:
        async with self._fetching:
            if time.monotonic() - self._fetched_at >= KEYS_MIN_INTERVAL:
                self._keys = await self._fetch_keys()
                self._fetched_at = time.monotonic()


def _read(token: str, key: jwt.PyJWK) -> tuple[Principal, float]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=CLOCK_SKEW,
            options={"require": ["exp", "sub", "sid", "role"]},
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the access token has expired") from None
    except jwt.InvalidTokenError:
        raise TokenInvalid("the access token is invalid") from None
    principal = Principal(claims["sub"], claims["sid"], claims["role"], token)
    return principal, float(claims["exp"])


async def _nobody(_: str | None) -> None:
    return None
