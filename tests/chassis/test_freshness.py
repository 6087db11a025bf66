"""`as_of` says up to when events are handled: now, when nothing is pending, and never too much."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from services.chassis.broker import Broker
from services.chassis.consumer import Consumers
from services.chassis.event_streams import durable_of, ensure_stream, streams_of
from services.chassis.freshness import Freshness
from services.chassis.logs import Logs
from services.chassis.metrics import Metrics
from services.chassis.service import Consumer
from tests.chassis.eventing import TRACING, eventually


class Handler:
    """Handles what a test lets through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.handled: list[str] = []
        self.refused: set[str] = set()

    async def handle(self, delivery) -> None:
        await self.open.wait()
        if delivery.message.order_id in self.refused:
            raise ValueError("refused")
        self.handled.append(delivery.message.order_id)


@pytest.fixture
def handler() -> Handler:
    return Handler()


@asynccontextmanager
async def watched(nats, handler):
    freshness = Freshness()
    async with Broker("payment", nats.url, nats.password) as broker:
        freshness.watch(broker, [durable_of("payment", OrderConfirmed)])
        consumers = [Consumer(OrderConfirmed, handler.handle)]
        async with Consumers(broker, consumers, TRACING, Metrics().of("payment"), Logs()):
            await broker.client()
            yield freshness


@pytest.fixture
async def freshness(nats, handler):
    async with watched(nats, handler) as freshness:
        yield freshness


@pytest.fixture
async def publish(nats):
    """Return a function that publishes an event of an order."""
    admin = await nats.connect()

    async def publish(order_id: str) -> None:
        await ensure_stream(admin, streams_of("order")[0])
        headers = {"ce-id": f"00000000-0000-7000-8000-{int(order_id):012}", "ce-subject": order_id}
        headers |= {"ce-type": "meshmart.order.v1.OrderConfirmed", "ce-aggregateversion": "1"}
        payload = OrderConfirmed(order_id=order_id).SerializeToString()
        await admin.jetstream().publish("meshmart.order.v1.OrderConfirmed.0", payload, headers=headers)

    yield publish
    await admin.close()


async def pending(freshness: Freshness) -> int:
    return (await freshness.reached()).pending


async def test_it_is_now_while_there_is_nothing_to_hear(freshness):
    before = datetime.now(UTC)
    reached = await freshness.reached()

    assert before <= reached.as_of <= datetime.now(UTC)
    assert reached.pending == 0


async def test_it_is_now_when_all_is_handled(freshness, handler, publish):
    await publish("1")

    async def handled() -> bool:
        before = datetime.now(UTC)
        reached = await freshness.reached()
        return handler.handled == ["1"] and reached.as_of is not None and reached.as_of >= before

    await eventually(handled, wanted=True)


async def test_it_is_before_what_is_pending_and_goes_on_with_what_is_handled(freshness, handler, publish):
    handler.open.clear()
    before = (await freshness.reached()).as_of
    await publish("1")
    await eventually(lambda: pending(freshness), 1)
    held = (await freshness.reached()).as_of
    assert held < datetime.now(UTC)
    assert (await freshness.reached()).as_of == held
    assert held >= before

    handler.open.set()
    await eventually(lambda: pending(freshness), 0)
    assert (await freshness.reached()).as_of > held


async def test_an_event_that_fails_holds_it_back_though_later_ones_are_handled(freshness, handler, publish):
    await freshness.reached()
    handler.refused.add("1")
    await publish("1")
    await eventually(lambda: pending(freshness), 1)
    held = (await freshness.reached()).as_of
    for order_id in ("2", "3"):
        await publish(order_id)

    async def handled() -> list[str]:
        return handler.handled

    await eventually(handled, ["2", "3"])
    assert (await freshness.reached()).as_of == held

    handler.refused.clear()
    await eventually(lambda: pending(freshness), 0)
    assert (await freshness.reached()).as_of > held


async def test_it_is_unknown_after_a_start_until_what_waited_then_is_handled(nats, handler, publish):
    await publish("1")
    handler.open.clear()
    async with watched(nats, handler) as freshness:
        await eventually(lambda: pending(freshness), 1)
        assert (await freshness.reached()).as_of is None

        handler.open.set()
        await eventually(lambda: pending(freshness), 0)
        assert (await freshness.reached()).as_of is not None


async def test_without_a_broker_it_stays_what_it_was(freshness, nats):
    before = await freshness.reached()
    nats.server.stop()

    assert (await freshness.reached()).as_of == before.as_of
