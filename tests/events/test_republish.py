"""A broker that lost its disk is filled again from the outboxes, and nothing has its effect twice."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.events import republish
from tests.chassis.eventing import (
    STREAM,
    consumer,
    effects,
    eventually,
    messages,
    unpublished,
    write,
    write_many,
)

from meshmart.order.v1.order_events_pb2 import OrderConfirmed  # isort: skip


async def handled(database, number: int) -> None:
    async def found() -> int:
        return len(await effects(database))

    await eventually(found, number)


async def ids_in_stream(nats) -> list[str]:
    client = await nats.connect()
    found = [message.headers["ce-id"] for message in await messages(client)]
    await client.close()
    return found


def lose_disk(nats) -> None:
    """Stop the broker, delete its store, and start it empty."""
    nats.server.stop()
    shutil.rmtree(Path(nats.server._folder) / "jetstream")
    nats.server.start()


async def test_a_broker_that_lost_its_disk_is_filled_again(command, nats, database, stream, handler):
    """Some events were handled before, some were in the stream alone, some are written while it is empty."""
    async with consumer(nats, handler):
        before = await write_many(database, 20)
        await handled(database, 20)
    lost = await write_many(database, 20)
    await eventually(lambda: unpublished(database), 0)
    lose_disk(nats)
    after = await write_many(database, 20)
    await eventually(lambda: unpublished(database), 0)
    assert await ids_in_stream(nats) == after

    async with consumer(nats, handler):
        await handled(database, 40)
        answer = await command("republish", "--since", "1h")
        await handled(database, 60)
        assert await ids_in_stream(nats) == after + before + lost  # what the stream has, it drops
    assert (answer.code, answer.lines[0].split()[:2]) == (0, ["order", "60"])
    found = await effects(database)
    assert (len(found), set(found)) == (60, {*before, *lost, *after})


async def test_only_what_was_written_since_then_is_published_again(command, nats, database, stream, monkeypatch):
    monkeypatch.setattr(republish, "BATCH", 2)
    ids = []
    for days in (9, 6, 4, 2):
        ids.append(await write(database, OrderConfirmed(order_id=str(days)), "one", version=10 - days))
        past = datetime.now(UTC) - timedelta(days=days)
        await database.execute("UPDATE outbox SET create_time = %s WHERE event_id = %s", (past, ids[-1]))
    ids += await write_many(database, 5)
    await eventually(lambda: unpublished(database), 0)
    lose_disk(nats)
    answer = await command("republish", "--since", (datetime.now(UTC) - timedelta(days=5)).isoformat())
    assert (answer.code, answer.lines[0].split()[:2]) == (0, ["order", "7"])
    assert await ids_in_stream(nats) == ids[2:]


async def test_a_broker_that_lost_nothing_gets_nothing_twice_within_its_memory(command, nats, database, stream):
    written = await write_many(database, 5)
    await eventually(lambda: unpublished(database), 0)
    assert (await command("republish", "--since", "5m", "--service", "order")).code == 0
    assert await ids_in_stream(nats) == written


async def test_what_is_forgotten_by_the_stream_is_dropped_by_the_inbox(command, nats, database, stream, handler):
    """Two minutes after an event a stream takes it for a new one."""
    async with consumer(nats, handler):
        written = await write_many(database, 5)
        await handled(database, 5)
        client = await nats.connect()
        config = (await client.jetstream().stream_info(STREAM)).config
        await client.jetstream().delete_stream(STREAM)
        await client.jetstream().add_stream(config)
        await client.close()
        assert (await command("republish", "--since", "5m")).code == 0
        assert await ids_in_stream(nats) == written
        await write_many(database, 1)
        await handled(database, 6)
    assert len(await effects(database)) == 6


async def test_where_nobody_publishes_the_command_says_so(command, database, url, monkeypatch):
    monkeypatch.setattr(republish, "PATIENCE", 0.2)
    await write_many(database, 3)
    answer = await command("republish", "--since", "1h")
    assert (answer.code, answer.out) == (1, "")
    assert "order: nothing was published for 0 s, 3 events wait: do service and broker run?" in answer.err


REFUSED = {
    "a past that is deleted": (["--since", "8d"], "events are kept for 7 days"),
    "a service without an address": (
        ["--since", "1h", "--service", "payment"],
        "MESHMART_PAYMENT_DATABASE_URL: expected",
    ),
    "no service": (["--since", "1h", "--service", "nobody"], "MESHMART_NOBODY_DATABASE_URL: expected"),
}


@pytest.mark.parametrize(("arguments", "text"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_published_again_is_refused(command, url, arguments, text):
    answer = await command("republish", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err


async def test_without_any_database_there_is_nothing_to_do(command):
    answer = await command("republish", "--since", "1h")
    assert (answer.code, answer.err) == (
        2,
        "MESHMART_<SERVICE>_DATABASE_URL: expected the PostgreSQL URLs of services, found none\n",
    )


async def test_a_database_that_does_not_answer_is_named(command, monkeypatch):
    monkeypatch.setenv("MESHMART_ORDER_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/nothing")
    answer = await command("republish", "--since", "1h")
    assert (answer.code, answer.err) == (1, "order: its database does not answer: OperationalError\n")
