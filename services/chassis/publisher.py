"""Publishes messages to JetStream in batches, and says which of them a stream has taken."""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

ACK_TIMEOUT: Final = 2.0
"""Seconds within which a stream acknowledges. What it acknowledges later is published again, and dropped there."""
ROOM: Final = 8192
"""Bytes that a payload leaves for headers: its own, and those that say why nobody could handle it."""
_BAD_REQUEST: Final = 400
"""Code of a stream that refuses a message for what it is, not for the state the stream is in."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no stream took a message."""

    text: str
    for_good: bool = False
    """Whether the message is at fault, so that it would be refused again."""


_NO_ANSWER: Final = Refusal("no stream acknowledged it in time")
_NOT_TRIED: Final = Refusal("an earlier event of its aggregate was not taken")


@dataclass(frozen=True, slots=True)
class Message:
    """What is published."""

    subject: str
    payload: bytes
    headers: dict[str, str]
    key: str
    """Messages of one key are never on their way two at a time, so that they arrive in order."""


class Publisher:
    """Publishes over one connection. One subscription receives the acknowledgements of all messages."""

    def __init__(self, client: Client) -> None:
        """Publish over a client."""
        self._client = client
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._batch = 0
        self._refusals: list[Refusal | None] = []
        self._missing = 0
        self._complete = asyncio.Event()

    @property
    def usable(self) -> bool:
        """Whether the connection is still there."""
        return not self._client.is_closed

    async def start(self) -> None:
        """Begin to listen for acknowledgements."""
        self._subscription = await self._client.subscribe(f"{self._inbox}.*.*", cb=self._on_reply)

    async def stop(self) -> None:
        """Stop listening."""
        if self._subscription and self.usable:
            await self._subscription.unsubscribe()

    async def publish(self, messages: Sequence[Message]) -> list[Refusal | None]:
        """Publish messages; return for each why no stream took it, None where one did."""
        refusals: list[Refusal | None] = [_NOT_TRIED] * len(messages)
        failed: set[str] = set()
        for wave in _waves(messages):
            ready = [number for number in wave if messages[number].key not in failed]
            for number, refusal in zip(ready, await self._publish([messages[n] for n in ready]), strict=True):
                refusals[number] = refusal
                if refusal:
                    failed.add(messages[number].key)
        return refusals

    async def _publish(self, messages: Sequence[Message]) -> list[Refusal | None]:
        self._batch += 1
        self._refusals = [_NO_ANSWER] * len(messages)
        self._missing = len(messages)
        self._complete.clear()
        for number, message in enumerate(messages):
            await self._send(number, message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACK_TIMEOUT):
                while self._missing:
                    await self._complete.wait()
        return self._refusals

    async def _send(self, number: int, message: Message) -> None:
        if len(message.payload) > self._client.max_payload - ROOM:
            # The server would end the connection over it.
            self._settle(number, Refusal("an event is larger than the broker takes", for_good=True))
            return
        reply = f"{self._inbox}.{self._batch}.{number}"
        try:
            await self._client.publish(message.subject, message.payload, reply, message.headers)
        except nats.errors.Error as error:
            self._settle(number, Refusal(str(error)))

    async def _on_reply(self, reply: Msg) -> None:
        batch, number = reply.subject.split(".")[-2:]
        if int(batch) == self._batch:
            self._settle(int(number), _refusal_in(reply))

    def _settle(self, number: int, refusal: Refusal | None) -> None:
        if self._refusals[number] is _NO_ANSWER:
            self._refusals[number] = refusal
            self._missing -= 1
            if not self._missing:
                self._complete.set()


def _waves(messages: Sequence[Message]) -> Iterable[list[int]]:
    """Split the numbers of messages so that no part has two of one key."""
    waves: defaultdict[int, list[int]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for number, message in enumerate(messages):
        waves[seen[message.key]].append(number)
        seen[message.key] += 1
    return waves.values()


def _refusal_in(reply: Msg) -> Refusal | None:
    """Return why a stream refused; None when it did not."""
    if not reply.data:
        return Refusal("there is no stream for its subject")
    if b'"error"' not in reply.data:
        return None
    error = json.loads(reply.data)["error"]
    return Refusal(str(error["description"]), for_good=error["code"] == _BAD_REQUEST)
