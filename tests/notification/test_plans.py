"""How PostgreSQL runs the statements on notifications, which become many, also where a plan was made of few."""

import asyncio

import psycopg
import pytest

from services.chassis.database import Database
from services.chassis.ids import new_id
from services.notification import pending, store

ANYTHING = {
    **dict.fromkeys(("id", "before", "customer_id"), new_id()),
    "channel": "LOG",
    "limit": 9,
    "lease": "60 s",
    "attempt": 1,
    "delay": "2 s",
    "reason": "NONE",
    "xid": "1",
    "kind": "WELCOME",
    "state": "FAILED",
    "ids": [new_id()],
    "attempts": [1],
    **{f"event_{name}": None for name in ("id", "subject", "type", "aggregate_id", "payload", "traceparent")},
}

MANY = """
INSERT INTO notification (id, event_id, customer_id, kind, channel, state)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'WELCOME', 'LOG', 'SKIPPED' FROM generate_series(1, 5000)
"""

STATEMENTS = {
    "changes": store.CHANGES,
    "claim": pending.CLAIM,
    "sent": pending.SENT,
    "failed": pending.FAILED,
    "put off": pending.PUT_OFF,
    "give back": pending.GIVE_BACK,
    "search by nothing": store._search(),
    "search by customer": store._search("customer_id"),
    "search by state": store._search("state"),
    "search by kind": store._search("kind"),
    "search by all": store._search("customer_id", "kind", "state"),
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
async def test_what_is_looked_up_is_found_by_an_index(database_url, statement):
    url = await database_url("notification")
    await asyncio.to_thread(_vacuum, url)
    async with Database(url) as database:
        plan = [line for (line,) in await database.all(f"EXPLAIN {statement}", ANYTHING)]
    assert [line for line in plan if "Seq Scan" in line] == []


@pytest.mark.parametrize("filters", [(), ("customer_id",), ("state",), ("kind",)], ids=str)
async def test_a_page_of_many_is_read_in_order(database_url, filters):
    url = await database_url("notification")
    async with Database(url) as database:
        await database.execute(MANY)
        await asyncio.to_thread(_vacuum, url)
        plan = [line for (line,) in await database.all(f"EXPLAIN {store._search(*filters)}", ANYTHING)]
    assert [line for line in plan if "Sort" in line] == []


async def test_what_is_rare_is_found_without_reading_all_that_is_newer(database_url):
    url = await database_url("notification")
    async with Database(url) as database:
        await database.execute(MANY)
        await asyncio.to_thread(_vacuum, url)
        rare = {**ANYTHING, "kind": "ORDER_REJECTED"}
        plan = [line for (line,) in await database.all(f"EXPLAIN {store._search('kind')}", rare)]
    assert [line for line in plan if "notification_by_kind" in line] != []


def _vacuum(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
