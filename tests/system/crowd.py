"""Many customers' worth of orders at once, of every kind, for as long as a test wants."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

import grpc
from meshmart.catalog.v1.product_pb2 import Product
from meshmart.identity.v1.identity_service_pb2 import RegisterCustomerRequest
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import RestockProductRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.order.v1.order_service_pb2 import CancelOrderRequest

from scripts.local_run.supervisor import Shop
from tests.system.shopper import DECLINES, UNCAPTURABLE, WORKS, Shopper, cart
from tests.system.state import broken_invariants, orders_of_customer
from tests.system.trail import every_event_arrives
from tests.system.waiting import eventually

SETTLE = 30.0
"""Seconds within which every order must have ended, once nobody places more."""
BREATH = 0.2
"""Seconds between two deliveries, or two registrations."""
PATIENCE = 60.0
"""Seconds for which a call is made again."""


class Visit(NamedTuple):
    """What one customer does."""

    card: str
    cancels: str = ""
    """When the order is cancelled: at once, or once it has ended."""
    ends: frozenset[str] = frozenset({"COMPLETED", "REJECTED"})
    """States in which the order may end. One whose step timed out is rejected, whatever its card."""


CANCELLED = frozenset({"CLOSED", "REJECTED"})
VISITS = {
    "buys": Visit(WORKS),
    "is declined": Visit(DECLINES, ends=frozenset({"REJECTED"})),
    "cancels at once": Visit(WORKS, "at once", CANCELLED),
    "buys again": Visit(WORKS),
    "cannot be captured": Visit(UNCAPTURABLE, ends=CANCELLED),
    "cancels in the end": Visit(WORKS, "in the end", CANCELLED),
}


class Crowd:
    """Customers who come back until they are told to stop. All use one account."""

    def __init__(self, shop: Shop, shopper: Shopper, product: Product) -> None:
        """Say where they are, who they are and what they buy."""
        self._shop, self._shopper, self._product = shop, shopper, product
        self._visits = itertools.cycle(VISITS)
        self._stop = asyncio.Event()
        self.on_their_way: set[str] = set()
        """Orders that were placed and have not ended."""
        self.ends: dict[str, str] = {}
        """Last state that was seen, by order."""
        self.unexpected: list[str] = []
        """Orders that ended as they must not."""
        self.seen: Counter[tuple[str, str]] = Counter()
        """How visits ended."""

    @asynccontextmanager
    async def shopping(self, customers: int = 24) -> AsyncIterator[None]:
        """Have customers come; leaving has them go home and waits until each of their orders has ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._come(customers))
            yield
            self._stop.set()
            await eventually(self._left, set(), SETTLE)

    async def _left(self) -> set[str]:
        return self.on_their_way

    async def _come(self, customers: int) -> None:
        """Buy until told to stop, and watch every order to its end; meanwhile others register, and staff restocks."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(customers):
                tasks.create_task(self._come_back())
            tasks.create_task(self._register())
            tasks.create_task(self._deliver())

    async def lost_nothing(self) -> None:
        """Fail unless every order was made once and ended as it must, and each event is where it belongs."""
        assert self.unexpected == []
        assert await orders_of_customer(self._shop, next(iter(self.ends))) == self.ends
        assert await broken_invariants(self._shop) == []
        await every_event_arrives(self._shop)

    async def _come_back(self) -> None:
        while not self._stop.is_set():
            name = next(self._visits)
            order_id, end = await self._visit(VISITS[name])
            self.on_their_way.remove(order_id)
            self.ends[order_id] = end
            self.seen[name, end] += 1
            if end not in VISITS[name].ends:
                self.unexpected.append(f"{order_id} {name} and is {end}")

    async def _visit(self, visit: Visit) -> tuple[str, str]:
        shopper = self._shopper
        request = cart(self._product, await shopper.card(visit.card))
        order = (await shopper.call(shopper.orders.PlaceOrder, request, PATIENCE)).order
        self.on_their_way.add(order.id)
        if visit.cancels == "at once":
            await self._cancel(order.id)
        end = await shopper.watch_to_the_end(order.id)
        if visit.cancels == "in the end" and end == "COMPLETED" and await self._cancel(order.id):
            end = await shopper.watch_to_the_end(order.id)
        return order.id, end

    async def _cancel(self, order_id: str) -> bool:
        """Cancel an order; return whether it still could be."""
        request = CancelOrderRequest(request_id=str(uuid4()), order_id=order_id)
        try:
            await self._shopper.call(self._shopper.orders.CancelOrder, request, PATIENCE)
        except grpc.aio.AioRpcError as refused:
            if refused.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return False
        return True

    async def _register(self) -> None:
        """Have new customers, one after the other."""
        identity = IdentityServiceStub(self._shopper.fronts.channel)
        while not self._stop.is_set():
            registration = RegisterCustomerRequest(
                request_id=str(uuid4()),
                email=f"{uuid4().hex}@example.com",
                password=uuid4().hex,
                display_name="One of many",
            )
            await self._shopper.call(identity.RegisterCustomer, registration, PATIENCE)
            await asyncio.sleep(BREATH)

    async def _deliver(self) -> None:
        """Have staff restock the product, one unit at a time."""
        inventory = InventoryServiceStub(self._shopper.fronts.channel)
        staff = await Shopper(self._shop, self._shopper.fronts).enter_as_staff()
        while not self._stop.is_set():
            delivery = RestockProductRequest(request_id=str(uuid4()), product_id=self._product.id, quantity=1)
            await staff.call(inventory.RestockProduct, delivery, PATIENCE)
            await asyncio.sleep(BREATH)
