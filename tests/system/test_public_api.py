"""What the outside sees of the shop: the public services, their health, and nothing internal."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from meshmart.analytics.v1 import analytics_service_pb2
from meshmart.catalog.v1 import catalog_service_pb2
from meshmart.identity.v1 import identity_service_pb2
from meshmart.inventory.v1 import inventory_service_pb2
from meshmart.notification.v1 import notification_service_pb2
from meshmart.order.v1 import order_service_pb2
from meshmart.payment.v1 import payment_service_pb2

from services.chassis.contract import Access, method_contract
from services.chassis.reflection import V1, V1ALPHA
from tests.support.fronts import Fronts, Refusal, metadata, refusal_of

MODULES: tuple[Any, ...] = (
    analytics_service_pb2,
    catalog_service_pb2,
    identity_service_pb2,
    inventory_service_pb2,
    notification_service_pb2,
    order_service_pb2,
    payment_service_pb2,
)
SERVICES = sorted(name.full_name for module in MODULES for name in module.DESCRIPTOR.services_by_name.values())
METHODS = {
    f"/{service}/{method.name}" for service in SERVICES for method in Default().FindServiceByName(service).methods
}
INTERNAL = sorted(method for method in METHODS if method_contract(method).access is Access.INTERNAL)
assert len(INTERNAL) >= 4
SERVING = health_pb2.HealthCheckResponse.SERVING

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def _ask(fronts: Fronts, version: str, question: ServerReflectionRequest) -> ServerReflectionResponse:
    """Ask one question as grpcurl does."""
    info: Any = fronts.channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    (answer,) = [answer async for answer in info(iter([question]))]
    return answer


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_lists_exactly_the_public_services(fronts, version):
    answer = await _ask(fronts, version, ServerReflectionRequest(list_services="*"))
    assert [service.name for service in answer.list_services_response.service] == SERVICES


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_describes_every_method_but_the_internal_ones(fronts, version):
    described = set()
    for service in SERVICES:
        answer = await _ask(fronts, version, ServerReflectionRequest(file_containing_symbol=service))
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(data)
            described |= {
                f"/{file.package}.{each.name}/{method.name}" for each in file.service for method in each.method
            }
    assert described == METHODS - set(INTERNAL)


@pytest.mark.parametrize("name", ["", *SERVICES])
async def test_the_health_of_what_is_public_can_be_asked_at_the_edge(fronts, name):
    stub: Any = health_pb2_grpc.HealthStub(fronts.channel)  # its types lack the methods
    assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING


@pytest.mark.parametrize("path", INTERNAL)
async def test_an_internal_method_does_not_exist_over_grpc(fronts, shopper, path):
    call: Any = fronts.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", metadata=metadata(shopper.token))
    assert refusal_of(refused.value) == Refusal(12, "METHOD_UNKNOWN")


@pytest.mark.parametrize("path", INTERNAL)
async def test_an_internal_method_does_not_exist_over_rest(fronts, shopper, path):
    answer = await fronts.rest("POST", path, shopper.token, json={})
    assert (answer.status, answer.refusal.reason) == (404, "METHOD_UNKNOWN")
