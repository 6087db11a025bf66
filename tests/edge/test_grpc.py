"""What gRPC clients meet at the edge: deadlines, refusals with details, streams, health."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from meshmart.catalog.v1.catalog_service_pb2 import GetProductRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import GetStockRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.order.v1.order_service_pb2 import WatchOrderRequest
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub
from meshmart.payment.v1.payment_service_pb2 import ListPaymentMethodsRequest
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from tests.support.fake_shop import UNKNOWN_ID
from tests.support.fronts import Refusal, metadata, refusal_of

MESSAGE = GetProductRequest(product_id="1").SerializeToString()


async def test_the_contracts_deadline_reaches_a_service_when_the_client_has_none(fronts, shop):
    await CatalogServiceStub(fronts.channel).GetProduct(GetProductRequest(product_id="1"))
    await fronts.rest("GET", "/v1/products/1")
    assert [0 < seen.remaining <= 1 for seen in shop.seen] == [True, True]


@pytest.mark.parametrize("front", ["rest", "grpc"])
async def test_a_clients_shorter_deadline_is_kept(fronts, shop, front):
    if front == "grpc":
        await CatalogServiceStub(fronts.channel).GetProduct(GetProductRequest(product_id="1"), timeout=0.5)
    else:
        await fronts.rest("GET", "/v1/products/1", headers={"grpc-timeout": "500m"})
    assert 0 < shop.seen[0].remaining < 0.6


async def test_a_services_refusal_arrives_with_its_details(fronts):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await CatalogServiceStub(fronts.channel).GetProduct(GetProductRequest(product_id=UNKNOWN_ID))
    assert refusal_of(refused.value) == Refusal(5, "PRODUCT_NOT_FOUND")


async def test_a_service_that_hangs_is_a_lapsed_deadline(fronts, minter):
    call = PaymentServiceStub(fronts.channel).ListPaymentMethods
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(ListPaymentMethodsRequest(), metadata=metadata(minter.token()))
    assert refusal_of(refused.value) == Refusal(4, "DEADLINE_EXCEEDED")


async def test_a_service_that_is_gone_is_unavailable(fronts):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await InventoryServiceStub(fronts.channel).GetStock(GetStockRequest(product_id="1"))
    assert refusal_of(refused.value) == Refusal(14, "SERVICE_UNAVAILABLE")


async def test_a_stream_arrives_message_by_message(fronts, minter):
    call = OrderServiceStub(fronts.channel).WatchOrder(
        WatchOrderRequest(order_id="1"), metadata=metadata(minter.token())
    )
    assert [message.resume_token async for message in call] == ["a", "b"]


async def test_health_of_the_public_api_is_storefronts(fronts):
    stub: Any = health_pb2_grpc.HealthStub(fronts.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("method", "status"),
    [("catalog.v1.CatalogService/GetProduct", "grpc-status:0"), ("order.v1.OrderService/GetOrder", "grpc-status:16")],
)
async def test_grpc_web_is_answered_in_its_own_form(fronts, method, status):
    headers = {"content-type": "application/grpc-web+proto"}
    frame = b"\x00" + len(MESSAGE).to_bytes(4) + MESSAGE
    answer = await fronts.rest("POST", f"/meshmart.{method}", data=frame, headers=headers)
    trailers = f"grpc-status:{answer.headers.get('grpc-status')}\n{answer.text}"
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    assert status in trailers.replace(" ", "")
