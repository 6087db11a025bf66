"""Order, served on a database of its own, with hand-written neighbours."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest
from meshmart.catalog.v1 import catalog_service_pb2, product_pb2
from meshmart.catalog.v1.catalog_service_pb2_grpc import (
    CatalogServiceServicer,
    add_CatalogServiceServicer_to_server,
)
from meshmart.common.v1.money_pb2 import Money
from meshmart.inventory.v1 import inventory_service_pb2
from meshmart.inventory.v1.inventory_service_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from meshmart.order.v1 import order_pb2
from meshmart.order.v1 import order_service_pb2 as pb
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub
from meshmart.payment.v1 import payment_service_pb2
from meshmart.payment.v1.payment_service_pb2_grpc import (
    PaymentServiceServicer,
    add_PaymentServiceServicer_to_server,
)

from services.chassis.errors import DomainError, Kind
from services.chassis.ids import new_id
from services.chassis.service import Servicer
from services.chassis.status import refusal_of
from services.order.service import SERVICE
from tests.support.serving import Served

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.order.v1.order_service_pb2_grpc import OrderServiceAsyncStub

TEA, MUG, DOLLARS = (str(UUID(int=n)) for n in (1, 2, 3))
PRICES = {TEA: Money(currency_code="EUR", minor_units=450), MUG: Money(currency_code="EUR", minor_units=1200),
          DOLLARS: Money(currency_code="USD", minor_units=100)}  # fmt: skip
Line = pb.CartLine


class FakeNeighbours(CatalogServiceServicer, InventoryServiceServicer, PaymentServiceServicer):
    """Catalog, inventory and payment in one: they write down what they are asked, and fail as they are told."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.failures: dict[str, list[tuple[grpc.StatusCode, str]]] = defaultdict(list)
        self.gates: dict[str, asyncio.Event] = {}
        self.reached: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def _answer(self, step: str, context: grpc.aio.ServicerContext) -> None:
        self.seen.append(step)
        self.reached[step].set()
        if step in self.gates:
            await self.gates[step].wait()
        if self.failures[step]:
            code, reason = self.failures[step].pop(0)
            await _refuse(context, code, reason)

    async def BatchGetProducts(self, request, context):
        unknown = next((product_id for product_id in request.product_ids if product_id not in PRICES), None)
        if unknown:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND", product_id=unknown)
        products = [product_pb2.Product(id=i, display_name="A thing", price=PRICES[i]) for i in request.product_ids]
        return catalog_service_pb2.BatchGetProductsResponse(products=products)

    async def ReserveStock(self, request, context):
        await self._answer("reserve", context)
        return inventory_service_pb2.ReserveStockResponse()

    async def ReleaseStock(self, request, context):
        await self._answer("release", context)
        return inventory_service_pb2.ReleaseStockResponse()

    async def AuthorizePayment(self, request, context):
        await self._answer("authorize", context)
        return payment_service_pb2.AuthorizePaymentResponse()

    async def VoidPayment(self, request, context):
        await self._answer("void", context)
        return payment_service_pb2.VoidPaymentResponse()


async def _refuse(context, code: grpc.StatusCode, reason: str, **metadata: str) -> None:
    kind = type(reason, (DomainError,), {"kind": Kind[code.name], "reason": reason})
    await context.abort(code, reason, refusal_of(kind(reason, metadata=metadata)).trailers)


@dataclass
class Shop:
    """A served order service, and what a customer does with it."""

    served: Served
    stub: "OrderServiceAsyncStub"
    neighbours: FakeNeighbours
    customer_id: UUID = field(default_factory=new_id)

    def headers(self, customer_id: UUID | None = None):
        return self.served.identity.headers(customer_id or self.customer_id)

    def cart(self, **changes) -> pb.PlaceOrderRequest:
        fields = {
            "request_id": str(new_id()),
            "lines": [Line(product_id=TEA, quantity=2), Line(product_id=MUG, quantity=1)],
            "payment_method_id": str(new_id()),
            "expected_total": Money(currency_code="EUR", minor_units=2100),
            **changes,
        }
        return pb.PlaceOrderRequest(**fields)

    async def place(self, request: pb.PlaceOrderRequest | None = None) -> order_pb2.Order:
        response = await self.stub.PlaceOrder(request or self.cart(), metadata=self.headers())
        return response.order

    async def get(self, order_id: str, wait: int = 0) -> order_pb2.Order:
        request = pb.GetOrderRequest(order_id=order_id)
        request.wait.seconds = wait
        return (await self.stub.GetOrder(request, metadata=self.headers())).order

    async def cancel(self, order_id: str, request_id: str = "") -> order_pb2.Order:
        request = pb.CancelOrderRequest(request_id=request_id or str(new_id()), order_id=order_id)
        return (await self.stub.CancelOrder(request, metadata=self.headers())).order

    async def sagas(self) -> int:
        row = await self.served.database.one("SELECT count(*) FROM saga")
        return row[0] if row else 0


OpenShop = Callable[..., Awaitable[Shop]]


@pytest.fixture
def open_shop(serve) -> OpenShop:
    """Return a function that serves orders; `url` lets a second process serve the same database."""

    async def open_shop(neighbours: FakeNeighbours | None = None, *, url: str = "", **settings) -> Shop:
        fake = neighbours or FakeNeighbours()
        fakes = {
            "catalog": Servicer(add_CatalogServiceServicer_to_server, fake),
            "inventory": Servicer(add_InventoryServiceServicer_to_server, fake),
            "payment": Servicer(add_PaymentServiceServicer_to_server, fake),
        }
        served = await serve(SERVICE, neighbours=fakes, url=url, **settings)
        return Shop(served, served.stub(OrderServiceStub), fake)

    return open_shop


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    return await open_shop()
