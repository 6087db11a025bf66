"""The outbox as its relay sees it: over a connection of its own, which holds the lock of the one active relay.

The lock belongs to the session, so this connection must not go through a pooler that shares sessions.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple, Self
from uuid import UUID

from psycopg import AsyncConnection

HELD_FOR: Final = 4
"""Seconds of silence after which PostgreSQL ends the session, and so the lock, of a relay that hangs."""

_LOCK: Final = 0x6F7574626F78
"""Advisory lock of the active relay: `outbox` in hexadecimal."""

# What is marked may be lost in a crash (it is then published again), and a plan made while the table was empty must not
# read all of it later.
_CONFIGURE: Final = f"""
SELECT set_config('idle_session_timeout', '{HELD_FOR}s', false), set_config('synchronous_commit', 'off', false),
    set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false)"""
# Asked again and again, for a statement that waits would keep vacuum from cleaning up.
_HOLD: Final = f"SELECT pg_try_advisory_lock({_LOCK})"
_UNPUBLISHED: Final = """
SELECT position, event_id, subject, event_type, aggregate_id, aggregate_version, payload, traceparent, create_time
FROM outbox WHERE publish_time IS NULL ORDER BY position LIMIT %s"""
_UNPUBLISHED_OF_OTHERS: Final = _UNPUBLISHED.replace("ORDER BY", "AND aggregate_id <> ALL(%s) ORDER BY")
_MARK: Final = "UPDATE outbox SET publish_time = now() WHERE publish_time IS NULL AND position = ANY(%s)"
_LAG: Final = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(create_time)), 0)
FROM (SELECT create_time FROM outbox WHERE publish_time IS NULL ORDER BY position LIMIT 100000) AS oldest"""


class Row(NamedTuple):
    """An event that was written."""

    position: int
    event_id: UUID
    subject: str
    event_type: str
    aggregate_id: str
    aggregate_version: int
    payload: bytes
    traceparent: str
    create_time: datetime


class Lag(NamedTuple):
    """What was written and not published."""

    rows: int = 0
    """At most 100,000 are counted."""
    seconds: float = 0.0
    """Age of the oldest."""


class OutboxTable:
    """The statements of a relay."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Run them on a connection."""
        self._connection = connection
        self._rows = connection.cursor(row_factory=lambda _: Row._make)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, name: str) -> AsyncIterator[Self]:
        """Connect to the database at an address."""
        application = f"meshmart-{name}-relay"
        async with await AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=0, application_name=application, connect_timeout=5
        ) as connection:
            await connection.execute(_CONFIGURE)
            yield cls(connection)

    async def try_hold(self) -> bool:
        """Return whether this relay is the active one; it stays so for as long as its connection."""
        cursor = await self._connection.execute(_HOLD)
        return await cursor.fetchone() == (True,)

    async def unpublished(self, limit: int, without: Sequence[str] = ()) -> list[Row]:
        """Return the oldest events that were not published, without those of some aggregates."""
        if without:
            await self._rows.execute(_UNPUBLISHED_OF_OTHERS, (list(without), limit))
        else:
            await self._rows.execute(_UNPUBLISHED, (limit,))
        return await self._rows.fetchall()

    async def mark(self, positions: Sequence[int]) -> None:
        """Note that events were published."""
        await self._connection.execute(_MARK, (list(positions),))

    async def lag(self) -> Lag:
        """Return what was not published."""
        return await lag_of(self._connection)


async def lag_of(connection: AsyncConnection) -> Lag:
    """Return what was not published, by a connection of whoever asks."""
    cursor = await connection.execute(_LAG)
    row = await cursor.fetchone()
    return Lag(row[0], float(row[1])) if row else Lag()
