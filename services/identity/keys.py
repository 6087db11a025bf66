"""Signing keys: P-256 pairs whose private half is stored only sealed."""

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NUMBER_BYTES = 32
"""Length of a P-256 coordinate or private key."""
NONCE_BYTES = 12


class SigningKeyError(Exception):
    """A stored key was sealed with another secret than the one in the settings."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half of a signing key that everyone may see, named as in a JSON Web Key."""

    kid: str
    x: str
    y: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs access tokens."""

    public: PublicKey
    private: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is stored."""

    public: PublicKey
    sealed: bytes = field(repr=False)


class SigningKeys(Protocol):
    """The stored keys; exactly one of them is active."""

    async def find_active_key(self) -> SealedKey | None:
        """Return the key that signs."""

    async def add_first_key(self, key: SealedKey) -> None:
        """Store a key as the active one, unless another replica was first."""


def new_signing_key() -> SigningKey:
    """Return a new P-256 key."""
    private = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(_public_key(private), private)


def _public_key(private: ec.EllipticCurvePrivateKey) -> PublicKey:
    point = private.public_key().public_numbers()
    x, y = (_base64url(number.to_bytes(NUMBER_BYTES)) for number in (point.x, point.y))
    return PublicKey(_thumbprint(x, y), x, y)


def _thumbprint(x: str, y: str) -> str:
    """Return the key's RFC 7638 thumbprint: the hash of its required members, sorted, without white space."""
    members = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    return _base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Vault:
    """What identity does with its secret: seal private keys, fingerprint requests that hold a password."""

    def __init__(self, secret: str) -> None:
        """Derive one key per use from the secret."""
        self._sealing = AESGCM(_derive(secret, b"meshmart identity: signing key"))
        self._fingerprint = _derive(secret, b"meshmart identity: request fingerprint")

    def seal(self, key: SigningKey) -> SealedKey:
        """Return the key with its private half encrypted (AES-256-GCM), bound to its kid."""
        plain = key.private.private_numbers().private_value.to_bytes(NUMBER_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._sealing.encrypt(nonce, plain, key.public.kid.encode())
        return SealedKey(key.public, nonce + sealed)

    def open(self, key: SealedKey) -> SigningKey:
        """Return the key with its private half decrypted."""
        nonce, sealed = key.sealed[:NONCE_BYTES], key.sealed[NONCE_BYTES:]
        try:
            plain = self._sealing.decrypt(nonce, sealed, key.public.kid.encode())
        except InvalidTag:
            raise SigningKeyError(
                f"signing key {key.public.kid} was not sealed with MESHMART_IDENTITY_KEY_ENCRYPTION_SECRET"
            ) from None
        private = ec.derive_private_key(int.from_bytes(plain), ec.SECP256R1())
        return SigningKey(key.public, private)

    def fingerprint(self, data: bytes) -> bytes:
        """Return a keyed hash: without the secret it says nothing of the password in the data."""
        return hmac.digest(self._fingerprint, data, "sha256")


def _derive(secret: str, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(secret.encode())


class SigningKeyring:
    """The key that signs, as this process knows it."""

    def __init__(self, keys: SigningKeys, vault: Vault) -> None:
        """Take the stored keys and what opens them."""
        self._keys = keys
        self._vault = vault
        self._active: SigningKey | None = None

    @property
    def active(self) -> SigningKey:
        """The key that signs. Raises LookupError before `load`."""
        if self._active is None:
            raise LookupError("the signing key was not loaded")
        return self._active

    async def load(self) -> None:
        """Read the active key; the first replica ever makes it."""
        stored = await self._keys.find_active_key()
        if stored is None:
            await self._keys.add_first_key(self._vault.seal(new_signing_key()))
            stored = await self._keys.find_active_key()
        if stored is None:
            raise LookupError("no signing key is active, though one was just stored")
        self._active = self._vault.open(stored)
