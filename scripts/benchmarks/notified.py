"""How long after an order was confirmed its customer's notification is recorded, in a shop that does nothing else.

From the statement that confirms to the statement that records, by the clock of the one PostgreSQL that both are on.
"""

import asyncio
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from scripts.benchmarks.buyer import Buyer, buyer
from scripts.local_run.ports import Ports
from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.seed.seed import seed
from scripts.local_run.supervisor import Shop

ORDERS, WARM_UP = 250, 50
TARGET = 100.0
"""Milliseconds, at the 99th of 100."""
PORT = 18480
PAUSE = (0.2, 0.4)
"""Seconds between orders, at least and at most: the shop is idle, and never in step with anything that polls."""

CONFIRMED: LiteralString = """
SELECT aggregate_id::uuid, create_time FROM outbox
WHERE event_type = 'meshmart.order.v1.OrderConfirmed' ORDER BY position DESC LIMIT %s"""
RECORDED: LiteralString = "SELECT order_id, create_time FROM notification WHERE order_id = ANY(%s)"


def measure() -> dict[str, Any]:
    """Return the median and the 99th percentile, in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="meshmart-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user than root
        times = asyncio.run(_measure(Path(folder)))
    percentiles = statistics.quantiles(times, n=100)
    return {
        "benchmark": "notified",
        "orders": len(times),
        "p50_milliseconds": round(percentiles[49], 1),
        "p99_milliseconds": round(percentiles[98], 1),
        "target": TARGET,
    }


async def _measure(folder: Path) -> list[float]:
    async with Shop(folder / "shop", Ports(PORT)) as shop:
        await seed(f"127.0.0.1:{shop.ports.edge}", STAFF_EMAIL, shop.secrets.staff_password)
        visitor = await buyer(shop)
        await visitor.buy(WARM_UP)
        await _buy_now_and_then(visitor)
        return await asyncio.to_thread(_times, shop)


async def _buy_now_and_then(visitor: Buyer) -> None:
    for _ in range(ORDERS):
        await visitor.place()
        await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311  # not for secrets
    await visitor.settled()


def _times(shop: Shop) -> list[float]:
    with psycopg.connect(shop.database_url("order")) as order:
        confirmed: dict[Any, Any] = dict(order.execute(CONFIRMED, (ORDERS,)).fetchall())
    with psycopg.connect(shop.database_url("notification")) as notification:
        recorded = notification.execute(RECORDED, (list(confirmed),)).fetchall()
    return [1000 * (time - confirmed[order_id]).total_seconds() for order_id, time in recorded]
