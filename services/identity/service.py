"""Declares the identity service."""

import asyncio
from datetime import UTC, datetime
from typing import cast

from meshmart.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from pydantic import Field, PositiveInt, SecretStr, ValidationInfo, field_validator

from services.chassis.ids import new_id
from services.chassis.process import StartError
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ServiceSettings, prefix
from services.identity.api import IdentityApi
from services.identity.domain import PASSWORD_MIN_LENGTH, ensure_staff, new_customer
from services.identity.keys import SigningKeyError, SigningKeyring, Vault
from services.identity.passwords import ArgonPasswords
from services.identity.store import Store

SECRET_MIN_LENGTH = 32
FORGET_INTERVAL = 3600.0
"""Seconds between two deletions of expired sessions."""


class IdentitySettings(ServiceSettings):
    """What identity needs besides."""

    model_config = prefix("identity")

    key_encryption_secret: SecretStr = Field(description="Seals the signing keys in the database; 32 characters.")
    hashing_threads: PositiveInt = Field(2, description="Passwords hashed at once; each takes 19 MiB and a core.")
    staff_email: str = Field("", description="Address of a member of staff who is made at start.")
    staff_password: SecretStr = Field(SecretStr(""), description="Their password; 10 characters at least.")

    @field_validator("key_encryption_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < SECRET_MIN_LENGTH:
            raise ValueError(f"at least {SECRET_MIN_LENGTH} characters")
        return secret

    @field_validator("staff_password")
    @classmethod
    def _worth_having(cls, password: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("staff_email") and len(password.get_secret_value()) < PASSWORD_MIN_LENGTH:
            raise ValueError(f"at least {PASSWORD_MIN_LENGTH} characters, as there is a staff email")
        return password


def build(runtime: Runtime) -> Components:
    """Join identity's parts."""
    settings = cast("IdentitySettings", runtime.settings)
    store = Store(runtime.database)
    passwords = ArgonPasswords(settings.hashing_threads)
    vault = Vault(settings.key_encryption_secret.get_secret_value())
    keyring = SigningKeyring(store, vault)

    async def prepare() -> None:
        try:
            await keyring.load()
        except SigningKeyError as error:
            raise StartError(f"identity: {error}") from None
        if settings.staff_email:
            staff = new_customer(new_id(), settings.staff_email, "Staff", datetime.now(UTC))
            await ensure_staff(store, passwords, staff, settings.staff_password.get_secret_value())

    async def forget_expired() -> None:
        while True:
            await store.forget_expired()
            await asyncio.sleep(FORGET_INTERVAL)

    api = IdentityApi(store, passwords, vault, keyring, runtime.outbox)
    return Components(
        servicers=(Servicer(add_IdentityServiceServicer_to_server, api),),
        tasks=(Task("forget_expired", forget_expired),),
        prepare=prepare,
    )


SERVICE = Service(name="identity", index=0, settings=IdentitySettings, build=build)
