"""Keeps messages of a durable consumer coming: asks for more while earlier ones are still worked on."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis.event_streams import ACK_WAIT, Durable

_TICK: Final = ACK_WAIT / 4
"""Seconds between the signs that messages in hand are being worked on."""
_EXPIRES: Final = 30.0
_HEARTBEAT: Final = 2.0
_SILENCE: Final = 5.0
"""Seconds without a message or heartbeat after which what was asked for is forgotten there."""
_LEAVE_WITHIN: Final = 1.5
_NANOSECONDS: Final = 1_000_000_000

_IDLE: Final = "100"
_EXPIRED: Final = "408"


class Pull:
    """Pulls over one connection, until that ends."""

    def __init__(self, client: Client, durable: Durable, limit: int, on_message: Callable[[Msg], None]) -> None:
        """Hand messages to `on_message`; each is in hand until `done`, and never more than `limit` are."""
        self._client, self._durable, self._limit, self._on_message = client, durable, limit, on_message
        self._inbox = client.new_inbox()
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}"
        self._asked = 0
        self._in_hand: dict[int, Msg] = {}
        self._wake = asyncio.Event()
        self._heard = 0.0
        self._ended = ""

    async def run(self) -> None:
        """Pull until it has to begin anew. Raises nats.errors.Error that says why."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._receive)
        try:
            while not self._ended:
                await self._ask()
                self._wake.clear()
                try:
                    async with asyncio.timeout(_TICK):
                        await self._wake.wait()
                except TimeoutError:
                    await self._tick(loop.time())
        finally:
            # What is on its way still arrives and can be given back; else it would be missed until `ack_wait` is over.
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                async with asyncio.timeout(_LEAVE_WITHIN):
                    await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it open
        raise nats.errors.Error(self._ended)

    def done(self, message: Msg) -> None:
        """Make room for another message."""
        del self._in_hand[id(message)]
        if self._room:
            self._wake.set()

    @property
    def _room(self) -> int:
        """How many messages to ask for: none while that is less than half of what may be in hand."""
        room = self._limit - self._asked - len(self._in_hand)
        return room if room * 2 >= self._limit else 0

    async def _ask(self) -> None:
        room = self._room
        if room:
            self._asked += room
            request = {
                "batch": room,
                "expires": int(_EXPIRES * _NANOSECONDS),
                "idle_heartbeat": int(_HEARTBEAT * _NANOSECONDS),
            }
            await self._client.publish(self._next, json.dumps(request).encode(), f"{self._inbox}.0")

    async def _receive(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        # An event says where to acknowledge it; what the broker says of a request does not.
        status = None if message.reply else (message.headers or {}).get("Status", "")
        if status is None:
            self._asked -= 1
            self._in_hand[id(message)] = message
            self._on_message(message)
        elif status != _IDLE:
            self._end_of_request(status, message)

    def _end_of_request(self, status: str, message: Msg) -> None:
        headers = message.headers or {}
        self._asked -= int(headers.get("Nats-Pending-Messages", 0))
        if status != _EXPIRED:
            self._ended = f"{status} {headers.get('Description', 'the consumer does not answer')}"
        self._wake.set()

    async def _tick(self, now: float) -> None:
        if self._client.is_closed:
            self._ended = "the connection is lost"
        elif self._asked and now - self._heard > _SILENCE:
            self._ended = "the consumer is silent"
        else:
            for message in list(self._in_hand.values()):
                await message.in_progress()
