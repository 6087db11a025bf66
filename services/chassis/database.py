"""A service's own PostgreSQL: a small pool in autocommit, where one statement is one transaction."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from services.chassis.call import current_call

Parameters = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]

POOL_WAIT: Final = 5.0
"""Longest wait for a free connection, in seconds; a call waits no longer than its budget."""
LOST_AFTER: Final = 5.0
"""Seconds without an answer after which the database counts as lost."""
_WATCH_INTERVAL: Final = 1.0
_PING_TIMEOUT: Final = 1.0
# The pool doubles its delay for as long as this; the watcher asks again anyway, so that it never waits for minutes.
_RECONNECT_TIMEOUT: Final = 1.0


class Database:
    """A pool of connections, and whether the database still answers."""

    def __init__(self, url: str, *, name: str = "database", pool_size: int = 5) -> None:
        """Say where the database is; `open` connects."""
        self._pool = AsyncConnectionPool(
            url,
            name=name,
            min_size=1,
            max_size=pool_size,
            timeout=POOL_WAIT,
            reconnect_timeout=_RECONNECT_TIMEOUT,
            # Prepared from the first time on: each statement of a service is sent again and again.
            kwargs={"autocommit": True, "prepare_threshold": 0, "application_name": f"meshmart-{name}"},
            open=False,
        )
        self._answered = time.monotonic()
        self._broken = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start connecting. Does not wait: what comes before the first connection waits for it."""
        self._answered = time.monotonic()
        await self._pool.open()
        self._watcher = asyncio.create_task(self._watch(), name="database watcher")

    async def close(self) -> None:
        """Close all connections."""
        if self._watcher:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._pool.close()

    async def __aenter__(self) -> "Database":
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def one(self, statement: str, parameters: Parameters | None = None) -> Row | None:
        """Run a statement and return its first row; None without one."""
        async with self._connection() as connection:
            cursor = await connection.execute(cast("LiteralString", statement), parameters)
            return await cursor.fetchone() if cursor.description else None

    async def all(self, statement: str, parameters: Parameters | None = None) -> list[Row]:
        """Run a statement and return its rows."""
        async with self._connection() as connection:
            cursor = await connection.execute(cast("LiteralString", statement), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def execute(self, statement: str, parameters: Parameters | None = None) -> int:
        """Run a statement and return how many rows it touched."""
        async with self._connection() as connection:
            cursor = await connection.execute(cast("LiteralString", statement), parameters)
            return cursor.rowcount

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[Row]]:
        """Give a connection inside a transaction, for the few writes that are more than one statement."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @property
    def lost_for(self) -> float:
        """Seconds since the database last answered; at most about a second while it does."""
        return time.monotonic() - self._answered

    @property
    def reachable(self) -> bool:
        """Whether the database answered within the last seconds."""
        return self.lost_for <= LOST_AFTER

    @property
    def pool_stats(self) -> dict[str, int]:
        """What psycopg_pool counts: `pool_size`, `pool_available`, `requests_waiting` and more."""
        return self._pool.get_stats()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Row]]:
        connection = await self._pool.getconn(_patience())
        try:
            yield connection
            self._answered = time.monotonic()
        except psycopg.OperationalError:
            if connection.closed:
                self._broken.set()
            raise
        finally:
            await self._pool.putconn(connection)

    async def _watch(self) -> None:
        """Ask when nobody else did, and replace broken connections before calls meet them."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), _WATCH_INTERVAL)
            if self._broken.is_set():
                self._broken.clear()
                await self._pool.check()
            if self.lost_for >= _WATCH_INTERVAL:
                await self._ping()

    async def _ping(self) -> None:
        with contextlib.suppress(psycopg.OperationalError, PoolTimeout, TimeoutError):
            async with asyncio.timeout(_PING_TIMEOUT):
                await self.execute("SELECT 1")


def _patience() -> float:
    call = current_call()
    return POOL_WAIT if call is None else min(POOL_WAIT, call.remaining())
