"""What a durable order costs: processor time of all our services, in bare unary calls measured in the same run.

An order counts from PlaceOrder until it was confirmed, captured and its stock committed, every event was published and
handled, the customer was told and the figures follow; fsync is on. What notification and analytics cost is told apart
where they are processes of their own. The services run as separate processes, as one process, and as separate processes whose
databases hold a million orders; the rounds of all three take turns.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from scripts.benchmarks.bare import Bare, bare_pair
from scripts.benchmarks.buyer import Buyer, buyer
from scripts.benchmarks.machine import cpu_seconds, proportional_memory
from scripts.benchmarks.prefill import prefill
from scripts.local_run.ports import Ports
from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.seed.seed import seed
from scripts.local_run.supervisor import Shop

BARE_CALLS, ORDERS, WARM_UP = 3200, 400, 600
STORED = 1_000_000
PORTS = {"separate": 18080, "one_process": 18180, "stored": 18380}
TARGETS = {"separate": 25.0, "one_process": 12.0, "stored": 1.1}
MEMORY_TARGETS = {"separate": 900, "one_process": 500}
"""In 10^6 bytes."""
ENGINES = frozenset({"postgres", "nats", "edge"})
"""Parts that are not our services."""
LISTENERS = frozenset({"notification", "analytics"})
"""Services that only hear what became of an order."""


def measure(rounds: int, stored: int = STORED) -> dict[str, Any]:
    """Return costs, memory and ratios, by medians over interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="meshmart-bench-", dir="/tmp") as folder, bare_pair() as bare:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user than root
        return asyncio.run(_measure(bare, Path(folder), rounds, stored))


async def _measure(bare: Bare, folder: Path, rounds: int, stored: int) -> dict[str, Any]:
    result: dict[str, Any] = {"benchmark": "orders", "rounds": rounds, "orders_per_round": ORDERS}
    async with AsyncExitStack() as stack:
        kinds = [kind for kind in PORTS if stored or kind != "stored"]
        buyers = {kind: await _open(stack, folder, kind, stored) for kind in kinds}
        result["memory_megabytes"] = {kind: _memory(buyers[kind].shop) for kind in MEMORY_TARGETS}
        result["bare_call_microseconds"] = round(1e6 * await asyncio.to_thread(bare.cpu_per_call, BARE_CALLS))
        costs = await _rounds(bare, buyers, rounds)
    result["calls_per_order"] = {kind: round(statistics.median(costs[kind]), 2) for kind in costs}
    if stored:
        pairs = zip(costs["stored"], costs["separate"], strict=True)
        result["stored"] = stored
        result["stored_ratio"] = round(statistics.median(many / few for many, few in pairs), 3)
    return {**result, "targets": TARGETS, "memory_targets": MEMORY_TARGETS}


async def _open(stack: AsyncExitStack, folder: Path, kind: str, stored: int) -> Buyer:
    one = kind == "one_process"
    shop = await stack.enter_async_context(Shop(folder / kind, Ports(PORTS[kind], one)))
    await seed(f"127.0.0.1:{shop.ports.edge}", STAFF_EMAIL, shop.secrets.staff_password)
    visitor = await buyer(shop)
    if kind == "stored":
        await asyncio.to_thread(prefill, shop, stored)
    await visitor.buy(WARM_UP)
    return visitor


async def _rounds(bare: Bare, buyers: dict[str, Buyer], rounds: int) -> dict[str, list[float]]:
    """Return what an order cost in each round, in bare calls."""
    costs: dict[str, list[float]] = {kind: [] for kind in (*buyers, "listeners")}
    for _ in range(rounds):
        for kind, visitor in buyers.items():
            yardstick = await asyncio.to_thread(bare.cpu_per_call, BARE_CALLS)
            cost, listening = await _cost(visitor)
            costs[kind].append(cost / yardstick)
            if kind == "separate":
                costs["listeners"].append(listening / yardstick)
    return costs


async def _cost(visitor: Buyer) -> tuple[float, float]:
    """Return the processor seconds of an order, and those of notification and analytics where they are processes."""
    groups = [_services(visitor.shop), _listeners(visitor.shop)]
    before = [cpu_seconds(group) for group in groups]
    await visitor.buy(ORDERS)
    cost, listening = ((cpu_seconds(group) - then) / ORDERS for group, then in zip(groups, before, strict=True))
    return cost, listening


def _services(shop: Shop) -> Iterable[int]:
    return [pid for name, pid in shop.pids().items() if name not in ENGINES | LISTENERS]


def _listeners(shop: Shop) -> Iterable[int]:
    return [pid for name, pid in shop.pids().items() if name in LISTENERS]


def _memory(shop: Shop) -> int:
    return round(proportional_memory(shop.pids().values()) / 1e6)
