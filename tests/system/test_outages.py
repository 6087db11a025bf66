"""A broker or a database that dies: what goes on meanwhile, what callers are told, and how all of it comes back."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from meshmart.analytics.v1.analytics_service_pb2 import Days, GetFunnelRequest
from meshmart.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from meshmart.catalog.v1.catalog_service_pb2 import ListProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.identity.v1.identity_service_pb2 import GetJsonWebKeySetRequest
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import GetStockRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.notification.v1.notification_service_pb2 import ListNotificationsRequest
from meshmart.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from meshmart.order.v1.order_pb2 import Order
from meshmart.order.v1.order_service_pb2 import ListOrdersRequest, PlaceOrderRequest
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub
from meshmart.payment.v1.payment_service_pb2 import ListPaymentMethodsRequest
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from scripts.local_run.ports import SERVICES, STATELESS
from scripts.local_run.supervisor import Shop
from tests.support.fronts import metadata, refusal_of
from tests.system.crowd import Crowd
from tests.system.shopper import Shopper, cart
from tests.system.state import broken_invariants, orders_of_customer, readiness
from tests.system.waiting import eventually

STATEFUL = [name for name in SERVICES if name not in STATELESS]
SOME_ID = str(uuid4())
READS: dict[str, tuple[Callable[[grpc.aio.Channel], Any], str, Any]] = {
    "identity": (IdentityServiceStub, "GetJsonWebKeySet", GetJsonWebKeySetRequest()),
    "catalog": (CatalogServiceStub, "ListProducts", ListProductsRequest()),
    "inventory": (InventoryServiceStub, "GetStock", GetStockRequest(product_id=SOME_ID)),
    "payment": (PaymentServiceStub, "ListPaymentMethods", ListPaymentMethodsRequest()),
    "order": (OrderServiceStub, "ListOrders", ListOrdersRequest()),
    "notification": (NotificationServiceStub, "ListNotifications", ListNotificationsRequest()),
    "analytics": (
        AnalyticsServiceStub,
        "GetFunnel",
        GetFunnelRequest(days=Days(first="2026-01-01", last="2026-01-31")),
    ),
}
"""One call per service that needs its database."""
FOR_STAFF = {"analytics"}
DEATHS = 3

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def _health(shop: Shop, service: str) -> str:
    """Return what a service's own port says of its health."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shop.ports.grpc(service)}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        answer = await stub.Check(health_pb2.HealthCheckRequest())
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_orders_are_confirmed_without_the_broker_and_completed_when_it_is_back(shop, shopper):
    product, card = await shopper.product(), await shopper.card()
    await shop.kill("nats", hold=True)
    await eventually(partial(readiness, shop, "order"), "degraded")

    orders = [await shopper.place(cart(product, card)) for _ in range(10)]
    for order in orders:
        await shopper.becomes(order.id, "CONFIRMED")
    assert {name: await _health(shop, name) for name in SERVICES} == dict.fromkeys(SERVICES, "SERVING")
    assert await readiness(shop, "order") == "degraded"

    await shop.restart("nats")
    for order in orders:
        await shopper.becomes(order.id, "COMPLETED")
    await eventually(partial(readiness, shop, "order"), "up")
    assert await broken_invariants(shop) == []


async def _place_through_a_broken_door(shopper: Shopper, request: PlaceOrderRequest) -> Order:
    """Place an order, and again whenever the connection breaks: nobody is there then who could say why."""
    async with asyncio.timeout(30):
        while True:
            try:
                return (await shopper.orders.PlaceOrder(request, metadata=metadata(shopper.token))).order
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)


async def test_what_is_asked_again_after_the_edge_died_is_done_once(shop, shopper):
    product, card = await shopper.product(), await shopper.card()
    requests = [cart(product, card) for _ in range(30)]
    restarts = shop.restarts("edge")
    async with asyncio.TaskGroup() as tasks:
        placing = [tasks.create_task(_place_through_a_broken_door(shopper, request)) for request in requests]
        await asyncio.wait(placing, return_when=asyncio.FIRST_COMPLETED)
        await shop.kill("edge")
        async with asyncio.timeout(30):
            await shop.ready("edge")

    placed = [task.result() for task in placing]
    for order in placed:
        await shopper.becomes(order.id, "COMPLETED")
    assert shop.restarts("edge") == restarts + 1
    assert set(await orders_of_customer(shop, placed[0].id)) == {order.id for order in placed}
    assert len({order.id for order in placed}) == len(requests)
    assert await broken_invariants(shop) == []


async def test_orders_go_on_while_the_broker_dies_again_and_again_and_every_event_arrives(shop, shopper, fronts):
    product, another = await shopper.product(), await Shopper(shop, fronts).enter()
    await shopper.deliver(product, 10_000)
    card, crowd = await another.card(), Crowd(shop, shopper, product)

    async with crowd.shopping():
        for _ in range(DEATHS):
            await _more_ended(crowd)
            await shop.kill("nats", hold=True)
            orders = [await another.place(cart(product, card)) for _ in range(5)]
            for order in orders:
                await another.becomes(order.id, "CONFIRMED")
            await shop.restart("nats")
            await shop.kill("nats")

    for order in orders:
        await another.becomes(order.id, "COMPLETED")
    assert set(shopper.refused) | set(another.refused) == set()
    await crowd.lost_nothing()


async def _more_ended(crowd: Crowd) -> None:
    """Wait until customers have been served since the last outage."""
    before = len(crowd.ends)

    async def ended() -> bool:
        return len(crowd.ends) >= before + 10

    await eventually(ended, expected=True)


async def test_what_was_answered_survives_a_database_that_dies_again_and_again(shop, shopper):
    product = await shopper.product()
    await shopper.deliver(product, 10_000)
    crowd = Crowd(shop, shopper, product)

    async with crowd.shopping():
        for _ in range(DEATHS):
            await _more_ended(crowd)
            await shop.kill("postgres", hold=True)
            await _refused_again(shopper)
            await shop.restart("postgres")

    assert set(shopper.refused) <= {"DATABASE_UNAVAILABLE", "NEIGHBOUR_UNAVAILABLE"}
    await crowd.lost_nothing()


async def _refused_again(shopper: Shopper) -> None:
    """Wait until a customer was told that there is no database."""
    before = shopper.refused.total()

    async def refused() -> bool:
        return shopper.refused.total() > before

    await eventually(refused, expected=True)


async def _read(shopper: Shopper, staff: Shopper, service: str) -> str:
    """Make a service's call and return how it was refused, or nothing."""
    stub, method, request = READS[service]
    token = (staff if service in FOR_STAFF else shopper).token
    try:
        await getattr(stub(shopper.fronts.channel), method)(request, metadata=metadata(token))
    except grpc.aio.AioRpcError as error:
        # A refusal that only a database can know of is an answer.
        return "" if error.code() is grpc.StatusCode.NOT_FOUND else f"{error.code().name} {refusal_of(error).reason}"
    return ""


async def _read_until(stop: asyncio.Event, read: Callable[[], Awaitable[str]]) -> Counter[str]:
    seen: Counter[str] = Counter()
    while not stop.is_set():
        seen[await read()] += 1
    return seen


async def test_a_lost_database_is_told_as_unavailable_and_comes_back_by_itself(shop, shopper):
    product, card = await shopper.product(), await shopper.card()
    under_way = await asyncio.gather(*(shopper.place(cart(product, card)) for _ in range(10)))
    staff, stop = await Shopper(shop, shopper.fronts).enter_as_staff(), asyncio.Event()
    reads = {name: partial(_read, shopper, staff, name) for name in STATEFUL}
    assert {name: await read() for name, read in reads.items()} == dict.fromkeys(STATEFUL, "")
    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(_read_until(stop, read)) for read in reads.values()]
        await shop.kill("postgres", hold=True)
        assert {name: await _health(shop, name) for name in STATEFUL} == dict.fromkeys(STATEFUL, "SERVING")
        for name in STATEFUL:
            await eventually(partial(_health, shop, name), "NOT_SERVING")
        assert await readiness(shop, "order") == "down"
        await shop.restart("postgres")
        for name in STATEFUL:
            await eventually(partial(_health, shop, name), "SERVING")
            await eventually(reads[name], "")
        stop.set()

    seen = {name: sorted(task.result()) for name, task in zip(reads, reading, strict=True)}
    assert seen == {name: ["", "UNAVAILABLE DATABASE_UNAVAILABLE"] for name in STATEFUL}
    await eventually(partial(_all_ended, shop, under_way[0].id), expected=True)
    assert await broken_invariants(shop) == []


async def _all_ended(shop: Shop, order_id: str) -> bool:
    """Return whether all orders of a customer have ended. A step that timed out meanwhile has them rejected."""
    return set((await orders_of_customer(shop, order_id)).values()) <= {"COMPLETED", "REJECTED"}
