"""The order service's calls: read the request, call the domain, build the response."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from meshmart.order.v1 import order_service_pb2 as pb
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceServicer

from services.chassis import idempotency, pages
from services.chassis.call import current_call, current_principal
from services.chassis.changes import Changes
from services.chassis.ids import new_id
from services.chassis.messages import amount, money
from services.order import domain, messages
from services.order.publisher import OrderLog
from services.order.runner import SagaRunner
from services.order.store import OrderStore
from services.order.watch import watch

LAST_ID = UUID(int=(1 << 128) - 1)
CUSTOMER_CANCELLED = "CUSTOMER_CANCELLED"


class OrderApi(OrderServiceServicer):
    """Serves `meshmart.order.v1.OrderService`."""

    def __init__(  # noqa: PLR0913  # built in one place, each collaborator named
        self,
        *,
        store: OrderStore,
        log: OrderLog,
        catalog: domain.Catalog,
        runner: SagaRunner,
        changes: Changes,
        draining: asyncio.Event,
    ) -> None:
        """Keep the collaborators."""
        self._store = store
        self._log = log
        self._catalog = catalog
        self._runner = runner
        self._changes = changes
        self._draining = draining

    async def QuoteOrder(self, request: pb.QuoteOrderRequest, context: Any) -> pb.QuoteOrderResponse:
        """Price a cart without ordering it."""
        lines = await self._price(messages.cart(request.lines))
        total = domain.total_of(lines)
        return pb.QuoteOrderResponse(lines=map(messages.order_line, lines), total=money(total))

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Any) -> pb.PlaceOrderResponse:
        """Place an order and begin its saga."""
        self._runner.require_room()
        lines = await self._price(messages.cart(request.lines))
        order = domain.place(
            new_id(),
            customer_id=UUID(current_principal().subject),
            payment_method_id=UUID(request.payment_method_id),
            lines=lines,
            expected_total=amount(request.expected_total),
            now=datetime.now(UTC),
        )
        response = pb.PlaceOrderResponse(order=messages.order(order))
        await self._log.place(order, idempotency.parameters(response))
        self._runner.begin(order)
        return response

    async def GetOrder(self, request: pb.GetOrderRequest, context: Any) -> pb.GetOrderResponse:
        """Return an order, on request only once it is decided."""
        order_id = UUID(request.order_id)
        wait_until = time.monotonic() + request.wait.ToTimedelta().total_seconds()
        with self._changes.subscribe(order_id) as subscription:
            order = await self._own(order_id)
            while order.state is domain.State.PENDING and (left := wait_until - time.monotonic()) > 0:
                await subscription.wait(left)
                order = await self._own(order_id)
        return pb.GetOrderResponse(order=messages.order(order))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Any) -> pb.ListOrdersResponse:
        """List the caller's orders."""
        customer_id = UUID(current_principal().subject)
        page = pages.read(request, "ListOrders")
        before = pages.id_after(page) or LAST_ID
        orders = await self._store.list_of_customer(customer_id, before, page.size + 1)
        shown, token = pages.cut(page, orders, lambda order: [str(order.id)])
        return pb.ListOrdersResponse(orders=map(messages.order, shown), next_page_token=token)

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Any) -> pb.CancelOrderResponse:
        """Cancel an order; tried again when it changes in between."""
        while True:
            order = await self._own(UUID(request.order_id))
            cancelled = domain.cancel(order, CUSTOMER_CANCELLED, datetime.now(UTC))
            response = pb.CancelOrderResponse(order=messages.order(cancelled))
            if await self._log.cancel(cancelled, idempotency.parameters(response)):
                return response

    async def WatchOrder(self, request: pb.WatchOrderRequest, context: Any) -> AsyncIterator[pb.WatchOrderResponse]:
        """Stream each change of an order until its last state."""
        order_id = UUID(request.order_id)
        call = current_call()
        until = call.deadline if call else float("inf")
        customer_id = UUID(current_principal().subject)
        messages_of_order = watch(
            lambda: self._of(order_id, customer_id),
            self._changes,
            order_id,
            resume_token=request.resume_token,
            until=until,
            draining=self._draining,
        )
        async for message in messages_of_order:
            yield message

    async def _price(self, cart: tuple[domain.CartLine, ...]) -> tuple[domain.Line, ...]:
        products = await self._catalog.products([line.product_id for line in cart])
        return domain.price(cart, products)

    async def _own(self, order_id: UUID) -> domain.Order:
        return await self._of(order_id, UUID(current_principal().subject))

    async def _of(self, order_id: UUID, customer_id: UUID) -> domain.Order:
        """Return a customer's order. Raises OrderNotFound, also for somebody else's."""
        order = await self._store.get(order_id)
        if order is None or order.customer_id != customer_id:
            raise domain.OrderNotFound(f"order {order_id} does not exist", metadata={"order_id": str(order_id)})
        return order
