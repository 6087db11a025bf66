"""Reads a stream from a place on, through a consumer of the operator's own that the broker forgets soon."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from services.chassis.event_streams import ask
from services.chassis.ids import new_id
from services.events.environment import OPERATOR
from services.events.trouble import CommandError

READERS: Final = 8
"""Consumers of one stream that an operator may have; the broker's permissions name them."""
_BATCH: Final = 256
_WAIT: Final = 1.0
_FORGOTTEN_AFTER: Final = 300 * 1_000_000_000
_TAKEN: Final = frozenset({10105, 10148})
"""JetStream's error codes for a consumer that exists."""


class Reader:
    """The messages of one stream, in order."""

    def __init__(self, subscription: JetStreamContext.PullSubscription, pending: int) -> None:
        """Read through a consumer; so many messages are there already."""
        self._subscription, self._left = subscription, pending

    async def present(self) -> AsyncGenerator[Msg]:
        """Yield the messages that were there when the reader was made."""
        while self._left > 0:
            messages = await self._fetch(min(_BATCH, self._left))
            if not messages:
                return  # somebody has deleted the rest
            self._left -= len(messages)
            for message in messages:
                yield message

    async def coming(self) -> AsyncGenerator[Msg]:
        """Yield the messages that come, for ever."""
        while True:
            for message in await self._fetch(_BATCH):
                yield message

    async def _fetch(self, number: int) -> list[Msg]:
        try:
            return await self._subscription.fetch(number, timeout=_WAIT)
        except TimeoutError:
            return []

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: Client, stream: str, subject: str, since: datetime | None = None, *, only_new: bool = False
    ) -> AsyncIterator[Self]:
        """Read messages on a subject: from a time on, only new ones, or all. Raises NotFoundError without a stream."""
        name, pending = await _consumer(client, stream, subject, _start(since, only_new=only_new))
        subscription = await client.jetstream().pull_subscribe_bind(name, stream)
        try:
            yield cls(subscription, pending)
        finally:
            with contextlib.suppress(nats.errors.Error):
                await ask(client, f"CONSUMER.DELETE.{stream}.{name}")


def _start(since: datetime | None, *, only_new: bool) -> dict[str, str]:
    if since:
        return {"deliver_policy": "by_start_time", "opt_start_time": since.isoformat()}
    return {"deliver_policy": "new" if only_new else "all"}


async def _consumer(client: Client, stream: str, subject: str, start: dict[str, str]) -> tuple[str, int]:
    """Return the name of a consumer that nobody else has, and how many messages it will deliver at once."""
    for number in range(READERS):
        name = f"{OPERATOR}_{number}"
        config: dict[str, Any] = {
            "name": name,
            "filter_subject": subject,
            "ack_policy": "none",
            "mem_storage": True,
            "inactive_threshold": _FORGOTTEN_AFTER,
            # Differs, for a request like an earlier one would be answered with that one's consumer.
            "description": str(new_id()),
            **start,
        }
        body = {"stream_name": stream, "config": config, "action": "create"}
        try:
            info = await ask(client, f"CONSUMER.CREATE.{stream}.{name}.{subject}", body)
        except NotFoundError:
            raise
        except APIError as error:
            if error.err_code not in _TAKEN:
                raise
        else:
            return name, int(info["num_pending"])
    raise CommandError(f"{READERS} commands read {stream} already")


async def existing(client: Client, streams: list[str]) -> list[str]:
    """Return the streams that there are."""

    async def exists(stream: str) -> bool:
        try:
            await ask(client, f"STREAM.INFO.{stream}")
        except NotFoundError:
            return False
        return True

    found = await asyncio.gather(*map(exists, streams))
    return [stream for stream, there in zip(streams, found, strict=True) if there]
