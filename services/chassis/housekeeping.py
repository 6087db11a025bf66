"""Deletes what the chassis no longer needs to remember, a little at a time."""

import asyncio
import random
from typing import Final

from services.chassis.database import Database

INTERVAL: Final = 3600.0
_BATCH: Final = 1000
_BREATH: Final = 0.05
"""Seconds between batches, so that calls are not held up."""

# A request may be repeated for a day; events can be published again for a week, and are recognized for two.
_OLD: Final = {
    "idempotency": """
        DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency WHERE create_time < now() - interval '24 hours'
            ORDER BY create_time LIMIT %s))""",
    "outbox": """
        DELETE FROM outbox USING (SELECT position FROM outbox ORDER BY position LIMIT %s) AS oldest
        WHERE outbox.position = oldest.position AND publish_time < now() - interval '7 days'""",
    "inbox": """
        DELETE FROM inbox WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM inbox WHERE create_time < now() - interval '14 days'
            ORDER BY create_time LIMIT %s))""",
}


async def clean_up(database: Database) -> dict[str, int]:
    """Delete what is too old, and return how many rows of each table that was."""
    return {table: await _delete(database, statement) for table, statement in _OLD.items()}


async def keep_clean(database: Database) -> None:
    """Clean up about every hour; replicas do so at different times."""
    while True:
        await asyncio.sleep(INTERVAL * random.uniform(0.5, 1.0))  # noqa: S311  # not a secret
        await clean_up(database)


async def _delete(database: Database, statement: str) -> int:
    deleted = 0
    while count := await database.execute(statement, (_BATCH,)):
        deleted += count
        await asyncio.sleep(_BREATH)
    return deleted
