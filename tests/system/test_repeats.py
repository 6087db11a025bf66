"""One request sent many times at once, through both fronts, has one effect and one answer."""

import asyncio

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from meshmart.order.v1.order_service_pb2 import ListOrdersRequest, PlaceOrderRequest, PlaceOrderResponse
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub

from tests.support.fronts import metadata
from tests.system.shopper import cart

TIMES = 10
"""Over each front."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _over_rest(fronts, token: str, request: PlaceOrderRequest) -> PlaceOrderResponse:
    answer = await fronts.rest("POST", "/v1/orders", token, json=MessageToDict(request))
    assert answer.status == 200, answer.text
    return ParseDict(answer.body, PlaceOrderResponse())


async def _over_grpc(fronts, token: str, request: PlaceOrderRequest) -> PlaceOrderResponse:
    reply: PlaceOrderResponse = await OrderServiceStub(fronts.channel).PlaceOrder(request, metadata=metadata(token))
    return reply


@pytest.mark.slow
async def test_twenty_equal_requests_at_once_make_one_order(fronts, shopper):
    request = cart(await shopper.product(), await shopper.card())
    sends = [send(fronts, shopper.token, request) for send in (_over_rest, _over_grpc) for _ in range(TIMES)]

    first, *others = await asyncio.gather(*sends)

    assert [other for other in others if other != first] == []
    listed = await OrderServiceStub(fronts.channel).ListOrders(ListOrdersRequest(), metadata=metadata(shopper.token))
    assert [order.id for order in listed.orders] == [first.order.id]
    await shopper.becomes(first.order.id, "COMPLETED")
