"""An operator's connection to the broker."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from services.chassis.event_streams import STREAMS
from services.events.environment import OPERATOR, BrokerSettings
from services.events.trouble import CommandError

_CONNECT_TIMEOUT = 5


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Connect while the context lasts. Raises CommandError that says why the broker does not answer."""
    settings, client = BrokerSettings.read(), Client()
    try:
        await client.connect(
            settings.nats_url.split(","),
            name="meshmart-operator",
            user=OPERATOR,
            password=settings.operator_nats_password.get_secret_value(),
            inbox_prefix=f"_INBOX_{OPERATOR}",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_TIMEOUT,
            error_cb=_ignore,
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        await client.close()
        raise CommandError(f"no broker at {settings.nats_url}: {_said(error)}") from None
    try:
        yield client
    except APIError as error:
        raise CommandError(f"the broker refuses: {error.description}") from None
    except (nats.errors.Error, OSError) as error:
        raise CommandError(f"the broker is lost: {_said(error)}") from None
    finally:
        await client.close()


def event_streams() -> list[str]:
    """Return the streams of events, as the contract compiler wrote them."""
    streams: list[dict[str, Any]] = json.loads(STREAMS.read_text())["streams"]
    return [stream["name"] for stream in streams]


async def _ignore(_: Exception) -> None:
    """Say nothing twice: what goes wrong is raised where it is met."""


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
