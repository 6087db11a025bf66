"""Services that answer the edge without doing anything, and note what reached them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status
from meshmart.catalog.v1 import catalog_service_pb2 as catalog
from meshmart.catalog.v1 import catalog_service_pb2_grpc as catalog_grpc
from meshmart.catalog.v1.product_pb2 import Product
from meshmart.identity.v1 import identity_service_pb2_grpc as identity_grpc
from meshmart.inventory.v1 import inventory_service_pb2 as inventory
from meshmart.inventory.v1 import inventory_service_pb2_grpc as inventory_grpc
from meshmart.notification.v1 import notification_service_pb2 as notification
from meshmart.notification.v1 import notification_service_pb2_grpc as notification_grpc
from meshmart.order.v1 import order_service_pb2 as order
from meshmart.order.v1 import order_service_pb2_grpc as order_grpc
from meshmart.order.v1.order_pb2 import Order

from tests.support.tokens import FakeIdentity

UNKNOWN_ID = "00000000-0000-7000-8000-000000000404"
UNSUBSCRIBE_TOKEN = "signed"


@dataclass(frozen=True)
class Seen:
    """One call as a service saw it."""

    metadata: dict[str, str | bytes]
    remaining: float


class FakeShop:
    """All services in one server."""

    def __init__(self, identity: FakeIdentity) -> None:
        """Make the server; it publishes identity's keys."""
        self.seen: list[Seen] = []
        self._server = grpc.server(ThreadPoolExecutor(8))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        identity_grpc.add_IdentityServiceServicer_to_server(_Identity(identity), self._server)
        catalog_grpc.add_CatalogServiceServicer_to_server(_Catalog(self), self._server)
        inventory_grpc.add_InventoryServiceServicer_to_server(_Inventory(self), self._server)
        notification_grpc.add_NotificationServiceServicer_to_server(_Notification(self), self._server)
        order_grpc.add_OrderServiceServicer_to_server(_Order(self), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), self._server)

    def start(self) -> None:
        """Serve."""
        self._server.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop(0).wait()

    def forget(self) -> None:
        """Forget the calls seen so far."""
        self.seen.clear()

    def note(self, context: grpc.ServicerContext) -> None:
        """Remember a call."""
        metadata = {str(key): value for key, value in context.invocation_metadata()}
        self.seen.append(Seen(metadata, context.time_remaining()))


class _Identity(identity_grpc.IdentityServiceServicer):
    def __init__(self, identity: FakeIdentity) -> None:
        self._identity = identity

    def GetJsonWebKeySet(self, request, context):
        return asyncio.run(self._identity.GetJsonWebKeySet(request, context))


class _Catalog(catalog_grpc.CatalogServiceServicer):
    def __init__(self, shop: FakeShop) -> None:
        self._shop = shop

    def GetProduct(self, request, context):
        self._shop.note(context)
        if request.product_id == UNKNOWN_ID:
            _refuse(context, code_pb2.NOT_FOUND, "PRODUCT_NOT_FOUND", field="product_id")
        return catalog.GetProductResponse(product=Product(id=request.product_id, display_name="Tea"))

    def CreateProduct(self, request, context):
        self._shop.note(context)
        return catalog.CreateProductResponse(product=request.product)


class _Inventory(inventory_grpc.InventoryServiceServicer):
    def __init__(self, shop: FakeShop) -> None:
        self._shop = shop

    def ReserveStock(self, request, context):
        self._shop.note(context)
        return inventory.ReserveStockResponse()


class _Notification(notification_grpc.NotificationServiceServicer):
    def __init__(self, shop: FakeShop) -> None:
        self._shop = shop

    def Unsubscribe(self, request, context):
        self._shop.note(context)
        if request.token != UNSUBSCRIBE_TOKEN:
            _refuse(context, code_pb2.INVALID_ARGUMENT, "UNSUBSCRIBE_TOKEN_INVALID", field="token")
        return notification.UnsubscribeResponse()


class _Order(order_grpc.OrderServiceServicer):
    def __init__(self, shop: FakeShop) -> None:
        self._shop = shop

    def PlaceOrder(self, request, context):
        self._shop.note(context)
        return order.PlaceOrderResponse(order=Order(state=Order.STATE_PENDING))

    def WatchOrder(self, request, context):
        self._shop.note(context)
        if request.order_id == UNKNOWN_ID:
            _refuse(context, code_pb2.NOT_FOUND, "ORDER_NOT_FOUND", field="order_id")
        yield order.WatchOrderResponse(state=Order.STATE_PENDING, version=1, resume_token="a")
        yield order.WatchOrderResponse(state=Order.STATE_CONFIRMED, version=2, resume_token="b")


def _refuse(context: grpc.ServicerContext, code: int, reason: str, field: str) -> None:
    details = [
        error_details_pb2.ErrorInfo(reason=reason, domain="meshmart.dev"),
        error_details_pb2.BadRequest(field_violations=[{"field": field, "description": "unknown"}]),
    ]
    status = status_pb2.Status(code=code, message="There is no such thing.")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))
