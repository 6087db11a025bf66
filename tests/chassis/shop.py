"""Services on the shop's contracts whose methods do what a test tells them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from meshmart.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from meshmart.catalog.v1.product_pb2 import Product
from meshmart.common.v1.money_pb2 import Money
from meshmart.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from meshmart.order.v1 import order_service_pb2, order_service_pb2_grpc

from services.chassis.call import Call, current_call
from services.chassis.host import Host
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ProcessSettings, StatelessSettings
from tests.support.tokens import FakeIdentity

ID = "0198c0de-0000-7000-8000-000000000000"
GET = order_service_pb2.GetOrderRequest(order_id=ID)
WATCH = order_service_pb2.WatchOrderRequest(order_id=ID)
QUOTE = order_service_pb2.QuoteOrderRequest(lines=[order_service_pb2.CartLine(product_id=ID, quantity=1)])
PRICE = Money(currency_code="EUR", minor_units=250)
PRODUCT = Product(sku="TEA-1", display_name="Tea", category="tea", price=PRICE)
IMPORT = catalog_service_pb2.ImportProductsRequest(product=PRODUCT)

Act = Callable[[], Awaitable[object]]


def served_call() -> Call:
    """Return the call being served, inside an `act`."""
    call = current_call()
    assert call is not None
    return call


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells of."""
    while not condition():  # noqa: ASYNC110  # see above
        await asyncio.sleep(0.001)


async def succeed() -> None:
    """Do nothing."""


def failing(error: BaseException) -> Act:
    """Return what raises an error."""

    async def fail() -> None:
        raise error

    return fail


class Orders(order_service_pb2_grpc.OrderServiceServicer):
    """Runs `act` in each method."""

    act: Act = staticmethod(succeed)
    messages = 2

    async def GetOrder(self, request, context):
        await self.act()
        return order_service_pb2.GetOrderResponse()

    async def QuoteOrder(self, request, context):
        await self.act()
        return order_service_pb2.QuoteOrderResponse()

    async def WatchOrder(self, request, context):
        for number in range(1, self.messages + 1):
            yield order_service_pb2.WatchOrderResponse(version=number)
        await self.act()


class Products(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Runs `act` after the last message of an import."""

    act: Act = staticmethod(succeed)

    async def ImportProducts(self, requests, context):
        count = len([request async for request in requests])
        await self.act()
        return catalog_service_pb2.ImportProductsResponse(created_count=count)

    async def BatchGetProducts(self, request, context):
        await self.act()
        return catalog_service_pb2.BatchGetProductsResponse()


@dataclass
class Shop:
    """Services that a test serves, and what it needs to call them."""

    host: Host
    identity: FakeIdentity
    channel: grpc.aio.Channel
    orders: Orders
    products: Products
    runtimes: dict[str, Runtime]
    drain: Callable[[], Coroutine[Any, Any, None]]
    """Does what leaving the context would; a second time it does nothing."""

    @property
    def order(self):
        """A plain stub, as grpcurl would be: nothing goes with its calls but what a test gives them."""
        return order_service_pb2_grpc.OrderServiceStub(self.channel)

    @property
    def catalog(self):
        return catalog_service_pb2_grpc.CatalogServiceStub(self.channel)

    @property
    def customer(self) -> tuple[tuple[str, str], ...]:
        """Metadata of a customer's call."""
        return self.identity.headers()

    @property
    def staff(self) -> tuple[tuple[str, str], ...]:
        return self.identity.headers(role="staff")


@asynccontextmanager
async def shop(
    *names: str,
    tasks: tuple[Task, ...] = (),
    addresses: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    **process: Any,
) -> AsyncIterator[Shop]:
    """Serve identity, order and catalog, or those that are named, in one process without databases."""
    identity, orders, products = FakeIdentity(), Orders(), Products()
    runtimes: dict[str, Runtime] = {}
    servicers = {
        "identity": Servicer(add_IdentityServiceServicer_to_server, identity),
        "order": Servicer(order_service_pb2_grpc.add_OrderServiceServicer_to_server, orders),
        "catalog": Servicer(catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server, products),
    }

    def declare(name: str) -> Service:
        def build(runtime: Runtime) -> Components:
            runtimes[name] = runtime
            return Components(servicers=(servicers[name],), tasks=tasks if name == "order" else ())

        neighbours = ("catalog",) if name == "order" else ()
        return Service(name, 0, StatelessSettings, build, neighbours, has_database=False)

    chosen = [declare(name) for name in names or servicers]
    own = {service.name: StatelessSettings(**(settings or {})) for service in chosen}
    listen = {"grpc_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", "addresses": addresses or {}}
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(Host(chosen, ProcessSettings(**{**listen, **process}), own))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{host.grpc_port}") as channel:
            yield Shop(host, identity, channel, orders, products, runtimes, drain=stack.aclose)
