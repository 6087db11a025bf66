"""Customers who buy straight from the services, so that nothing but the services is measured."""

import asyncio
import itertools
import random
from dataclasses import dataclass
from typing import LiteralString
from uuid import uuid4

import grpc
import psycopg
from meshmart.catalog.v1.catalog_service_pb2 import ListProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.catalog.v1.product_pb2 import Product
from meshmart.common.v1.money_pb2 import Money
from meshmart.identity.v1.identity_service_pb2 import CreateSessionRequest, RegisterCustomerRequest
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import RestockProductRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.order.v1.order_service_pb2 import CartLine, PlaceOrderRequest
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub
from meshmart.payment.v1.payment_service_pb2 import CreatePaymentMethodRequest
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.supervisor import Shop

IN_FLIGHT = 16
LINES = 3
TIMEOUT = 30.0
DELIVERY = 1_000_000

# What must be true before an order counts as done: every event written was published, every effect is there.
UNDONE: dict[str, LiteralString] = {
    "order": "SELECT count(*) FROM orders WHERE state IN ('PENDING', 'CONFIRMED')",
    "inventory": "SELECT count(*) FROM reservation WHERE state = 'HELD'",
    "payment": "SELECT count(*) FROM payment WHERE state IN ('AUTHORIZED', 'CAPTURING')",
    "notification": "SELECT %(bought)s - count(*) FROM notification WHERE kind = 'ORDER_CONFIRMED' AND state = 'SENT'",
    "analytics": "SELECT %(bought)s - count(*) FROM inbox WHERE consumer = 'analytics_PaymentCaptured'",
}
UNPUBLISHED: LiteralString = "SELECT count(*) FROM outbox WHERE publish_time IS NULL"

Metadata = tuple[tuple[str, str], ...]


@dataclass
class Buyer:
    """A signed-in customer with a card that works, and products that never run out."""

    shop: Shop
    order: grpc.aio.Channel
    metadata: Metadata
    method_id: str
    products: list[Product]
    bought: int = 0

    def __post_init__(self) -> None:
        """Make the stub of all calls."""
        self._stub = OrderServiceStub(self.order)

    async def buy(self, count: int) -> None:
        """Place orders of three lines, sixteen at a time, and return when the last event is handled."""
        turns = itertools.repeat(None, count)
        await asyncio.gather(*(self._buy_in_turn(turns) for _ in range(IN_FLIGHT)))
        await self.settled()

    async def place(self) -> None:
        """Place an order."""
        await self._stub.PlaceOrder(self._cart(), metadata=self.metadata, timeout=TIMEOUT)
        self.bought += 1

    async def _buy_in_turn(self, turns: "itertools.repeat[None]") -> None:
        for _ in turns:
            await self.place()

    def _cart(self) -> PlaceOrderRequest:
        chosen = random.sample(self.products, LINES)
        total = Money(currency_code="EUR", minor_units=sum(product.price.minor_units for product in chosen))
        return PlaceOrderRequest(
            request_id=str(uuid4()),
            lines=[CartLine(product_id=product.id, quantity=1) for product in chosen],
            payment_method_id=self.method_id,
            expected_total=total,
        )

    async def settled(self) -> None:
        """Return when no order is on its way, no event unpublished, and the customer told and the figures right."""
        async with asyncio.timeout(TIMEOUT):
            while await asyncio.to_thread(self._undone):  # noqa: ASYNC110  # other processes set no event here
                await asyncio.sleep(0.02)

    def _undone(self) -> int:
        return sum(self._count(service, statement) for service, statement in UNDONE.items())

    def _count(self, service: str, undone: LiteralString) -> int:
        with psycopg.connect(self.shop.database_url(service)) as connection:
            row = connection.execute(f"SELECT ({undone}) + ({UNPUBLISHED})", {"bought": self.bought}).fetchone()
        return int(row[0]) if row else 0


async def buyer(shop: Shop) -> Buyer:
    """Sign a customer up, and deliver so much that no product runs out."""
    channels = {
        name: grpc.aio.insecure_channel(f"127.0.0.1:{shop.ports.grpc(name)}")
        for name in ("identity", "catalog", "inventory", "payment", "order")
    }
    staff = await _signed_in(channels["identity"], STAFF_EMAIL, shop.secrets.staff_password)
    email = f"{uuid4().hex}@example.com"
    await IdentityServiceStub(channels["identity"]).RegisterCustomer(
        RegisterCustomerRequest(request_id=str(uuid4()), email=email, password=email, display_name="Buyer")
    )
    metadata = await _signed_in(channels["identity"], email, email)
    listed = await CatalogServiceStub(channels["catalog"]).ListProducts(ListProductsRequest(page_size=100))
    inventory = InventoryServiceStub(channels["inventory"])
    for product in listed.products:
        delivery = RestockProductRequest(request_id=str(uuid4()), product_id=product.id, quantity=DELIVERY)
        await inventory.RestockProduct(delivery, metadata=staff)
    card = CreatePaymentMethodRequest.Card(
        number="4242424242424242", expire_month=12, expire_year=2099, security_code="123"
    )
    method = await PaymentServiceStub(channels["payment"]).CreatePaymentMethod(
        CreatePaymentMethodRequest(request_id=str(uuid4()), card=card), metadata=metadata
    )
    return Buyer(shop, channels["order"], metadata, method.payment_method.id, list(listed.products))


async def _signed_in(identity: grpc.aio.Channel, email: str, password: str) -> Metadata:
    request = CreateSessionRequest(email=email, password=password)
    session = (await IdentityServiceStub(identity).CreateSession(request)).session
    return (("authorization", f"Bearer {session.access_token}"),)
