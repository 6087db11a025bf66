"""Outbox to stream against plain publishing, and stream to effect.

The relay publishes events of one service that are written already; plain publishing has 16 in flight and waits for
each one's acknowledgement. The consumer writes its inbox row and one effect row per event, in one statement; a loop
that pulls and acknowledges the same messages and does nothing else is beside it for orientation.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop
from meshmart.order.v1.order_events_pb2 import OrderConfirmed
from nats.js.api import AckPolicy, ConsumerConfig

from scripts.benchmarks.workbench import Workbench, workbench
from services.chassis import inbox, outbox
from services.chassis.consumer import Consumers, Delivery
from services.chassis.database import Database
from services.chassis.event_streams import streams_of
from services.chassis.ids import new_id
from services.chassis.logs import Logs
from services.chassis.metrics import Counter, Metrics
from services.chassis.outbox import Outbox
from services.chassis.relay import Relay
from services.chassis.run import spare_what_stays
from services.chassis.service import Consumer
from services.chassis.tracing import NO_SPANS

EVENTS = 4000
"""Of one round."""
IN_FLIGHT = 16
RELAY_TARGET = 0.40
CONSUMER_TARGET = 2000
STREAM, SUBJECT = "meshmart_order_v1", "meshmart.order.v1.OrderConfirmed"
WRITE = """
INSERT INTO outbox (event_id, subject, event_type, aggregate_id, payload, traceparent, aggregate_version)
SELECT gen_random_uuid(), %(event_subject)s, %(event_type)s, gen_random_uuid()::text, %(event_payload)s,
    %(event_traceparent)s, 1
FROM generate_series(1, %(count)s)"""
HANDLE = f"WITH heard AS ({inbox.INSERT}) INSERT INTO effect VALUES (%(inbox_event_id)s, %(aggregate_id)s)"  # noqa: S608  # a constant
EVENT = OrderConfirmed(order_id=str(UUID(int=1)), customer_id=str(UUID(int=2)))


def measure(rounds: int) -> dict[str, Any]:
    """Return what relay and consumer carry, by medians over interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="meshmart-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user than root
        return {"benchmark": "events", "rounds": rounds, **uvloop.run(_measure(Path(folder), rounds))}


async def _measure(folder: Path, rounds: int) -> dict[str, Any]:
    async with workbench(folder) as bench:
        return {"relay": await _relay(bench, rounds), "consumer": await _consumer(bench, rounds)}


async def _relay(bench: Workbench, rounds: int) -> dict[str, Any]:
    """Return how the rate of the relay compares with that of plain publishing."""
    async with Database(bench.database_url, name="bench") as database:
        await _published_by_relay(bench, database)  # warm
        pairs = [(await _published_by_relay(bench, database), await _published_plainly(bench)) for _ in range(rounds)]
    return {
        "ratio": round(statistics.median(ours / plain for ours, plain in pairs), 3),
        "target": RELAY_TARGET,
        "relay_per_second": round(statistics.median(ours for ours, _ in pairs)),
        "plain_per_second": round(statistics.median(plain for _, plain in pairs)),
    }


async def _published_by_relay(bench: Workbench, database: Database) -> float:
    await database.execute(WRITE, {**outbox.parameters(EVENT, new_id()), "count": EVENTS})
    await database.execute("ANALYZE outbox")
    spare_what_stays()
    published = Counter()
    async with bench.broker("order") as broker:
        await broker.client()
        began = time.perf_counter()
        async with Relay(bench.database_url, Outbox(), broker, streams_of("order"), NO_SPANS, published):
            while published.value < EVENTS:  # noqa: ASYNC110  # a relay tells nobody
                await asyncio.sleep(0.002)
        return EVENTS / (time.perf_counter() - began)


async def _published_plainly(bench: Workbench) -> float:
    context, payload = bench.admin.jetstream(), EVENT.SerializeToString()
    left = iter(range(EVENTS))

    async def publish() -> None:
        for _ in left:
            await context.publish(f"{SUBJECT}.0", payload)

    return await _rate(lambda: asyncio.gather(*(publish() for _ in range(IN_FLIGHT))))


async def _consumer(bench: Workbench, rounds: int) -> dict[str, Any]:
    """Return how many events a second a consumer handles, and what one costs its process."""
    async with Database(bench.database_url, name="payment") as database:
        await bench.admin.jetstream().purge_stream(STREAM)
        await _handled(bench, database)  # warm
        found = [(*await _handled(bench, database), await _pulled(bench)) for _ in range(rounds)]
    rates, seconds, bare = zip(*found, strict=True)
    return {
        "per_second": round(statistics.median(rates)),
        "target": CONSUMER_TARGET,
        "cpu_microseconds": round(1e6 * statistics.median(seconds) / EVENTS),
        "bare_per_second": round(statistics.median(bare)),
    }


async def _handled(bench: Workbench, database: Database) -> tuple[float, float]:
    """Return events a second, and the processor seconds of this process."""
    await _published_by_relay(bench, database)
    done, left = asyncio.Event(), EVENTS

    async def handle(delivery: Delivery[OrderConfirmed]) -> None:
        nonlocal left
        await database.execute(HANDLE, {**delivery.inbox_parameters(), "aggregate_id": delivery.aggregate_id})
        left -= 1
        if not left:
            done.set()

    handling = [Consumer(OrderConfirmed, handle)]
    with Logs(stream=BytesIO()) as logs:
        async with bench.broker("payment") as broker:
            await broker.client()
            began, used = time.perf_counter(), time.process_time()
            async with Consumers(broker, handling, NO_SPANS, Metrics().of("payment"), logs):
                await done.wait()
                return EVENTS / (time.perf_counter() - began), time.process_time() - used


async def _pulled(bench: Workbench) -> float:
    """Return the rate of a loop that only acknowledges: of the events that were just handled."""
    context = bench.admin.jetstream()
    await context.add_consumer(STREAM, ConsumerConfig(durable_name="bare", ack_policy=AckPolicy.EXPLICIT))
    subscription = await context.pull_subscribe_bind("bare", STREAM)

    async def pull() -> None:
        left = EVENTS
        while left:
            for message in await subscription.fetch(min(100, left)):
                await message.ack()
                left -= 1

    try:
        return await _rate(pull)
    finally:
        await subscription.unsubscribe()
        await context.delete_consumer(STREAM, "bare")


async def _rate(run: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await run()
    return EVENTS / (time.perf_counter() - began)
