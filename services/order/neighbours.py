"""Clients of catalog, inventory and payment behind the domain's ports."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
from meshmart.catalog.v1 import catalog_service_pb2
from meshmart.inventory.v1 import inventory_service_pb2, stock_pb2
from meshmart.payment.v1 import payment_service_pb2

from services.chassis.ids import step_id
from services.chassis.messages import amount, money
from services.chassis.neighbour_errors import neighbour_error
from services.order.domain import Order, Product, StepFailed, StepRefused, product_not_found

if TYPE_CHECKING:
    from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub
    from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub
    from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceAsyncStub

REFUSALS = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ABORTED,
)
"""Codes by which a neighbour says no for good. Any other leaves the outcome unknown."""


async def _step(call: Awaitable[object]) -> None:
    """Make a step's call and sort its failure into refused and unknown."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        refusal = neighbour_error(error)
        reason = refusal.reason if refusal else error.code().name
        if error.code() in REFUSALS:
            raise StepRefused(reason) from error
        raise StepFailed(reason, timed_out=error.code() is grpc.StatusCode.DEADLINE_EXCEEDED) from error


class CatalogClient:
    """The catalog's products."""

    def __init__(self, stub: "CatalogServiceAsyncStub") -> None:
        """Keep the stub."""
        self._stub = stub

    async def products(self, ids: Sequence[UUID]) -> Mapping[UUID, Product]:
        """Return the products. Raises ProductNotFound."""
        request = catalog_service_pb2.BatchGetProductsRequest(product_ids=map(str, ids))
        try:
            response = await self._stub.BatchGetProducts(request)
        except grpc.aio.AioRpcError as error:
            refusal = neighbour_error(error)
            if refusal and refusal.reason == "PRODUCT_NOT_FOUND":
                raise product_not_found(refusal.metadata.get("product_id", "")) from error
            raise
        return {UUID(product.id): Product(product.display_name, amount(product.price)) for product in response.products}


class InventoryClient:
    """The inventory's reservations."""

    def __init__(self, stub: "InventoryServiceAsyncStub") -> None:
        """Keep the stub."""
        self._stub = stub

    async def reserve(self, order: Order) -> None:
        """Hold the units of an order."""
        lines = [
            stock_pb2.ReservationLine(product_id=str(line.product_id), quantity=line.quantity) for line in order.lines
        ]
        request = inventory_service_pb2.ReserveStockRequest(
            request_id=str(step_id(order.id, "reserve")), order_id=str(order.id), lines=lines
        )
        await _step(self._stub.ReserveStock(request))

    async def release(self, order: Order) -> None:
        """Give them back, or refuse them to a reserve that comes late."""
        request = inventory_service_pb2.ReleaseStockRequest(
            request_id=str(step_id(order.id, "release")), order_id=str(order.id)
        )
        await _step(self._stub.ReleaseStock(request))


class PaymentClient:
    """The payment's holds."""

    def __init__(self, stub: "PaymentServiceAsyncStub") -> None:
        """Keep the stub."""
        self._stub = stub

    async def authorize(self, order: Order) -> None:
        """Hold the total of an order."""
        request = payment_service_pb2.AuthorizePaymentRequest(
            request_id=str(step_id(order.id, "authorize")),
            order_id=str(order.id),
            customer_id=str(order.customer_id),
            payment_method_id=str(order.payment_method_id),
            amount=money(order.total),
        )
        await _step(self._stub.AuthorizePayment(request))

    async def void(self, order: Order) -> None:
        """Give the hold up, or refuse it to an authorize that comes late."""
        request = payment_service_pb2.VoidPaymentRequest(
            request_id=str(step_id(order.id, "void")), order_id=str(order.id)
        )
        await _step(self._stub.VoidPayment(request))
