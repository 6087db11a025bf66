"""A customer at the edge who tries again what is unavailable for a moment, as the contract allows."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self
from uuid import uuid4

import grpc
from meshmart.catalog.v1.catalog_service_pb2 import SearchProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.catalog.v1.product_pb2 import Product
from meshmart.common.v1.money_pb2 import Money
from meshmart.identity.v1.identity_service_pb2 import CreateSessionRequest, RegisterCustomerRequest
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import GetStockRequest, RestockProductRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.inventory.v1.stock_pb2 import Stock
from meshmart.order.v1.order_pb2 import Order
from meshmart.order.v1.order_service_pb2 import (
    CancelOrderRequest,
    CartLine,
    GetOrderRequest,
    PlaceOrderRequest,
    WatchOrderRequest,
)
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub
from meshmart.payment.v1.payment_pb2 import Payment
from meshmart.payment.v1.payment_service_pb2 import CreatePaymentMethodRequest, GetPaymentRequest
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.supervisor import Shop
from tests.support.fronts import Fronts, metadata, refusal_of
from tests.system.waiting import eventually

WORKS, DECLINES, UNCAPTURABLE = "4242424242424242", "4000000000000002", "4000000000000341"
PRODUCTS = "teapot"
TRY_AGAIN = 0.1
"""Seconds before the second try; each one after waits twice as long."""
LONGEST_WAIT = 0.8
TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,  # the outcome is unknown; a repeat of the same request finds out
}


class Shopper:
    """A signed-in customer."""

    def __init__(self, shop: Shop, fronts: Fronts) -> None:
        """Sign nobody in yet."""
        self.fronts = fronts
        self._staff_password = shop.secrets.staff_password
        self.password = uuid4().hex
        self.token = ""
        self.refused: Counter[str] = Counter()
        """How often a call was refused, by reason, before it was answered."""
        self.orders: Any = OrderServiceStub(fronts.channel)

    async def enter(self) -> Self:
        """Register and sign in."""
        identity, email = IdentityServiceStub(self.fronts.channel), f"{uuid4().hex}@example.com"
        registration = RegisterCustomerRequest(
            request_id=str(uuid4()), email=email, password=self.password, display_name="Shopper"
        )
        await self.call(identity.RegisterCustomer, registration)
        self.token = await self.session(email, self.password)
        return self

    async def enter_as_staff(self) -> Self:
        """Sign in as the one who keeps the shop."""
        self.token = await self.session(STAFF_EMAIL, self._staff_password)
        return self

    async def session(self, email: str, password: str) -> str:
        """Return an access token."""
        request = CreateSessionRequest(email=email, password=password)
        return (await self.call(IdentityServiceStub(self.fronts.channel).CreateSession, request)).session.access_token

    async def call(
        self, method: Callable[..., Awaitable[Any]], request: Any, within: float = 20.0, token: str = ""
    ) -> Any:
        """Make a call, and the same again while the shop says that it cannot be served at present."""
        async with asyncio.timeout(within):
            for attempt in itertools.count():
                try:
                    return await method(request, metadata=metadata(token or self.token))
                except grpc.aio.AioRpcError as error:
                    if error.code() not in TRANSIENT:
                        raise
                    self.refused[_reason(error)] += 1
                await asyncio.sleep(min(LONGEST_WAIT, TRY_AGAIN * 2**attempt))
        raise AssertionError("nobody counts that far")

    async def product(self) -> Product:
        """Return a product that nearly never runs out."""
        search = SearchProductsRequest(query=PRODUCTS, page_size=1)
        (product,) = (await self.call(CatalogServiceStub(self.fronts.channel).SearchProducts, search)).products
        return product

    async def deliver(self, product: Product, quantity: int) -> None:
        """Have staff restock a product."""
        request = RestockProductRequest(request_id=str(uuid4()), product_id=product.id, quantity=quantity)
        token = await self.session(STAFF_EMAIL, self._staff_password)
        await self.call(InventoryServiceStub(self.fronts.channel).RestockProduct, request, token=token)

    async def stock(self, product: Product) -> Stock:
        """Return the stock of a product."""
        request = GetStockRequest(product_id=product.id)
        return (await self.call(InventoryServiceStub(self.fronts.channel).GetStock, request)).stock

    async def card(self, number: str = WORKS) -> str:
        """Turn a card into a payment method and return its id."""
        card = CreatePaymentMethodRequest.Card(number=number, expire_month=12, expire_year=2099, security_code="737")
        request = CreatePaymentMethodRequest(request_id=str(uuid4()), card=card)
        return (await self.call(PaymentServiceStub(self.fronts.channel).CreatePaymentMethod, request)).payment_method.id

    async def payment(self, order_id: str) -> str:
        """Return the state of an order's payment; NONE where none was ever authorized."""
        request = GetPaymentRequest(order_id=order_id)
        try:
            payment = (await self.call(PaymentServiceStub(self.fronts.channel).GetPayment, request)).payment
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return "NONE"
        return Payment.State.Name(payment.state).removeprefix("STATE_")

    async def place(self, request: PlaceOrderRequest) -> Order:
        """Place an order."""
        return (await self.call(self.orders.PlaceOrder, request)).order

    async def order(self, order_id: str) -> Order:
        """Return an order as it is now."""
        return (await self.call(self.orders.GetOrder, GetOrderRequest(order_id=order_id))).order

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order."""
        request = CancelOrderRequest(request_id=str(uuid4()), order_id=order_id)
        return (await self.call(self.orders.CancelOrder, request)).order

    async def becomes(self, order_id: str, state: str, within: float = 30.0) -> Order:
        """Return an order once it is in a state."""

        async def look() -> str:
            return state_of(await self.order(order_id))

        await eventually(look, state, within)
        return await self.order(order_id)

    async def watch_to_the_end(self, order_id: str) -> str:
        """Return the last state that the stream of an order shows; resume whenever it breaks."""
        token = ""
        while True:
            request = WatchOrderRequest(order_id=order_id, resume_token=token)
            try:
                async for message in self.orders.WatchOrder(request, metadata=metadata(self.token)):
                    token = message.resume_token
                    if message.end_reason == message.END_REASON_LAST_STATE:
                        return name_of(message.state)
            except grpc.aio.AioRpcError as error:
                if error.code() not in TRANSIENT and not _broke(error):
                    raise
                await asyncio.sleep(TRY_AGAIN)


def _broke(error: grpc.aio.AioRpcError) -> bool:
    """Return whether a stream ended without a word of the service: Envoy resets it, and gRPC calls that INTERNAL."""
    return error.code() is grpc.StatusCode.INTERNAL and "RST_STREAM" in str(error.details())


def cart(product: Product, method_id: str) -> PlaceOrderRequest:
    """Return the request that orders one unit of a product."""
    return PlaceOrderRequest(
        request_id=str(uuid4()),
        lines=[CartLine(product_id=product.id, quantity=1)],
        payment_method_id=method_id,
        expected_total=Money(currency_code=product.price.currency_code, minor_units=product.price.minor_units),
    )


def name_of(state: Order.State.ValueType) -> str:
    """Return the name of an order's state."""
    return Order.State.Name(state).removeprefix("STATE_")


def state_of(order: Order) -> str:
    """Return the name of the state an order is in."""
    return name_of(order.state)


def _reason(error: grpc.aio.AioRpcError) -> str:
    """Return why a call was refused. Where a process is too busy to answer in time, gRPC itself says so, without details."""
    if (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"):
        return "DEADLINE_EXCEEDED"
    return refusal_of(error).reason
