"""Customers: they place orders until they are answered, and some cancel, at any moment."""

import asyncio
from random import Random
from typing import Any, Final
from uuid import UUID

import grpc
from meshmart.common.v1.money_pb2 import Money
from meshmart.order.v1 import order_service_pb2 as pb

from services.chassis.call import Principal
from services.chassis.ids import new_id
from tests.simulation.network import Network
from tests.simulation.plan import Wish
from tests.simulation.trace import Trace

PRICE: Final = 450
PLACE, CANCEL = "/meshmart.order.v1.OrderService/PlaceOrder", "/meshmart.order.v1.OrderService/CancelOrder"
_REFUSED = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


class Customer:
    """One customer, with one order."""

    def __init__(
        self, number: int, wish: Wish, products: list[UUID], network: Network, random: Random, trace: Trace
    ) -> None:
        """Say what they want."""
        self.id, self.method_id = new_id(), new_id()
        self.name = f"customer {number}"
        self.wish = wish
        self.done = False
        self.order_id: UUID | None = None
        self.told: set[str] = set()
        """What they were answered: `placed`, `not placed`, `cancelled`, `not cancelled`."""
        self._number, self._products, self._network, self._random, self._trace = (
            number,
            products,
            network,
            random,
            trace,
        )

    async def live(self) -> None:
        """Order, and maybe cancel."""
        await asyncio.sleep(self.wish.at)
        started = asyncio.get_running_loop().time()
        order = await self._place()
        if order is not None and self.wish.cancel_after is not None:
            await asyncio.sleep(started + self.wish.cancel_after - asyncio.get_running_loop().time())
            await self._cancel(order)
        self.done = True

    async def _place(self) -> str | None:
        units = [pair for pair in zip(self._products, self.wish.units, strict=True) if pair[1]]
        request = pb.PlaceOrderRequest(
            request_id=str(new_id()),
            lines=[pb.CartLine(product_id=str(product), quantity=count) for product, count in units],
            payment_method_id=str(self.method_id),
            expected_total=Money(currency_code="EUR", minor_units=PRICE * sum(count for _, count in units)),
        )
        answer = await self._insist(PLACE, request)
        self.told.add("not placed" if answer is None else "placed")
        if answer is None:
            return None
        order_id = pb.PlaceOrderResponse.FromString(answer).order.id
        self.order_id = UUID(order_id)
        self._trace.names[order_id] = f"order {self._number}"
        self._trace.say(self.name, "has placed {}", order_id)
        return order_id

    async def _cancel(self, order_id: str) -> None:
        self._trace.say(self.name, "wants to cancel {}", order_id)
        answer = await self._insist(CANCEL, pb.CancelOrderRequest(request_id=str(new_id()), order_id=order_id))
        self.told.add("not cancelled" if answer is None else "cancelled")
        self._trace.say(self.name, "could not cancel {}" if answer is None else "has cancelled {}", order_id)

    async def _insist(self, path: str, request: Any) -> bytes | None:
        """Repeat a request until it is answered; None for a refusal."""
        principal = Principal(str(self.id), "session", "customer", "token")
        while True:
            try:
                return await self._network.call(path, request, principal)
            except grpc.aio.AioRpcError as error:
                if error.code() in _REFUSED:
                    return None
                await asyncio.sleep(self._random.uniform(0.2, 1.0))
