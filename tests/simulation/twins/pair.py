"""One store on PostgreSQL and one on tables in memory: each is asked the same, and must answer the same."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from google.protobuf.message import Message

from services.chassis import outbox
from services.chassis.database import Database
from tests.simulation.memory import MemoryDatabase, as_database, at_once
from tests.simulation.tables.chassis import Row, Statement, Tables

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Answer = tuple[str, Any]


class Twins:
    """A database and its likeness."""

    def __init__(self, database: Database, tables: type[Tables], statements: dict[str, Statement]) -> None:
        """Begin with both empty."""
        self._ticks = itertools.count(1)
        self.tables = tables(self._now)
        self.real = database
        self.effective: set[str] = set()
        """Statements that returned or touched a row."""
        watched = {sql: self._watched(sql, statement) for sql, statement in statements.items()}
        self.memory = as_database(MemoryDatabase(self.tables, watched, at_once))

    def _watched(self, sql: str, statement: Statement) -> Statement:
        def run(tables: Any, parameters: Any) -> list[Row]:
            rows = statement(tables, parameters)
            if rows:
                self.effective.add(sql)
            return rows

        return run

    def _now(self) -> float:
        """Return a later time at each statement, as PostgreSQL does."""
        return next(self._ticks) / 1000

    async def ask(self, ask: Callable[[Database], Awaitable[Any]]) -> Answer:
        """Ask both the same, and return what both answered."""
        real, memory = await _answer(ask, self.real), await _answer(ask, self.memory)
        assert memory == real, f"memory: {memory}, PostgreSQL: {real}"
        return real

    async def look(self, rows: str, in_memory: Callable[[], list[Any]]) -> None:
        """See that both hold the same."""
        real = [tuple(map(plain, row)) for row in await self.real.all(rows)]
        memory = [tuple(map(plain, row)) for row in in_memory()]
        assert memory == real, f"memory: {memory}, PostgreSQL: {real}"

    async def look_at_chassis(self) -> None:
        """See that both wrote the same events, heard the same, and remember the same."""
        t = self.tables
        await self.look(
            "SELECT event_id, event_type, aggregate_id, aggregate_version FROM outbox ORDER BY position",
            lambda: [(e.event_id, e.event_type, e.aggregate_id, e.aggregate_version) for e in t.outbox],
        )
        await self.look(
            "SELECT event_id, consumer, generation FROM inbox ORDER BY event_id, consumer", lambda: sorted(t.inbox)
        )
        await self.look(
            "SELECT request_id, principal, method FROM idempotency ORDER BY request_id",
            lambda: sorted(t.idempotency),
        )


async def _answer(ask: Callable[[Database], Awaitable[Any]], database: Database) -> Answer:
    try:
        return "answer", plain(await ask(database))
    except psycopg.IntegrityError as error:
        return "refused", error.diag.constraint_name


def plain(value: Any) -> Any:
    """Return a value without the times in it, and what has no order in an order."""
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(plain(getattr(value, field.name)) for field in fields(value))
    match value:
        case datetime() | Enum():
            return "a time" if isinstance(value, datetime) else value.name
        case dict():
            return {key: plain(item) for key, item in value.items() if key != "time"}
        case set():
            return sorted(plain(item) for item in value)
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


class Pool:
    """A few ids of each kind, so that repeats are common."""

    def __init__(self, random: Random) -> None:
        """Take ids from a random generator."""
        self._random = random
        self.orders, self.products, self._events, self._requests = (
            [UUID(int=random.getrandbits(128)) for _ in range(count)] for count in (3, 2, 16, 16)
        )
        self.customer = UUID(int=random.getrandbits(128))

    @property
    def order(self) -> UUID:
        """Return one of the newest orders."""
        return self._random.choice(self.orders[-2:])

    @property
    def maybe_new_order(self) -> UUID:
        """Return one of the newest orders, or one that there was not."""
        return self.new_order() if self._random.random() < 0.5 else self.order

    def new_order(self) -> UUID:
        """Return an order that there was not."""
        self.orders.append(UUID(int=self._random.getrandbits(128)))
        return self.orders[-1]

    def heard(self) -> dict[str, Any]:
        """Return parameters of the inbox."""
        return {
            "inbox_consumer": "consumer",
            "inbox_generation": 1,
            "inbox_event_id": self._random.choice(self._events),
        }

    def reply(self) -> dict[str, Any]:
        """Return parameters of idempotency."""
        request = self._random.choice(self._requests)
        return {"idem_principal": "-", "idem_method": "-", "idem_request_id": request,
                "idem_request_hash": bytes(32), "idem_reply": b""}  # fmt: skip

    def event(self, event: Message, aggregate_id: UUID) -> dict[str, Any]:
        """Return parameters of the outbox."""
        own = {"event_id": UUID(int=self._random.getrandbits(128))}
        return {**outbox.parameters(event, aggregate_id), **own}


async def empty(database: Database, *tables: str) -> None:
    """Delete all rows."""
    for table in (*tables, "outbox", "inbox", "idempotency"):
        await database.execute(f"DELETE FROM {table}")  # noqa: S608  # names of this test


Ask = Callable[[Database], Awaitable[Any]]
LONG, OVER = 3600.0, 0.0
"""Seconds that a lease or hold lasts: beyond the test, or not until the next statement."""


class Questions:
    """Makes up questions to a store. Each public method is a kind of them."""

    def __init__(self, random: Random, pool: Pool) -> None:
        """Draw from a random generator."""
        self._random, self._pool = random, pool

    def _span(self) -> float:
        return self._random.choice((LONG, OVER))

    @classmethod
    def kinds(cls) -> list[str]:
        """Return the names of all kinds."""
        return [name for name in dir(cls) if name[0] != "_" and name != "kinds"]
