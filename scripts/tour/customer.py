"""What a customer does at the edge, over REST and over gRPC."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import grpc
from meshmart.common.v1.money_pb2 import Money
from meshmart.order.v1 import order_pb2, order_service_pb2
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub

WORKS, DECLINES = "4242424242424242", "4000000000000002"
TIMEOUT = 10.0
"""Seconds that a call of the tour may take."""


class TourError(Exception):
    """Something did not happen as it should."""


def require(condition: object, what: str) -> None:
    """Raise TourError unless something holds."""
    if not condition:
        raise TourError(what)


@dataclass
class Customer:
    """A customer of the shop at an address, signed in once `sign_in` was called."""

    http: aiohttp.ClientSession
    channel: grpc.aio.Channel
    email: str = field(default_factory=lambda: f"guest-{uuid4().hex[:12]}@example.com")
    password: str = field(default_factory=lambda: uuid4().hex, repr=False)
    token: str = field(default="", repr=False)

    async def rest(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Make a REST call and return its JSON. Raises TourError with the reason of a refusal."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        sent, query = (body, None) if method == "POST" else (None, body)
        async with self.http.request(method, path, headers=headers, json=sent, params=query) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            require(response.ok, f"{method} {path} answered {response.status}: {answer}")
            return answer

    async def sign_in(self) -> None:
        """Register and sign in."""
        person = {"email": self.email, "password": self.password}
        await self.rest("POST", "/v1/customers", requestId=str(uuid4()), displayName="Guest", **person)
        await self.open_session()

    async def open_session(self) -> None:
        """Sign in as somebody who is known."""
        session = await self.rest("POST", "/v1/sessions", email=self.email, password=self.password)
        self.token = session["session"]["accessToken"]

    async def orders(self) -> list[dict[str, Any]]:
        """Return this customer's newest orders."""
        listed: list[dict[str, Any]] = (await self.rest("GET", "/v1/orders", pageSize=100))["orders"]
        return listed

    async def told_of(self, order_id: str) -> list[str]:
        """Return what this customer was notified of about an order, or is to be."""
        told = await self.rest("GET", "/v1/notifications", pageSize=100)
        return [each["kind"].removeprefix("KIND_") for each in told["notifications"] if each.get("orderId") == order_id]

    async def product(self, query: str) -> dict[str, Any]:
        """Return the best match for a query."""
        found = await self.rest("GET", "/v1/products:search", query=query, pageSize=1)
        require(found.get("products"), f"nothing found for {query!r}")
        product: dict[str, Any] = found["products"][0]
        return product

    async def payment_method(self, number: str) -> str:
        """Turn a card into a payment method and return its id."""
        card = {"number": number, "expireMonth": 12, "expireYear": 2099, "securityCode": "123"}
        made = await self.rest("POST", "/v1/paymentMethods", requestId=str(uuid4()), card=card)
        method_id: str = made["paymentMethod"]["id"]
        return method_id

    async def available(self, product: dict[str, Any]) -> int:
        """Return how many units of a product can be bought."""
        return int((await self.rest("GET", f"/v1/stock/{product['id']}"))["stock"].get("available", 0))

    async def place(self, product: dict[str, Any], method_id: str, request_id: str = "") -> dict[str, Any]:
        """Order one unit over REST and return the order as it was placed."""
        placed = await self.rest(
            "POST",
            "/v1/orders",
            requestId=request_id or str(uuid4()),
            lines=[{"productId": product["id"], "quantity": 1}],
            paymentMethodId=method_id,
            expectedTotal=product["price"],
        )
        order: dict[str, Any] = placed["order"]
        return order

    async def decided(self, order_id: str, wait: str = "5s") -> dict[str, Any]:
        """Return an order once it is decided, or as it is after a while."""
        order: dict[str, Any] = (await self.rest("GET", f"/v1/orders/{order_id}", wait=wait))["order"]
        return order

    async def place_by_grpc(self, product: dict[str, Any], method_id: str) -> order_pb2.Order:
        """Order one unit over gRPC and return the order as it was placed."""
        price = product["price"]
        request = order_service_pb2.PlaceOrderRequest(
            request_id=str(uuid4()),
            lines=[order_service_pb2.CartLine(product_id=product["id"], quantity=1)],
            payment_method_id=method_id,
            expected_total=Money(currency_code=price["currencyCode"], minor_units=int(price["minorUnits"])),
        )
        stub = OrderServiceStub(self.channel)
        return (await stub.PlaceOrder(request, metadata=self._metadata(), timeout=TIMEOUT)).order

    async def watch_by_grpc(self, order_id: str) -> AsyncIterator[str]:
        """Yield each state of an order until its last."""
        request = order_service_pb2.WatchOrderRequest(order_id=order_id)
        async for message in OrderServiceStub(self.channel).WatchOrder(
            request, metadata=self._metadata(), timeout=TIMEOUT
        ):
            yield order_pb2.Order.State.Name(message.state).removeprefix("STATE_")

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)
