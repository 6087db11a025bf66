"""The connections of one service to its database.

Smaller than psycopg_pool and, per statement, 40 % cheaper: no locks (one event loop), a cursor kept per connection, no
worker tasks. A connection that PostgreSQL has closed is noticed before it is used, so that a restart fails no call
that comes after it.
"""

import asyncio
import select
import traceback
from collections import deque
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

Cursor = AsyncCursor[tuple[Any, ...]]

# Statements look rows up by key. A plan is kept for as long as its connection: one made while a table is small, or just
# vacuumed empty as that of sagas is, would read all of it when there is much, until the table is analyzed again.
_CONFIGURE: Final = "SELECT set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false)"

# A peer that vanished without a word is noticed after seconds, not hours.
_KEEPALIVE: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 9000,
    "connect_timeout": 5,
}


class PoolTimeout(psycopg.OperationalError):
    """No connection became free in time."""


class Connections:
    """At most `size` connections, opened as they are needed; each serves one statement at a time."""

    def __init__(self, url: str, *, name: str, size: int) -> None:
        """Say where the database is; nothing is opened yet."""
        self._name = name
        self._conninfo = make_conninfo(url, **_KEEPALIVE, application_name=f"meshmart-{name}")
        self._size = size
        self._open = 0
        self._idle: list[Cursor] = []
        self._waiting: deque[asyncio.Future[Cursor | None]] = deque()
        self._least_idle = 0
        self._closed = False

    async def acquire(self, patience: float) -> Cursor:
        """Return a cursor on a connection of one's own until `release`. Raises PoolTimeout after `patience` seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            cursor = self._take_idle() or await self._connect_or_wait(deadline)
            if cursor:
                return cursor

    def release(self, cursor: Cursor) -> None:
        """Give a cursor back."""
        pgconn = cursor.connection.pgconn
        if self._closed or pgconn.transaction_status != TransactionStatus.IDLE:
            self._forget(cursor)
        elif not self._hand_on(cursor):
            self._idle.append(cursor)

    def shrink(self) -> None:
        """Close a connection if there was one to spare ever since the last time."""
        if self._least_idle > 1:
            self._forget(self._idle.pop(0))
        self._least_idle = len(self._idle)

    def close(self) -> None:
        """Close the idle connections now, and each other one when it is released."""
        self._closed = True
        while self._idle:
            self._forget(self._idle.pop())

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    @property
    def idle(self) -> int:
        """How many are free."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many statements wait for one."""
        return len(self._waiting)

    def _take_idle(self) -> Cursor | None:
        while self._idle:
            cursor = self._idle.pop()
            self._least_idle = min(self._least_idle, len(self._idle))
            if _silent(cursor):
                return cursor
            self._forget(cursor)
        return None

    async def _connect_or_wait(self, deadline: float) -> Cursor | None:
        """Return a cursor, or None when there may be a place for a new connection now."""
        if self._closed:
            raise psycopg.OperationalError(f"the database of {self._name} is closed")
        try:
            async with asyncio.timeout_at(deadline):
                return await (self._connect() if self._open < self._size else self._wait())
        except TimeoutError:
            raise PoolTimeout(f"no connection to the database of {self._name} in time") from None

    async def _connect(self) -> Cursor:
        self._open += 1
        try:
            return await self._configured()
        except BaseException as error:
            self._leave_place()
            # What was being opened is held by the frames of the error alone, and would stay half open until they go.
            traceback.clear_frames(error.__traceback__)
            raise

    async def _configured(self) -> Cursor:
        connection = await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=0,  # from the first time on: a service sends the same few statements again and again
        )
        try:
            await connection.execute(_CONFIGURE, prepare=False)
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection.cursor()

    async def _wait(self) -> Cursor | None:
        place: asyncio.Future[Cursor | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            self._pass_on(place)
            raise

    def _pass_on(self, place: "asyncio.Future[Cursor | None]") -> None:
        """Give away what came for someone who waits no more."""
        if place.cancelled():
            self._waiting.remove(place)
        elif cursor := place.result():
            self.release(cursor)
        else:
            self._hand_on(None)

    def _forget(self, cursor: Cursor) -> None:
        cursor.connection.pgconn.finish()
        self._leave_place()

    def _leave_place(self) -> None:
        self._open -= 1
        self._hand_on(None)

    def _hand_on(self, cursor: Cursor | None) -> bool:
        """Give a cursor, or the place to open one, to who has waited longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(cursor)
                return True
        return False


def _silent(cursor: Cursor) -> bool:
    """Return whether PostgreSQL has said nothing unasked: if it has, then that it is going away."""
    poll = select.poll()
    poll.register(cursor.connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)
