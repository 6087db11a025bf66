"""`events republish --since`: has a week of events published again, for a broker that lost its disk.

A stream drops what it took within the last two minutes, and each consumer's inbox what it has handled: only what was
lost has an effect.
"""

import argparse
import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
from psycopg import AsyncConnection

from services.chassis.error_text import describe
from services.events import screen, times
from services.events.environment import databases, variable_of
from services.events.trouble import CommandError, UsageError

KEPT: Final = timedelta(days=7)
"""Housekeeping deletes older rows; inboxes remember for twice as long."""
BATCH: Final = 1000
"""Rows given to the relay at once, so that new events do not wait behind all the old ones."""
PATIENCE: Final = 30.0
"""Seconds without a published row after which nobody publishes."""
_LOOK: Final = 0.05

_COUNT: Final = "SELECT count(*), coalesce(max(position), 0) FROM outbox WHERE create_time >= %s"
_AGAIN: Final = """
WITH again AS (
    UPDATE outbox SET publish_time = NULL
    WHERE position = ANY(ARRAY(
        SELECT position FROM outbox WHERE position > %s AND position <= %s AND create_time >= %s
        ORDER BY position LIMIT %s))
    RETURNING position
)
SELECT count(*), max(position) FROM again"""
_WAITING: Final = "SELECT count(*) FROM outbox WHERE publish_time IS NULL AND position <= %s"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("republish", help="publish a past again, after a broker lost it", description=__doc__)
    parser.add_argument("--since", type=times.since, required=True, help="15m, 2h, 7d or 2026-11-21T10:00Z")
    parser.add_argument("--service", default="", help="only the events of a service")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Republish; return 1 where it could not be finished."""
    if options.since < datetime.now(UTC) - KEPT - timedelta(minutes=1):
        raise UsageError(f"events are kept for {KEPT.days} days, and --since is {options.since:%Y-%m-%dT%H:%MZ}")
    codes = [await _republish(service, url, options.since) for service, url in _chosen(options.service).items()]
    return max(codes)


def _chosen(service: str) -> dict[str, str]:
    urls = databases(os.environ)
    if service and service not in urls:
        raise UsageError(f"{variable_of(service)}: expected the PostgreSQL URL of that service, found nothing")
    if not urls:
        raise UsageError("MESHMART_<SERVICE>_DATABASE_URL: expected the PostgreSQL URLs of services, found none")
    return {service: urls[service]} if service else urls


async def _republish(service: str, url: str, since: datetime) -> int:
    began = time.monotonic()
    try:
        async with await AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as connection:
            count = await _publish_again(connection, since)
    except psycopg.Error as error:
        screen.complain(f"{service}: its database does not answer: {describe(error)}")
        return 1
    except CommandError as error:
        screen.complain(f"{service}: {error}")
        return error.code
    screen.line(f"{service:<12} {count:>8,} events published again in {time.monotonic() - began:.1f} s")
    return 0


async def _publish_again(connection: AsyncConnection, since: datetime) -> int:
    """Unmark rows in the order they were written, some at a time, and return how many once all are published."""
    total, last = await _one(connection, _COUNT, (since,))
    position = 0
    while True:
        count, highest = await _one(connection, _AGAIN, (position, last, since, BATCH))
        if not count:
            return total
        position = highest
        await _published(connection, position)


async def _published(connection: AsyncConnection, position: int) -> None:
    """Return once the relay has published what was unmarked. Raises CommandError when it does not."""
    waiting, changed = -1, time.monotonic()
    while True:
        (now,) = await _one(connection, _WAITING, (position,))
        if not now:
            return
        if now != waiting:
            waiting, changed = now, time.monotonic()
        elif time.monotonic() - changed > PATIENCE:
            raise CommandError(
                f"nothing was published for {PATIENCE:.0f} s, {now} events wait: do service and broker run?"
            )
        await asyncio.sleep(_LOOK)


async def _one(connection: AsyncConnection, statement: str, parameters: tuple[object, ...]) -> tuple[int, ...]:
    row = await (await connection.execute(statement, parameters)).fetchone()
    return row or ()
