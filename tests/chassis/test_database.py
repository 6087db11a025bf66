"""Statements run on few connections, and a database that comes back is used again."""

import asyncio
import time

import psycopg
import pytest

from services.chassis import call
from services.chassis import database as database_module
from services.chassis.call import Call
from services.chassis.connections import PoolTimeout
from services.chassis.contract import Access, MethodContract
from services.chassis.database import Database
from tests.chassis.eventing import eventually

SIZE = 3


@pytest.fixture
async def database(database_url):
    async with Database(await database_url(), name="test", pool_size=SIZE) as database:
        await database.execute("CREATE TABLE thing (id integer PRIMARY KEY)")
        yield database


async def test_a_statement_gives_rows_or_how_many_it_touched(database):
    assert await database.execute("INSERT INTO thing SELECT generate_series(1, 3)") == 3
    assert await database.one("SELECT id FROM thing ORDER BY id") == (1,)
    assert await database.one("SELECT id FROM thing WHERE id = %s", (9,)) is None
    assert await database.all("SELECT id FROM thing WHERE id > %(id)s ORDER BY id", {"id": 1}) == [(2,), (3,)]
    assert await database.one("DELETE FROM thing") is None
    assert await database.all("DELETE FROM thing") == []


async def test_a_transaction_is_written_whole_or_not_at_all(database):
    async def write(*things: int) -> None:
        async with database.transaction() as connection:
            for thing in things:
                await connection.execute("INSERT INTO thing VALUES (%s)", (thing,))

    await write(1, 2)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await write(3, 1)
    assert await database.all("SELECT id FROM thing ORDER BY id") == [(1,), (2,)]


async def test_no_more_connections_are_opened_than_are_allowed(database):
    await asyncio.gather(*(database.one("SELECT pg_sleep(0.01)") for _ in range(30)))
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'meshmart-test'"
    assert await database.one(count) == (SIZE,)
    assert (database.connections.open, database.connections.idle, database.connections.waiting) == (SIZE, SIZE, 0)


async def test_connections_that_are_not_needed_are_closed_but_one(database):
    await asyncio.gather(*(database.one("SELECT pg_sleep(0.01)") for _ in range(SIZE)))
    for _ in range(5):
        database.connections.shrink()
    assert database.connections.open == 1
    assert await database.one("SELECT 1") == (1,)


async def test_a_statement_waits_for_a_connection_no_longer_than_its_call_may_take(database):
    contract = MethodContract("/a.B/C", "b", Access.PUBLIC, frozenset(), 1, 1, 1, False, False, False, False)  # noqa: FBT003
    busy = [asyncio.create_task(database.one("SELECT pg_sleep(2)")) for _ in range(SIZE)]
    await asyncio.sleep(0.1)
    token = call._current.set(Call(contract, None, time.monotonic() + 0.2, "", sampled=False))
    started = time.monotonic()
    with pytest.raises(PoolTimeout):
        await database.one("SELECT 1")
    assert time.monotonic() - started < 1
    call._current.reset(token)
    assert database.connections.waiting == 0
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert await database.one("SELECT 1") == (1,)


async def test_cancelled_statements_leave_the_connections_usable(database):
    for _ in range(5):
        tasks = [asyncio.create_task(database.one("SELECT pg_sleep(5)")) for _ in range(2 * SIZE)]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    found = await asyncio.gather(*(database.one("SELECT 1") for _ in range(2 * SIZE)))
    assert found == [(1,)] * 2 * SIZE
    assert database.connections.open <= SIZE


async def test_calls_after_a_restart_of_the_database_do_not_notice_it(stoppable_postgres, database):
    await asyncio.gather(*(database.one("SELECT pg_sleep(0.01)") for _ in range(SIZE)))
    stoppable_postgres.program.stop()
    stoppable_postgres.start()
    assert await asyncio.gather(*(database.one("SELECT 1") for _ in range(SIZE))) == [(1,)] * SIZE


async def test_a_lost_database_fails_calls_at_once_and_is_known_to_be_lost(stoppable_postgres, database, monkeypatch):
    monkeypatch.setattr(database_module, "LOST_AFTER", 1.5)
    assert database.reachable
    stoppable_postgres.program.stop()
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        await database.one("SELECT 1")
    assert time.monotonic() - started < 1

    async def reachable():
        return database.reachable

    await eventually(reachable, wanted=False)
    stoppable_postgres.start()
    await eventually(reachable, wanted=True)


async def test_a_database_that_nobody_asks_stays_reachable(database, monkeypatch):
    monkeypatch.setattr(database_module, "LOST_AFTER", 1.5)
    await asyncio.sleep(2.5)
    assert database.reachable


async def test_a_connection_that_is_given_up_while_it_opens_is_closed(tmp_path):
    came, left = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        while await reader.read(1024):
            pass
        left.set()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, tmp_path / ".s.PGSQL.5432"):
        database = Database(f"postgresql:///thing?host={tmp_path}", name="test")
        asking = asyncio.create_task(database.one("SELECT 1"))
        await came.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:  # kept, as a task keeps it
            await asking
        await left.wait()
        assert caught.value is not None
