"""Where the events lie that a service could not handle: one stream per service, with what went wrong in the headers.

An event is parked once that stream has taken it, and only then given up in its own. A crash in between parks it
again: the stream drops the second copy, or it is redriven too, and the inbox makes the effect one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Self

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis.event_streams import Config, Durable, ask, request

COMPILED: Final = Path(__file__).parents[2] / "gen" / "mesh" / "dead_letters.json"

PREFIX: Final = "Meshmart-Dead-"
CONSUMER: Final = f"{PREFIX}Consumer"
SUBJECT: Final = f"{PREFIX}Subject"
STREAM: Final = f"{PREFIX}Stream"
SEQUENCE: Final = f"{PREFIX}Sequence"
REASON: Final = f"{PREFIX}Reason"
ERROR: Final = f"{PREFIX}Error"
ATTEMPTS: Final = f"{PREFIX}Attempts"
TIME: Final = f"{PREFIX}Time"
ORIGIN: Final = frozenset({CONSUMER, SUBJECT, STREAM, SEQUENCE})
"""Where an event came from first; it keeps them when it is redriven and parked again."""

_SENDABLE: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""Names that the client sends (RFC 9110, token). It reads others too, and would never park an event that has one."""
_OF_THE_BROKER: Final = "nats-"
"""Headers that tell the broker what to do with a message: what an event was published with holds for it alone."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one service, as the contract compiler wrote them."""

    service: str
    parked: str
    """Subject of parked events, without the event's name."""
    redriven: str
    """Subject of events to be handled again, without the event's name."""
    stream: Config
    durable: Durable
    """Hears what is redriven."""

    @classmethod
    def of(cls, service: str) -> Self:
        """Return those of a service. Raises LookupError for a service that consumes nothing."""
        return cls.all()[service]

    @classmethod
    def all(cls) -> "Mapping[str, Self]":
        """Return those of every service that consumes, by its name."""
        return {
            entry["service"]: cls(
                entry["service"],
                entry["parked"],
                entry["redriven"],
                entry["stream"],
                Durable(entry["stream"]["name"], entry["consumer"]["name"], entry["consumer"]["filter_subject"]),
            )
            for entry in _compiled()
        }

    @property
    def stream_name(self) -> str:
        """The stream, `meshmart_dead_payment`."""
        return str(self.stream["name"])

    def event_of(self, subject: str) -> str:
        """Return the name of the event on a subject, parked, redriven or published: `OrderConfirmed`."""
        before, _, last = subject.rpartition(".")
        return last if before in {self.parked, self.redriven} else before.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an event is parked."""

    consumer: str
    reason: str
    """MALFORMED, FAILED or NOT_YET."""
    error: str


async def park(client: Client, letters: DeadLetters, message: Msg, cause: Cause) -> None:
    """Store an event among the dead letters. Raises nats.errors.Error where the stream has not taken it."""
    subject = f"{letters.parked}.{letters.event_of(message.subject)}"
    await request(client, subject, message.data, parked_headers(message, cause))


async def count(client: Client, letters: DeadLetters) -> int:
    """Return how many events are parked. Raises nats.errors.Error, NotFoundError where nothing ever was."""
    info = await ask(client, f"STREAM.INFO.{letters.stream_name}", {"subjects_filter": f"{letters.parked}.*"})
    return sum((info["state"].get("subjects") or {}).values())


def parked_headers(message: Msg, cause: Cause) -> dict[str, str]:
    """Return the event's own headers and those that say what went wrong."""
    metadata = message.metadata
    own = {name: value for name, value in (message.headers or {}).items() if _is_kept(name)}
    origin = {
        CONSUMER: cause.consumer,
        SUBJECT: message.subject,
        STREAM: metadata.stream,
        SEQUENCE: str(metadata.sequence.stream),
    }
    why = {
        # This delivery, so that a second copy of it is dropped, and one that was redriven and failed again is not.
        "Nats-Msg-Id": f"{metadata.stream}.{metadata.consumer}.{metadata.sequence.stream}.{metadata.timestamp}",
        REASON: cause.reason,
        ERROR: cause.error,
        ATTEMPTS: str(metadata.num_delivered),
        TIME: datetime.now(UTC).isoformat(),
    }
    return {**origin, **own, **why}


def redriven_headers(parked: Mapping[str, str], sequence: int) -> dict[str, str]:
    """Return the headers with which the parked event of a sequence is published again."""
    kept = {
        name: value
        for name, value in parked.items()
        if name in ORIGIN or not (_instructs(name) or name.startswith(PREFIX))
    }
    return {**kept, "Nats-Msg-Id": f"redriven.{sequence}.{parked.get(TIME, '')}"}


def _is_kept(name: str) -> bool:
    return not _instructs(name) and _SENDABLE.fullmatch(name) is not None


def _instructs(name: str) -> bool:
    return name.lower().startswith(_OF_THE_BROKER)


@cache
def _compiled() -> list[Config]:
    entries: list[Config] = json.loads(COMPILED.read_text())["dead_letters"]
    return entries
