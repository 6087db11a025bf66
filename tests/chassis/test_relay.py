"""What was written to an outbox is published: all of it, in order, once."""

import asyncio

import psycopg
import pytest
from meshmart.order.v1.order_events_pb2 import OrderClosed, OrderConfirmed

from services.chassis.database import Database
from services.chassis.health import State
from services.chassis.outbox import Outbox
from services.chassis.outbox_table import OutboxTable
from tests.chassis.eventing import (
    STREAM,
    eventually,
    messages,
    relay,
    unpublished,
    write,
    write_many,
)


async def published(database: Database, within: float = 20) -> None:
    await eventually(lambda: unpublished(database), 0, within)


async def ids_in_stream(nats) -> list[str]:
    client = await nats.connect()
    found = [message.headers["ce-id"] for message in await messages(client)]
    await client.close()
    return found


async def test_an_event_is_published_as_a_cloud_event(nats, url, database):
    event_id = await write(database, OrderClosed(order_id="order"), "order", version=7)
    async with relay(nats, url):
        await published(database)
    client = await nats.connect()
    (message,) = await messages(client)
    await client.close()
    row = await database.one("SELECT create_time, traceparent FROM outbox")
    assert OrderClosed.FromString(message.data) == OrderClosed(order_id="order")
    assert message.subject == "meshmart.order.v1.OrderClosed.8"
    assert message.headers == {
        "Nats-Msg-Id": event_id,
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "/meshmart/order",
        "ce-type": "meshmart.order.v1.OrderClosed",
        "ce-subject": "order",
        "ce-time": row[0].isoformat().replace("+00:00", "Z"),
        "ce-aggregateversion": "7",
        "content-type": "application/protobuf",
        "traceparent": row[1],
    }


async def test_events_are_published_in_the_order_they_were_written(nats, url, database):
    written = await write_many(database, 600, aggregates=20)
    async with relay(nats, url):
        await published(database)
    client = await nats.connect()
    found = await messages(client)
    await client.close()
    by_aggregate: dict[str, list[int]] = {}
    for message in found:
        by_aggregate.setdefault(message.headers["ce-subject"], []).append(int(message.headers["ce-aggregateversion"]))
    assert sorted(message.headers["ce-id"] for message in found) == sorted(written)
    assert all(versions == sorted(versions) for versions in by_aggregate.values())


@pytest.mark.parametrize("woken", [True, False], ids=["woken", "polled"])
async def test_an_event_is_published_within_its_bound(nats, url, database, woken):
    outbox = Outbox()
    loop = asyncio.get_running_loop()
    async with relay(nats, url, outbox):
        await write(database, OrderClosed())
        await published(database)
        delays = []
        for _ in range(20):
            await write(database, OrderClosed())
            if woken:
                outbox.wake()
            before = loop.time()
            await published(database)
            delays.append(loop.time() - before)
    # The median, because this machine has other things to do.
    assert sorted(delays)[10] < 0.08


async def test_rows_that_no_stream_takes_wait_and_are_seen_waiting(nats, url, database):
    client = await nats.connect()
    async with relay(nats, url) as running:
        await write(database, OrderClosed())
        await published(database)
        context = client.jetstream()
        config = (await context.stream_info(STREAM)).config
        await context.update_stream(config, max_msgs=1)
        waiting = await write_many(database, 3)

        async def lag() -> tuple[int, State]:
            return running.lag.rows, running.report().state

        await eventually(lag, (3, State.DEGRADED))
        assert "maximum messages exceeded" in running.report().detail
        assert await unpublished(database) == 3
        # The relay gives the stream the configuration of the contract again.
        await published(database)
        await eventually(lag, (0, State.UP))
    await client.close()
    assert (await ids_in_stream(nats))[1:] == waiting


async def test_an_event_too_large_for_the_broker_holds_up_only_its_own_aggregate(nats, url, database):
    await write(database, OrderConfirmed(order_id="x" * 2_000_000), "large")
    await write(database, OrderClosed(), "large", version=2)
    other = await write(database, OrderClosed(), "other")
    async with relay(nats, url) as running:
        await eventually(lambda: unpublished(database), 2)
        assert await ids_in_stream(nats) == [other]
        assert running.report().state is State.DEGRADED


async def test_events_that_no_stream_will_ever_take_hold_up_nobody_else(nats, url, database, monkeypatch):
    """More of them than fit into a batch, and older than all others."""
    monkeypatch.setattr("services.chassis.relay.BATCH", 4)
    monkeypatch.setattr("services.chassis.held.AGAIN", 0.5)
    for number in range(10):
        await write(database, OrderConfirmed(order_id="x" * 1_045_000), f"large-{number}")
    others = await write_many(database, 10)
    client = await nats.connect()
    async with relay(nats, url) as running:
        await eventually(lambda: unpublished(database), 10)
        assert await ids_in_stream(nats) == others
        assert running.report().state is State.DEGRADED
        assert "larger than the broker takes; events of" in running.report().detail
        assert running.lag.rows == 10
        # Somebody mends them.
        await database.execute("UPDATE outbox SET payload = '' WHERE publish_time IS NULL")
        await published(database)
        await eventually(lambda: _state(running), State.UP)
    await client.close()
    assert await _count(nats) == 20


async def _state(running) -> State:
    return running.report().state


async def test_an_event_that_its_stream_refuses_for_what_it_is_holds_up_nobody_else(nats, url, database):
    async with relay(nats, url) as running:
        await write(database, OrderClosed())
        await published(database)
        client = await nats.connect()
        config = (await client.jetstream().stream_info(STREAM)).config
        await client.jetstream().update_stream(config, max_msg_size=2000)
        await client.close()
        await write(database, OrderClosed(order_id="x" * 3000), "large")
        await write(database, OrderClosed(), "large", version=2)
        await write(database, OrderClosed(), "other")
        await eventually(lambda: unpublished(database), 2)
        assert "message size exceeds maximum allowed" in running.report().detail


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_events_written_while_the_broker_is_away_arrive_after(nats, url, database, end):
    async with relay(nats, url) as running:
        before = await write_many(database, 5)
        await published(database)
        getattr(nats.server.program, end)()
        during = await write_many(database, 300)

        async def degraded() -> bool:
            return running.report().state is State.DEGRADED and running.lag.rows == 300

        await eventually(degraded, wanted=True)
        nats.server.start()
        await published(database)
        after = await write_many(database, 5)
        await published(database)
    assert await ids_in_stream(nats) == before + during + after


async def test_a_stream_that_was_lost_is_made_again(nats, url, database):
    client = await nats.connect()
    async with relay(nats, url):
        await write(database, OrderClosed())
        await published(database)
        await client.jetstream().delete_stream(STREAM)
        event_id = await write(database, OrderClosed())
        await published(database)
    await client.close()
    assert await ids_in_stream(nats) == [event_id]


async def test_a_relay_that_dies_before_it_marks_publishes_nothing_twice(nats, url, database, monkeypatch):
    written = await write_many(database, 50)
    with monkeypatch.context() as dying:

        async def die(self, positions):
            raise psycopg.OperationalError("died between publishing and marking")

        dying.setattr(OutboxTable, "mark", die)
        async with relay(nats, url):
            await eventually(lambda: _count(nats), 50)
    assert await unpublished(database) == 50
    async with relay(nats, url):
        await published(database)
    assert await ids_in_stream(nats) == written


async def _count(nats) -> int:
    client = await nats.connect()
    try:
        return sum(stream.state.messages for stream in await client.jetstream().streams_info())
    finally:
        await client.close()


async def test_one_relay_is_active_and_another_takes_over_within_five_seconds(nats, url, database):
    async with relay(nats, url) as first:
        await write(database, OrderClosed())
        await published(database)
        async with relay(nats, url) as second:
            await asyncio.sleep(1.5)
            assert (first.active, second.active) == (True, False)
            assert second.report().detail == "standby"
            assert first._task
            first._task.cancel()
            await write(database, OrderClosed())
            await published(database, within=5)
            assert (first.active, second.active) == (False, True)


async def test_a_relay_that_hangs_loses_its_lock(nats, url, database, monkeypatch):
    """A process that is paused keeps its connection open, so PostgreSQL must end it."""
    async with OutboxTable.open(url, "hanging") as hanging:
        assert await hanging.try_hold()
        async with relay(nats, url):
            await write(database, OrderClosed())
            await published(database, within=6)
        with pytest.raises(psycopg.OperationalError):
            await hanging.mark([1])


async def test_a_relay_goes_on_after_the_database_ended_its_connection(nats, url, database):
    async with relay(nats, url) as running:
        await write(database, OrderClosed())
        await published(database)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'meshmart-order-relay'"
        )
        await write(database, OrderClosed())
        await published(database)
        assert running.active


async def test_a_stopping_relay_publishes_what_was_just_written(nats, url, database):
    async with relay(nats, url):
        await write(database, OrderClosed())
        await published(database)
        await write_many(database, 300)
    assert await unpublished(database) == 0
