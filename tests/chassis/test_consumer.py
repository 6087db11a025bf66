"""An event reaches its consumer until it was handled, and has its effect once."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from uuid import UUID

import pytest
from meshmart.order.v1.order_events_pb2 import OrderClosed, OrderConfirmed

from services.chassis import event_streams, tracing
from services.chassis.broker import Broker
from services.chassis.consumer import Consumers, Delivery
from services.chassis.database import Database
from services.chassis.durable_consumer import IN_HAND
from services.chassis.events import Envelope
from services.chassis.ids import new_id
from services.chassis.logs import Logs
from services.chassis.metrics import Metrics
from services.chassis.service import Consumer
from tests.chassis.eventing import (
    HANDLE,
    STREAM,
    TRACING,
    consumer,
    effects,
    eventually,
    outcomes,
    relay,
    write,
    write_many,
)

EVENT = "meshmart.order.v1.OrderConfirmed"


class Handler:
    """Has an effect, after what a test puts before it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.deliveries: list[Delivery] = []

    async def before(self, delivery) -> None:
        """Do nothing."""

    async def __call__(self, delivery) -> None:
        self.deliveries.append(delivery)
        await self.before(delivery)
        await self._database.execute(HANDLE, {**delivery.inbox_parameters(), "aggregate_id": delivery.aggregate_id})


@pytest.fixture
def handler(database) -> Handler:
    return Handler(database)


async def handled(database: Database, count: int, within: float = 20) -> None:
    async def number() -> int:
        return len(await effects(database))

    await eventually(number, count, within)


async def settled(nats) -> None:
    """Return once nothing is left to be delivered or acknowledged."""
    client = await nats.connect()

    async def left() -> tuple[int, int]:
        info = await client.jetstream().consumer_info(STREAM, "payment_OrderConfirmed")
        return info.num_pending or 0, info.num_ack_pending or 0

    await eventually(left, (0, 0))
    await client.close()


async def test_a_handler_gets_the_event_and_what_is_said_of_it(nats, database, stream, handler):
    async with consumer(nats, handler):
        event_id = await write(database, OrderConfirmed(order_id="one"), "aggregate", version=3)
        await handled(database, 1)
        await settled(nats)
    (delivery,) = handler.deliveries
    assert delivery.message == OrderConfirmed(order_id="one")
    assert (delivery.event_id, delivery.aggregate_id, delivery.aggregate_version) == (UUID(event_id), "aggregate", 3)
    assert (delivery.attempt, delivery.consumer) == (1, "payment_OrderConfirmed")


async def test_a_consumer_waits_for_its_stream(nats, url, database, handler):
    async with consumer(nats, handler):
        await asyncio.sleep(0.7)
        await write(database, OrderConfirmed())
        async with relay(nats, url):
            await handled(database, 1)


async def test_a_consumer_hears_only_its_own_event(nats, database, stream, handler):
    async with consumer(nats, handler):
        await write(database, OrderClosed())
        event_id = await write(database, OrderConfirmed())
        await handled(database, 1)
        await settled(nats)
    assert await effects(database) == [event_id]


async def test_events_of_one_aggregate_are_handled_in_order_and_others_meanwhile(nats, database, stream, handler):
    running: dict[str, int] = defaultdict(int)
    most_together, met_itself = 0, False

    async def before(delivery):
        nonlocal most_together, met_itself
        running[delivery.aggregate_id] += 1
        met_itself |= running[delivery.aggregate_id] > 1
        most_together = max(most_together, sum(running.values()))
        await asyncio.sleep(0.01)
        running[delivery.aggregate_id] -= 1

    handler.before = before
    await write_many(database, 120, aggregates=6)
    async with consumer(nats, handler):
        await handled(database, 120)
    versions = defaultdict(list)
    for delivery in handler.deliveries:
        versions[delivery.aggregate_id].append(delivery.aggregate_version)
    assert all(of_one == list(range(1, 21)) for of_one in versions.values())
    assert not met_itself
    assert 1 < most_together <= IN_HAND


async def test_a_repeated_event_has_one_effect(nats, database, stream, handler):
    """The same event twice in the stream, as when a broker that lost its memory is filled again."""
    client = await nats.connect()
    async with consumer(nats, handler) as metrics:
        await write(database, OrderConfirmed(), "one")
        await handled(database, 1)
        (delivery,) = handler.deliveries
        row = await database.one("SELECT create_time FROM outbox")
        envelope = Envelope(str(delivery.event_id), "meshmart.order.v1.OrderConfirmed", "one", 1, row[0])
        headers = envelope.headers("") | {"Nats-Msg-Id": "another"}
        await client.jetstream().publish("meshmart.order.v1.OrderConfirmed.0", b"", headers=headers)

        async def counted():
            return outcomes(metrics)

        await eventually(counted, {"done": 1, "repeated": 1})
        await settled(nats)
    await client.close()
    assert len(await effects(database)) == 1


async def test_a_failed_event_comes_again_and_later_ones_go_on(nats, database, stream, handler):
    async def before(delivery):
        if delivery.message.order_id == "0" and delivery.attempt < 3:
            raise RuntimeError("a bug")

    handler.before = before
    async with consumer(nats, handler) as metrics:
        first, *others = await write_many(database, 5)
        await handled(database, 5)
        await settled(nats)
    found = await effects(database)
    assert (set(found), found[-1]) == ({first, *others}, first)
    assert outcomes(metrics) == {"done": 5, "failed": 2}


async def test_a_call_that_is_cancelled_inside_a_handler_cancels_nothing_else(nats, database, stream, handler):
    async def before(delivery):
        if delivery.message.order_id == "0" and delivery.attempt == 1:
            raise asyncio.CancelledError  # as a call of grpc.aio does whose channel was closed

    handler.before = before
    async with consumer(nats, handler):
        written = await write_many(database, 4, aggregates=1)
        await handled(database, 4)
        await settled(nats)
    assert set(await effects(database)) == set(written)


async def test_a_malformed_event_does_not_stop_the_others(nats, database, stream, handler):
    client = await nats.connect()
    await write(database, OrderConfirmed(), "before")
    async with consumer(nats, handler) as metrics:
        await handled(database, 1)
        for number, headers in enumerate(
            [None, {"ce-type": "another"}, {"ce-type": "meshmart.order.v1.OrderConfirmed"}]
        ):
            await client.jetstream().publish(f"meshmart.order.v1.OrderConfirmed.{number}", b"\xff", headers=headers)
        await write(database, OrderConfirmed(), "after")
        await handled(database, 2)

        async def parked():
            return outcomes(metrics).get("parked")

        await eventually(parked, 3)
    await client.close()
    assert len(handler.deliveries) == 2


@pytest.mark.parametrize("status", ["100", "404", "409"])
async def test_an_event_is_not_taken_for_what_the_broker_says(nats, stream, database, handler, status):
    client, envelope = await nats.connect(), Envelope(str(new_id()), EVENT, "order", 1, datetime.now(UTC))
    async with consumer(nats, handler):
        await write(database, OrderConfirmed(), "before")
        await handled(database, 1)
        headers = {**envelope.headers(""), "Status": status}
        await client.jetstream().publish(f"{EVENT}.1", OrderConfirmed().SerializeToString(), headers=headers)
        await handled(database, 2)
    await client.close()


async def test_long_work_is_not_given_to_somebody_else(nats, database, stream, handler, monkeypatch):
    monkeypatch.setattr(event_streams, "ACK_WAIT", 0.5)
    monkeypatch.setattr("services.chassis.pull._TICK", 0.1)

    async def before(delivery):
        await asyncio.sleep(1.5)

    handler.before = before
    async with consumer(nats, handler):
        await write_many(database, 2, aggregates=1)
        await handled(database, 2)
        await settled(nats)
    assert [delivery.attempt for delivery in handler.deliveries] == [1, 1]


async def test_a_stopping_consumer_finishes_its_work_and_gives_back_the_rest(
    nats, database, stream, handler, monkeypatch
):
    monkeypatch.setattr(event_streams, "ACK_WAIT", 60.0)  # what is not given back comes too late for this test
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def before(delivery):
        begun.set()
        await go_on.wait()

    handler.before = before
    written = await write_many(database, 3, aggregates=1)
    async with asyncio.timeout(20):
        async with consumer(nats, handler):
            await begun.wait()
            asyncio.get_running_loop().call_later(0.2, go_on.set)
    assert await effects(database) == written[:1]
    async with consumer(nats, handler):
        await handled(database, 3)
    assert set(await effects(database)) == set(written)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_consuming_goes_on_after_the_broker_was_away(nats, database, stream, handler, end):
    async with consumer(nats, handler):
        before = await write_many(database, 20)
        await handled(database, 20)
        getattr(nats.server.program, end)()
        during = await write_many(database, 20)
        nats.server.start()
        await handled(database, 40)
        await settled(nats)
    assert set(await effects(database)) == {*before, *during}


async def test_consuming_goes_on_after_its_durable_was_deleted(nats, database, stream, handler):
    client = await nats.connect()
    async with consumer(nats, handler):
        await write(database, OrderConfirmed())
        await handled(database, 1)
        await settled(nats)
        await client.jetstream().delete_consumer(STREAM, "payment_OrderConfirmed")
        await write(database, OrderConfirmed())
        await handled(database, 2)
    await client.close()


async def test_events_wait_while_the_database_is_away(nats, stoppable_postgres, database, stream, handler):
    failed = asyncio.Event()

    async def before(delivery):
        if delivery.message.order_id == "1":
            if delivery.attempt == 1:
                stoppable_postgres.program.stop()
            elif delivery.attempt == 3:
                failed.set()

    handler.before = before
    async with consumer(nats, handler):
        written = await write_many(database, 1)
        await handled(database, 1)
        written.append(await write(database, OrderConfirmed(order_id="1")))
        await failed.wait()
        stoppable_postgres.start()
        await handled(database, 2)
    assert await effects(database) == written


async def test_what_a_handler_publishes_belongs_to_the_trace_of_its_event(nats, database, stream, handler):
    seen = []

    async def before(delivery):
        seen.append((delivery.traceparent, tracing.outgoing()))

    handler.before = before
    with tracing.following("00-" + "a" * 32 + "-" + "b" * 16 + "-00"):
        await write(database, OrderConfirmed())
    async with consumer(nats, handler):
        await handled(database, 1)
    assert seen == [("00-" + "a" * 32 + "-" + "b" * 16 + "-00",) * 2]


def test_a_service_that_the_contract_does_not_name_cannot_consume():
    async def handle(delivery):
        """Do nothing."""

    broker = Broker("catalog", "nats://127.0.0.1:1", "")
    with pytest.raises(ValueError, match=r"catalog may not consume .*OrderConfirmed: its contract names .*payment"):
        Consumers(broker, [Consumer(OrderConfirmed, handle)], TRACING, Metrics().of("catalog"), Logs())


async def test_the_durable_is_the_one_of_the_contract(nats, database, stream, handler):
    client = await nats.connect()
    async with consumer(nats, handler):
        await write(database, OrderConfirmed(order_id=str(new_id())))
        await handled(database, 1)
    config = (await client.jetstream().consumer_info(STREAM, "payment_OrderConfirmed")).config
    await client.close()
    assert (config.filter_subject, config.ack_wait, config.max_deliver) == ("meshmart.order.v1.OrderConfirmed.*", 5, -1)
