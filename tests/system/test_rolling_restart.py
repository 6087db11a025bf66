"""Each service is restarted in turn under steady load: callers who try again what is UNAVAILABLE see no failure.

A local shop has one process per service, so nobody listens between the end of the old one and the start of the new. What
a drain promises is that every refusal of that time is UNAVAILABLE: nothing is cut off midway, and so nothing is unknown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from meshmart.catalog.v1.catalog_service_pb2 import GetProductRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.identity.v1.identity_service_pb2 import GetJsonWebKeySetRequest
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.order.v1.order_service_pb2 import ListOrdersRequest
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub
from meshmart.payment.v1.payment_service_pb2 import ListPaymentMethodsRequest
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from scripts.local_run.ports import SERVICES
from tests.system.shopper import cart
from tests.system.state import broken_invariants, orders_of_customer
from tests.system.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

PACE = 0.05
"""Seconds between a caller's calls: the load is to be steady, not heavy."""
WHILE_NOBODY_LISTENS = {"SERVICE_UNAVAILABLE", "NEIGHBOUR_UNAVAILABLE", "DRAINING"}


async def _repeat(stop: asyncio.Event, call: Callable[[], Awaitable[object]]) -> int:
    """Make a call again and again; whatever it raises fails the test."""
    calls = 0
    while not stop.is_set():
        await call()
        calls += 1
        await asyncio.sleep(PACE)
    return calls


async def test_no_idempotent_call_fails_while_each_service_is_restarted(shop, shopper):
    product, card = await shopper.product(), await shopper.card()
    await shopper.deliver(product, 10_000)
    placed: list[str] = []

    async def place() -> None:
        placed.append((await shopper.place(cart(product, card))).id)

    channel = shopper.fronts.channel
    reads = [
        (CatalogServiceStub(channel).GetProduct, GetProductRequest(product_id=product.id)),
        (IdentityServiceStub(channel).GetJsonWebKeySet, GetJsonWebKeySetRequest()),
        (PaymentServiceStub(channel).ListPaymentMethods, ListPaymentMethodsRequest()),
        (OrderServiceStub(channel).ListOrders, ListOrdersRequest(page_size=1)),
    ]
    calls: list[Callable[[], Awaitable[object]]] = [place, partial(shopper.stock, product)]
    calls += [partial(shopper.call, method, request) for method, request in reads]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        loads = [tasks.create_task(_repeat(stop, call)) for call in calls]
        for name in SERVICES:
            await shop.restart(name)
        stop.set()

    assert all(load.result() > len(SERVICES) for load in loads)
    assert set(shopper.refused) <= WHILE_NOBODY_LISTENS, shopper.refused
    await eventually(partial(orders_of_customer, shop, placed[0]), dict.fromkeys(placed, "COMPLETED"))
    assert await broken_invariants(shop) == []
