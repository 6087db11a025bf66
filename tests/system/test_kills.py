"""Two hundred orders while every service is killed: none is lost, none is made twice, all end."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
from meshmart.order.v1.order_service_pb2 import PlaceOrderRequest

from scripts.local_run.ports import SERVICES
from scripts.local_run.supervisor import Shop
from tests.system.shopper import DECLINES, WORKS, Shopper, cart
from tests.system.state import broken_invariants, orders_of_customer
from tests.system.waiting import eventually

ORDERS = 200
EVERY_FIFTH = 5
"""Order whose card is declined."""
SETTLE = 30.0
"""Seconds after the last kill within which each order must have ended."""

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(150)]


@dataclass
class Buying:
    """Orders on their way, all at once."""

    shopper: Shopper
    placed: dict[str, str] = field(default_factory=dict)
    """Order by request."""
    ends: dict[str, str] = field(default_factory=dict)
    """Last state by request."""

    async def buy(self, request: PlaceOrderRequest) -> None:
        """Place an order and watch it to its end, whatever dies meanwhile."""
        order = await self.shopper.place(request)
        self.placed[request.request_id] = order.id
        self.ends[request.request_id] = await self.shopper.watch_to_the_end(order.id)

    async def progress(self, steps: int) -> bool:
        """Return whether so many steps were made: each order is placed, and ends."""
        return len(self.placed) + len(self.ends) >= steps


async def _kill_in_turn(shop: Shop, buying: Buying, victims: Sequence[str]) -> None:
    """Kill one after the other, spread over the orders' progress; return when all are back."""
    for number, victim in enumerate(victims, start=1):
        steps = number * 2 * ORDERS // (len(victims) + 1)
        await eventually(partial(buying.progress, steps), expected=True, within=60)
        await shop.kill(victim)
    async with asyncio.timeout(SETTLE):
        for victim in victims:
            await shop.ready(victim)


@pytest.mark.parametrize(
    ("running", "victims"),
    [
        pytest.param("separate_shop", ["order", *(name for name in SERVICES if name != "order")], id="each"),
        pytest.param("one_process_shop", ["order"] * 3, id="the whole process"),
    ],
    indirect=["running"],
)
async def test_orders_survive_the_kill_of_every_service(shop, shopper, victims):
    product = await shopper.product()
    await shopper.deliver(product, ORDERS)
    cards = {number: await shopper.card(number) for number in (WORKS, DECLINES)}
    numbers = [DECLINES if n % EVERY_FIFTH == 0 else WORKS for n in range(ORDERS)]
    requests = [cart(product, cards[number]) for number in numbers]
    buying = Buying(shopper)

    async with asyncio.TaskGroup() as tasks:
        for request in requests:
            tasks.create_task(buying.buy(request))
        await _kill_in_turn(shop, buying, victims)
        await eventually(partial(buying.progress, 2 * ORDERS), expected=True, within=SETTLE)

    ends = Counter((number, buying.ends[request.request_id]) for number, request in zip(numbers, requests, strict=True))
    assert set(ends) <= {(WORKS, "COMPLETED"), (WORKS, "REJECTED"), (DECLINES, "REJECTED")}
    assert ends[WORKS, "COMPLETED"] > ORDERS // 2, ends
    made = await orders_of_customer(shop, next(iter(buying.placed.values())))
    assert set(made) == set(buying.placed.values())
    assert len(set(buying.placed.values())) == ORDERS
    assert await broken_invariants(shop) == []
