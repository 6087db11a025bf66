"""A service's own PostgreSQL: a few connections in autocommit, where one statement is one transaction."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import AsyncConnection

from services.chassis.call import current_call
from services.chassis.connections import Connections, Cursor

Parameters = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]
T = TypeVar("T")

PATIENCE: Final = 5.0
"""Longest wait for a free connection, in seconds; a call waits no longer than its budget."""
LOST_AFTER: Final = 5.0
"""Seconds without an answer after which the database counts as lost."""
_WATCH_INTERVAL: Final = 1.0
_SHRINK_EVERY: Final = 20


class Database:
    """Runs statements, and knows whether the database still answers."""

    def __init__(self, url: str, *, name: str = "database", pool_size: int = 5) -> None:
        """Say where the database is. The first statement connects."""
        self._connections = Connections(url, name=name, size=pool_size)
        self._answered = time.monotonic()
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start to watch whether the database answers."""
        self._answered = time.monotonic()
        self._watcher = asyncio.create_task(self._watch(), name="database watcher")

    async def close(self) -> None:
        """Close all connections."""
        if self._watcher:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        self._connections.close()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def one(self, statement: str, parameters: Parameters | None = None) -> Row | None:
        """Run a statement and return its first row; None without one."""
        return await self._run(statement, parameters, _first)

    async def all(self, statement: str, parameters: Parameters | None = None) -> list[Row]:
        """Run a statement and return its rows."""
        return await self._run(statement, parameters, _every)

    async def execute(self, statement: str, parameters: Parameters | None = None) -> int:
        """Run a statement and return how many rows it touched."""
        return await self._run(statement, parameters, _count)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[Row]]:
        """Give a connection inside a transaction, for the few writes that are more than one statement."""
        cursor = await self._connections.acquire(_patience())
        try:
            async with cursor.connection.transaction():
                yield cursor.connection
            self._answered = time.monotonic()
        finally:
            self._connections.release(cursor)

    @property
    def lost_for(self) -> float:
        """Seconds since the database last answered; it is asked every second when nobody else does."""
        return time.monotonic() - self._answered

    @property
    def reachable(self) -> bool:
        """Whether the database answered within the last seconds."""
        return self.lost_for <= LOST_AFTER

    @property
    def connections(self) -> Connections:
        """The connections, for metrics."""
        return self._connections

    async def _run(self, statement: str, parameters: Parameters | None, read: Callable[[Cursor], Awaitable[T]]) -> T:
        cursor = await self._connections.acquire(_patience())
        try:
            await cursor.execute(statement, parameters)
            self._answered = time.monotonic()
            return await read(cursor)
        finally:
            self._connections.release(cursor)

    async def _watch(self) -> None:
        for tick in itertools.count():
            await asyncio.sleep(_WATCH_INTERVAL)
            if tick % _SHRINK_EVERY == 0:
                self._connections.shrink()
            if self.lost_for >= _WATCH_INTERVAL:
                with contextlib.suppress(psycopg.OperationalError):
                    await self.execute("SELECT 1")


async def _first(cursor: Cursor) -> Row | None:
    return await cursor.fetchone() if cursor.description else None


async def _every(cursor: Cursor) -> list[Row]:
    return await cursor.fetchall() if cursor.description else []


async def _count(cursor: Cursor) -> int:
    return cursor.rowcount


def _patience() -> float:
    call = current_call()
    return PATIENCE if call is None else min(PATIENCE, call.remaining())
