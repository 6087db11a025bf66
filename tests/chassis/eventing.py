"""A database with the chassis's tables, and the parts of the event path joined as a host joins them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from google.protobuf.message import Message
from meshmart.order.v1.order_events_pb2 import OrderConfirmed
from nats.aio.client import Client

from services.chassis import outbox
from services.chassis.broker import Broker
from services.chassis.consumer import Consumers, Delivery
from services.chassis.database import Database
from services.chassis.event_streams import streams_of
from services.chassis.ids import new_id
from services.chassis.logs import Logs
from services.chassis.metrics import Metrics
from services.chassis.migrations import tables
from services.chassis.outbox import Outbox
from services.chassis.relay import Relay
from services.chassis.service import Consumer
from services.chassis.tracing import ServiceTracing

STREAM = "meshmart_order_v1"
TRACING = ServiceTracing(None)
EFFECT = "CREATE TABLE effect (event_id uuid NOT NULL, aggregate_id text NOT NULL, position bigserial)"
WRITE = f"{outbox.INSERT} VALUES ({outbox.VALUES}, %(version)s)"
HANDLE = """
WITH heard AS (
    INSERT INTO inbox (consumer, generation, event_id)
    VALUES (%(inbox_consumer)s, %(inbox_generation)s, %(inbox_event_id)s)
)
INSERT INTO effect (event_id, aggregate_id) VALUES (%(inbox_event_id)s, %(aggregate_id)s)"""


def make_tables(url: str) -> str:
    """Create the chassis's tables and one for effects in an empty database; return its address."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (tables.IDEMPOTENCY, tables.OUTBOX, tables.INBOX, EFFECT):
            connection.execute(statement)
    return url


async def write(database: Database, event: Message, aggregate_id: object = "", version: int = 1) -> str:
    """Write an event to the outbox as a store does; return its id."""
    parameters = outbox.parameters(event, str(aggregate_id or new_id()))
    await database.execute(WRITE, {**parameters, "version": version})
    return str(parameters["event_id"])


async def write_many(database: Database, count: int, *, aggregates: int = 0) -> list[str]:
    """Write events of so many aggregates, or each of its own."""
    names = [f"aggregate-{n}" for n in range(aggregates)] or [str(new_id()) for _ in range(count)]
    return [
        await write(database, OrderConfirmed(order_id=str(n)), names[n % len(names)], version=n // len(names) + 1)
        for n in range(count)
    ]


async def unpublished(database: Database) -> int:
    """Return how many events are not marked as published."""
    row = await database.one("SELECT count(*) FROM outbox WHERE publish_time IS NULL")
    return row[0] if row else 0


async def effects(database: Database) -> list[str]:
    """Return the events that had an effect, in order."""
    return [str(row[0]) for row in await database.all("SELECT event_id FROM effect ORDER BY position")]


async def eventually(ask: Callable[[], Awaitable[Any]], wanted: Any, within: float = 20) -> None:
    """Return once an answer is as wanted; fail with the last answer when it takes too long."""
    answer = None
    try:
        async with asyncio.timeout(within):
            while (answer := await ask()) != wanted:  # noqa: ASYNC110  # other processes are asked
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{answer!r} is not {wanted!r} after {within} s") from None


@asynccontextmanager
async def relay(
    nats: Any, url: str, outbox_: Outbox | None = None, tracing: ServiceTracing = TRACING
) -> AsyncIterator[Relay]:
    """Run a relay of the order service over a connection of its own."""
    async with (
        Broker("order", nats.url, nats.password) as broker,
        Relay(url, outbox_ or Outbox(), broker, streams_of("order"), tracing) as running,
    ):
        yield running


@asynccontextmanager
async def consumer(
    nats: Any,
    handle: Callable[[Delivery[Any]], Awaitable[None]],
    event: type[Message] = OrderConfirmed,
    tracing: ServiceTracing = TRACING,
) -> AsyncIterator[Metrics]:
    """Run the payment service's consumer of an event; give its metrics."""
    metrics = Metrics()
    async with (
        Broker("payment", nats.url, nats.password) as broker,
        Consumers(broker, [Consumer(event, handle)], tracing, metrics.of("payment"), Logs("WARNING")),
    ):
        yield metrics


def outcomes(metrics: Metrics) -> dict[str, int]:
    """Return how many events had which outcome."""
    found: Counter[str] = Counter()
    for line in metrics.text().decode().splitlines():
        if line.startswith("events_handled_total"):
            found[line.split('outcome="')[1].split('"')[0]] += int(float(line.rsplit(" ", 1)[1]))
    return {outcome: count for outcome, count in found.items() if count}


async def messages(client: Client, stream: str = STREAM) -> list[Any]:
    """Return all messages of a stream, in order."""
    context = client.jetstream()
    info = await context.stream_info(stream)
    return [await context.get_msg(stream, seq=n) for n in range(1, info.state.last_seq + 1)]
