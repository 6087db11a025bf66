"""Builds a new generation of a read model from what the streams hold, while the old one answers and stays up to date.

The new generation exists before history is read, so an event that is heard meanwhile is written to it by the service
itself, and one that is in history too has one effect, by the inbox. What a crash leaves behind is never answered from.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis import events
from services.chassis.batch import Batch
from services.chassis.contract import event_contract
from services.chassis.database import Database
from services.chassis.delivery import Delivery, MalformedEventError, read
from services.chassis.error_text import describe
from services.chassis.event_streams import Durable, durable_of
from services.chassis.generations import Generations, Projection, ReadModel
from services.chassis.history import History
from services.chassis.retries import is_outage

E = TypeVar("E", bound=Message)

_LOCK: Final = 0x7265706C6179
"""Advisory lock of whoever replays into a database: `replay` in hexadecimal."""


class ReplayRefusedError(Exception):
    """A replay cannot begin; the text says why."""


class Failure(NamedTuple):
    """An event that could not be written."""

    event_id: str
    event: str
    problem: str


class EventsFailedError(Exception):
    """Events could not be written, so the new generation does not answer."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        """Keep which."""
        super().__init__(f"{len(failures)} events could not be written")
        self.failures = failures


class LessKnownError(Exception):
    """The streams hold less than the generation that answers was made of, so the new one does not answer."""


class Progress(NamedTuple):
    """How far the history of one event is read."""

    event: str
    done: int
    total: int


@dataclass
class Replay:
    """One replay of a service's read model."""

    service: str
    model: ReadModel
    database: Database
    client: Client
    report: Callable[[Progress], None]
    skip_failed: bool = False
    """Whether the new generation may answer without the events that cannot be written."""
    accept_less: bool = False
    """Whether the new generation may answer though it knows less than the old one."""
    failures: list[Failure] = field(default_factory=list)
    written: int = 0

    async def run(self) -> int:
        """Build a generation, let it answer, and return it.

        Raises ReplayRefusedError, EventsFailedError, LessKnownError.
        """
        for projection in self.model.projections:
            _require_replayable(projection.event)
        generations = Generations(self.database, self.model.tables)
        number = await generations.begin()
        for projection in self.model.projections:
            await _Reading(self, projection, durable_of(self.service, projection.event), number).run()
        if self.failures and not self.skip_failed:
            raise EventsFailedError(self.failures)
        if not (self.failures or self.accept_less):
            await _require_as_much(generations, number)
        await generations.swap(number)
        await generations.forget_old()
        return number


class _Reading(Generic[E]):
    """The history of one event on its way into a generation."""

    def __init__(self, replay: Replay, projection: Projection[E], durable: Durable, generation: int) -> None:
        self._replay, self._projection, self._durable, self._generation = replay, projection, durable, generation
        self._name = projection.event.DESCRIPTOR.name

    async def run(self) -> None:
        """Write one batch after the other; the next is on its way meanwhile."""
        done = 0
        async with History(self._replay.client, self._durable) as history:
            self._replay.report(Progress(self._name, 0, history.count))
            async for messages in history.batches():
                await self._write(self._read(messages))
                done += len(messages)
                self._replay.report(Progress(self._name, done, history.count))

    def _read(self, messages: Sequence[Msg]) -> list[Delivery[E]]:
        deliveries = []
        for message in messages:
            try:
                deliveries.append(read(message, self._projection.event, self._durable.name))
            except MalformedEventError as error:
                self._fail((message.headers or {}).get(events.ID, "without an id"), error)
        return deliveries

    async def _write(self, deliveries: Sequence[Delivery[E]]) -> None:
        """Write a batch, and if that fails, each event by itself."""
        try:
            if deliveries:
                await self._projection.apply(Batch(deliveries, self._durable.name, self._generation))
        except Exception as error:
            if is_outage(error):
                raise
            if len(deliveries) == 1:
                self._fail(deliveries[0].event_id, error)
            else:
                for delivery in deliveries:
                    await self._write([delivery])
        else:
            self._replay.written += len(deliveries)

    def _fail(self, event_id: UUID | str, error: Exception) -> None:
        self._replay.failures.append(Failure(str(event_id), self._name, describe(error)))


async def _require_as_much(generations: Generations, number: int) -> None:
    """Refuse what a broker that lost its disk would make of a read model: the figures of its last days alone."""
    new, old = await generations.rows(number)
    if new < old:
        raise LessKnownError(f"generation {number} has {new:,} rows, the one that answers {old:,}: events are missing")


def _require_replayable(event: type[Message]) -> None:
    contract = event_contract(event)  # type: ignore[arg-type]  # a class is hashable
    if not contract.replayable:
        raise ReplayRefusedError(f"{contract.full_name} cannot be replayed: its contract does not say `replayable`")


@asynccontextmanager
async def only_replay(url: str, service: str) -> AsyncIterator[None]:
    """Be the only one to replay into a database. Raises ReplayRefusedError, psycopg.OperationalError."""
    application = f"meshmart-{service}-replay"
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, application_name=application, connect_timeout=5
    ) as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        if await cursor.fetchone() != (True,):
            raise ReplayRefusedError(f"another replay of {service} is running")
        yield
