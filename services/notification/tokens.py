"""Tokens in texts: the signed one that unsubscribes, and the one that resumes a stream."""

import hashlib
import hmac
import struct
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final
from uuid import UUID

from services.notification.domain import ResumeTokenInvalid, UnsubscribeTokenInvalid
from services.notification.store import Place

_USE: Final = b"meshmart notification: unsubscribe\0"
_ID, _SIGNATURE = 16, 32
_RESUME: Final = struct.Struct(">Q16s8s")


class Unsubscribing:
    """Makes and reads the tokens that turn a customer's mails off. They do not expire: mails are kept for years."""

    def __init__(self, secret: str) -> None:
        """Sign with a secret; with another, the tokens of all mails sent before are invalid."""
        self._secret = secret.encode()

    def token(self, customer_id: UUID) -> str:
        """Return a customer's token."""
        return _text(customer_id.bytes + self._signature(customer_id.bytes))

    def customer(self, token: str) -> UUID:
        """Return whose token it is. Raises UnsubscribeTokenInvalid."""
        data = _data(token) or b""
        customer_id, signature = data[:_ID], data[_ID:]
        if len(data) != _ID + _SIGNATURE or not hmac.compare_digest(signature, self._signature(customer_id)):
            raise UnsubscribeTokenInvalid(
                "the token is not one of a mail of ours", fields={"token": "must come from a mail, whole"}
            )
        return UUID(bytes=customer_id)

    def _signature(self, customer_id: bytes) -> bytes:
        return hmac.digest(self._secret, _USE + customer_id, "sha256")


def resume_token(place: Place, customer_id: UUID) -> str:
    """Return the token that resumes a customer's stream after a place."""
    return _text(_RESUME.pack(place.xid, place.id.bytes, _digest(customer_id)))


def place_of(token: str, customer_id: UUID) -> Place:
    """Return the place in a resume token. Raises ResumeTokenInvalid unless it was given to this customer."""
    data = _data(token) or b""
    if len(data) != _RESUME.size or data[-8:] != _digest(customer_id):
        raise resume_token_invalid()
    xid, last_id, _ = _RESUME.unpack(data)
    return Place(xid, UUID(bytes=last_id))


def resume_token_invalid() -> ResumeTokenInvalid:
    """Return the refusal of a token."""
    return ResumeTokenInvalid(
        "the resume token is not one of WatchNotifications for this customer", fields={"resume_token": "is not valid"}
    )


def _digest(customer_id: UUID) -> bytes:
    return hashlib.sha256(customer_id.bytes).digest()[:8]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _data(token: str) -> bytes | None:
    try:
        return b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (Base64Error, ValueError):
        return None
