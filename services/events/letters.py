"""Dead letters as an operator sees them."""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.chassis import dead_letters, events
from services.chassis.dead_letters import DeadLetters
from services.chassis.event_streams import ask
from services.events.reader import Reader
from services.events.trouble import CommandError, UsageError


@dataclass(frozen=True, slots=True)
class Letter:
    """A parked event."""

    of: DeadLetters
    sequence: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes

    @property
    def id(self) -> str:
        """What it is called on the command line, `payment:12`."""
        return f"{self.of.service}:{self.sequence}"

    @property
    def event(self) -> str:
        """Name of the event, `OrderConfirmed`."""
        return self.of.event_of(self.subject)

    @property
    def event_type(self) -> str:
        """Full name of the event; empty if it does not say."""
        return self.headers.get(events.TYPE, "")

    @property
    def consumer(self) -> str:
        """The durable that could not handle it."""
        return self.headers.get(dead_letters.CONSUMER, "")

    def record(self) -> dict[str, Any]:
        """Return what is known of it, as JSON."""
        said = self.headers.get
        return {
            "id": self.id,
            "service": self.of.service,
            "consumer": self.consumer,
            "event": self.event,
            "event_id": said(events.ID, ""),
            "aggregate_id": said(events.AGGREGATE_ID, ""),
            "aggregate_version": said(events.AGGREGATE_VERSION, ""),
            "time": said(dead_letters.TIME, ""),
            "reason": said(dead_letters.REASON, ""),
            "error": said(dead_letters.ERROR, ""),
            "attempts": int(said(dead_letters.ATTEMPTS, "0")),
            "subject": said(dead_letters.SUBJECT, ""),
            "stream": said(dead_letters.STREAM, ""),
            "sequence": int(said(dead_letters.SEQUENCE, "0")),
        }

    @classmethod
    async def read(cls, client: Client, letter_id: str) -> Self:
        """Return the letter of an id. Raises CommandError if there is none."""
        service, _, sequence = letter_id.partition(":")
        of = letters_of(service)
        if not sequence.isdecimal():
            raise UsageError(f"`{letter_id}` is no id of a dead letter: expected one as payment:12")
        try:
            answer = await ask(client, f"STREAM.MSG.GET.{of.stream_name}", {"seq": int(sequence)})
        except NotFoundError:
            raise CommandError(f"there is no dead letter {letter_id}") from None
        message = answer["message"]
        if not message["subject"].startswith(f"{of.parked}."):
            raise CommandError(f"{letter_id} is no dead letter: it was redriven")
        headers = headers_in(base64.b64decode(message.get("hdrs", "")))
        return cls(of, int(sequence), message["subject"], headers, base64.b64decode(message.get("data", "")))


async def all_letters(client: Client, service: str = "") -> AsyncIterator[Letter]:
    """Yield the letters of a service, or of all, in the order they were parked."""
    for of in [letters_of(service)] if service else DeadLetters.all().values():
        try:
            async with Reader.open(client, of.stream_name, f"{of.parked}.*") as reader:
                async for message in reader.present():
                    sequence = message.metadata.sequence.stream
                    yield Letter(of, sequence, message.subject, message.headers or {}, message.data)
        except NotFoundError:
            continue  # the service has never run


def letters_of(service: str) -> DeadLetters:
    """Return the dead letters of a service. Raises UsageError for one that has none."""
    known = DeadLetters.all()
    if service not in known:
        raise UsageError(f"`{service}` consumes no events; these do: {', '.join(known)}")
    return known[service]


def headers_in(raw: bytes) -> dict[str, str]:
    """Return the headers of a stored message."""
    lines = raw.decode(errors="replace").split("\r\n")[1:]
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
