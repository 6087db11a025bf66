"""What the environment says of databases and broker. A local run writes it to `.meshmart/environment`."""

from collections.abc import Mapping
from typing import Final

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.chassis.migrations.runner import services
from services.events.trouble import UsageError

OPERATOR: Final = "operator"
"""The broker's user of these commands."""


class BrokerSettings(BaseSettings):
    """How an operator gets to the broker."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="MESHMART_", env_ignore_empty=True)

    nats_url: str = "nats://127.0.0.1:8082"
    operator_nats_password: SecretStr = Field(description="Password of the operator at the broker.")

    @classmethod
    def read(cls) -> "BrokerSettings":
        """Return the settings. Raises UsageError where there are none."""
        try:
            return cls()  # type: ignore[call-arg]  # the environment gives it
        except ValidationError:
            raise UsageError(
                "MESHMART_OPERATOR_NATS_PASSWORD: expected the operator's password at the broker, found nothing"
            ) from None


def databases(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses of the databases that the environment names, by service."""
    named = {service: environment.get(variable_of(service), "") for service in services()}
    return {service: url for service, url in named.items() if url}


def variable_of(service: str) -> str:
    """Return the variable that holds the address of a service's database."""
    return f"MESHMART_{service.upper()}_DATABASE_URL"
