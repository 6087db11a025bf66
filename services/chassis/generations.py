"""Generations of a read model: its tables carry one, so that a new one can be built while the old one answers.

Live events are written to the generation that answers and to the one that is being built, by one statement. A store
begins it with

    WITH target AS ({generations.TARGET}), heard AS ({generations.HEARD}), ...

gives it `batch.inbox_parameters()`, and writes the events that `heard` returns: each one that is new, with each
generation it is new to. A query reads the generation `({generations.CURRENT})`.
"""
# ruff: noqa: S608  # names of tables come from the declaration of a service

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

from services.chassis.batch import BatchHandler, batched
from services.chassis.database import Database
from services.chassis.service import Consumer

E = TypeVar("E", bound=Message)

TARGET: Final = """
SELECT number FROM generation
WHERE state IN ('CURRENT', 'BUILDING') AND (%(inbox_generation)s::int IS NULL OR number = %(inbox_generation)s)"""

# In order of the key, so that two statements about the same events wait for each other and not in a circle.
HEARD: Final = """
INSERT INTO inbox (event_id, consumer, generation)
SELECT event_id, %(inbox_consumer)s, number FROM unnest(%(inbox_event_ids)s::uuid[]) AS event_id, target
ORDER BY event_id, number
ON CONFLICT DO NOTHING
RETURNING event_id, generation"""

CURRENT: Final = "SELECT number FROM generation WHERE state = 'CURRENT'"

_ABANDON: Final = "DELETE FROM generation WHERE state = 'BUILDING'"
_BEGIN: Final = "INSERT INTO generation (state) VALUES ('BUILDING') RETURNING number"
_RETIRE: Final = "UPDATE generation SET state = 'RETIRED' WHERE state = 'CURRENT'"
_ANSWER: Final = """
UPDATE generation SET state = 'CURRENT', swap_time = now() WHERE number = %s AND state = 'BUILDING'"""
_FORGET: Final = """
DELETE FROM generation
WHERE state = 'RETIRED' AND number < (SELECT max(number) FROM generation WHERE state = 'RETIRED')"""
_SWEPT_AT_ONCE: Final = 10_000


class GenerationLostError(Exception):
    """The generation that is being built was given up by somebody else."""


@dataclass(frozen=True, slots=True)
class Projection(Generic[E]):
    """What a read model does about one event."""

    event: type[E]
    apply: BatchHandler[E]


@dataclass(frozen=True, slots=True)
class ReadModel:
    """Tables that follow from events alone, so that replay can build them anew."""

    projections: tuple[Projection[Any], ...]
    tables: tuple[str, ...]
    """Those with a column `generation`, which an index begins with."""

    def consumers(self) -> tuple[Consumer[Any], ...]:
        """Return the consumers that keep it up to date."""
        return tuple(batched(projection.event, projection.apply) for projection in self.projections)


class Generations:
    """The generations of one read model, for whoever builds a new one: only one may do so at a time."""

    def __init__(self, database: Database, tables: Sequence[str]) -> None:
        """Say where they are."""
        self._database, self._tables = database, tables

    async def current(self) -> int:
        """Return the generation that answers."""
        row = await self._database.one(CURRENT)
        assert row is not None  # noqa: S101  # the migration made the first
        return int(row[0])

    async def begin(self) -> int:
        """Return a new generation, which live events are written to from now on. An unfinished one is given up."""
        await self._database.execute(_ABANDON)
        row = await self._database.one(_BEGIN)
        assert row is not None  # noqa: S101  # it inserts one
        await self._sweep()
        return int(row[0])

    async def rows(self, number: int) -> tuple[int, int]:
        """Return how many rows a generation has, and the one that answers, at one moment."""
        counts = [
            " + ".join(f"(SELECT count(*) FROM {table} WHERE generation = ({of}))" for table in self._tables)
            for of in ("%(number)s::int", CURRENT)
        ]
        row = await self._database.one(f"SELECT {counts[0]}, {counts[1]}", {"number": number})
        assert row is not None  # noqa: S101  # it counts
        return int(row[0]), int(row[1])

    async def swap(self, number: int) -> None:
        """Let a generation answer. Raises GenerationLostError if it is no longer being built."""
        async with self._database.transaction() as connection:
            await connection.execute(_RETIRE)
            if (await connection.execute(_ANSWER, (number,))).rowcount != 1:
                raise GenerationLostError(f"generation {number} is not being built any more")

    async def forget_old(self) -> None:
        """Delete what is older than the generation that answered last."""
        await self._database.execute(_FORGET)
        await self._sweep()

    async def _sweep(self) -> None:
        """Delete the rows of generations that are no more."""
        for table in self._tables:
            statement = f"""
                DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM {table} WHERE generation < (SELECT max(number) FROM generation)
                        AND generation <> ALL(ARRAY(SELECT number FROM generation)) LIMIT {_SWEPT_AT_ONCE}))"""
            while await self._database.execute(statement):
                pass
