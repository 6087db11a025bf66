"""Tokens: access tokens that say who asks, refresh tokens that say nothing."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime

import jwt

from services.identity.domain import ACCESS_TOKEN_LIFETIME, Session
from services.identity.keys import SigningKey

ISSUER = "meshmart-identity"
AUDIENCE = "meshmart"
REFRESH_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and when it expires."""

    text: str = field(repr=False)
    expire_time: datetime


def new_access_token(key: SigningKey, session: Session, now: datetime) -> AccessToken:
    """Return a JWT (ES256) that every service and the edge can verify by our public keys."""
    issued = now.replace(microsecond=0)
    expires = issued + ACCESS_TOKEN_LIFETIME
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(session.customer_id),
        "sid": str(session.id),
        "role": session.role.value,
        "iat": issued,
        "exp": expires,
    }
    text = jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": key.public.kid})
    return AccessToken(text, expires)


def new_refresh_token() -> str:
    """Return 256 random bits, base64url."""
    return secrets.token_urlsafe(REFRESH_TOKEN_BYTES)


def refresh_token_hash(token: str) -> bytes:
    """Return what is stored of a refresh token. A fast hash is enough: nobody guesses 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
