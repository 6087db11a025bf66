"""Reads all that a stream holds of one event, for a service that hears of it, without touching its durable."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from services.chassis.event_streams import Durable, ask

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

SIZE: Final = 1000
"""Messages read at once."""
_PATIENCE: Final = 10.0
_FORGOTTEN_AFTER: Final = 60_000_000_000
"""Nanoseconds after which the broker forgets a reader that asks for nothing more."""


class History:
    """The messages of one event, from the first to the last that was there when this was opened."""

    def __init__(self, client: Client, durable: Durable) -> None:
        """Say what is read: what this durable hears."""
        self._client, self._durable = client, durable
        self._name = f"{durable.name}_replay"
        self._inbox = client.new_inbox()
        self._messages: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self.count = 0
        """How many messages there are, once it is open."""

    async def __aenter__(self) -> Self:
        """Open it. Raises nats.errors.Error."""
        await self._forget()  # a reader that crashed may have left one half read
        body = {"stream_name": self._durable.stream, "config": self._config}
        where = f"{self._durable.stream}.{self._name}.{self._durable.subject}"
        self.count = (await ask(self._client, f"CONSUMER.CREATE.{where}", body))["num_pending"]
        self._subscription = await self._client.subscribe(self._inbox, cb=self._messages.put)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        with contextlib.suppress(nats.errors.Error):
            if self._subscription:
                await self._subscription.unsubscribe()
            await self._forget()

    async def batches(self) -> AsyncIterator[list[Msg]]:
        """Return the messages in order, those that follow being on their way already."""
        asked = read = 0
        while read < self.count:
            while asked < min(self.count, read + 2 * SIZE):
                wanted = min(SIZE, self.count - asked)
                await self._ask_for(wanted)
                asked += wanted
            batch = [await self._next() for _ in range(min(SIZE, self.count - read))]
            read += len(batch)
            yield batch

    @property
    def _config(self) -> dict[str, object]:
        return {
            "name": self._name,
            "filter_subject": self._durable.subject,
            "deliver_policy": "all",
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": _FORGOTTEN_AFTER,
            "mem_storage": True,
        }

    async def _forget(self) -> None:
        with contextlib.suppress(NotFoundError):
            await ask(self._client, f"CONSUMER.DELETE.{self._durable.stream}.{self._name}")

    async def _ask_for(self, count: int) -> None:
        request = json.dumps({"batch": count, "no_wait": True}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._durable.stream}.{self._name}"
        await self._client.publish(subject, request, self._inbox)

    async def _next(self) -> Msg:
        if self._messages.empty():
            async with asyncio.timeout(_PATIENCE):
                message = await self._messages.get()
        else:
            message = self._messages.get_nowait()
        if message.headers and not message.reply:  # what the broker says of a request
            said = message.headers.get("Description", "")
            raise nats.errors.Error(f"nats: the history of {self._durable.subject} ends early: {said}")
        return message
