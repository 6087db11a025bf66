"""The inventory service's calls: read the request, call the domain, build the response."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from meshmart.inventory.v1 import inventory_service_pb2 as pb
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer

from services.chassis import idempotency
from services.chassis.call import current_call
from services.inventory import domain, messages
from services.inventory.feed import StockFeed
from services.inventory.reservations import Reservations
from services.inventory.stock_store import StockStore
from services.inventory.watch import StockWatch


class InventoryApi(InventoryServiceServicer):
    """Serves `meshmart.inventory.v1.InventoryService`."""

    def __init__(self, stock: StockStore, reservations: Reservations, feed: StockFeed, watch: StockWatch) -> None:
        """Keep the collaborators."""
        self._stock = stock
        self._reservations = reservations
        self._feed = feed
        self._watch = watch

    async def GetStock(self, request: pb.GetStockRequest, context: Any) -> pb.GetStockResponse:
        """Count one product."""
        [stock] = await self._stock.of_products([UUID(request.product_id)])
        return pb.GetStockResponse(stock=messages.stock(stock))

    async def BatchGetStock(self, request: pb.BatchGetStockRequest, context: Any) -> pb.BatchGetStockResponse:
        """Count several products."""
        stocks = await self._stock.of_products([UUID(product_id) for product_id in request.product_ids])
        return pb.BatchGetStockResponse(stocks=map(messages.stock, stocks))

    async def RestockProduct(self, request: pb.RestockProductRequest, context: Any) -> pb.RestockProductResponse:
        """Add delivered units."""
        product_id = UUID(request.product_id)
        stock = await self._stock.restock(
            product_id, request.quantity, lambda stock: idempotency.parameters(_restocked(stock))
        )
        self._feed.mark([product_id])
        return _restocked(stock)

    async def ReserveStock(self, request: pb.ReserveStockRequest, context: Any) -> pb.ReserveStockResponse:
        """Hold units for an order."""
        wanted = domain.hold(UUID(request.order_id), messages.lines_of(request.lines))
        response = pb.ReserveStockResponse(reservation=messages.reservation(wanted))
        held = await self._reservations.reserve(wanted, idempotency.parameters(response))
        return response if held is wanted else pb.ReserveStockResponse(reservation=messages.reservation(held))

    async def ReleaseStock(self, request: pb.ReleaseStockRequest, context: Any) -> pb.ReleaseStockResponse:
        """Give the units of an order back."""
        response = pb.ReleaseStockResponse()
        await self._reservations.release(UUID(request.order_id), idempotency.parameters(response))
        return response

    async def WatchStock(self, request: pb.WatchStockRequest, context: Any) -> AsyncIterator[pb.WatchStockResponse]:
        """Stream figures as they change."""
        call = current_call()
        until = call.deadline if call else float("inf")
        product_ids = [UUID(product_id) for product_id in request.product_ids]
        async for message in self._watch.watch(product_ids, request.resume_token, until):
            yield message


def _restocked(stock: domain.Stock) -> pb.RestockProductResponse:
    return pb.RestockProductResponse(stock=messages.stock(stock))
