"""The storefront shows the public API: what there is, and whether it serves."""

from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from services.chassis.host import Host
from services.chassis.reflection import EDGE_HEADER
from services.chassis.settings import ProcessSettings
from services.storefront.service import SERVICE, StorefrontSettings
from tests.chassis.shop import shop

ORDER = "meshmart.order.v1.OrderService"
PUBLIC = [
    "meshmart.analytics.v1.AnalyticsService",
    "meshmart.catalog.v1.CatalogService",
    "meshmart.identity.v1.IdentityService",
    "meshmart.inventory.v1.InventoryService",
    "meshmart.notification.v1.NotificationService",
    "meshmart.order.v1.OrderService",
    "meshmart.payment.v1.PaymentService",
]


@asynccontextmanager
async def _storefront(address):
    """Serve the storefront, with order and identity behind one address; yield it and a channel to it."""
    addresses = {"order": address, "identity": address}
    process = ProcessSettings(grpc_listen="127.0.0.1:0", http_listen="127.0.0.1:0", addresses=addresses)
    async with (
        Host([SERVICE], process, {"storefront": StorefrontSettings()}) as host,
        grpc.aio.insecure_channel(f"127.0.0.1:{host.grpc_port}") as channel,
    ):
        yield host, channel


@pytest.fixture
async def order():
    """Serve an order service, and identity, in a process of their own."""
    async with shop("order", "identity") as served:
        yield served


@pytest.fixture
async def storefront(order):
    async with _storefront(f"127.0.0.1:{order.host.grpc_port}") as (_, channel):
        yield channel


async def _ask(channel, questions, metadata=()):
    stub: Any = ServerReflectionStub(channel)  # its types lack the method
    return [answer async for answer in stub.ServerReflectionInfo(iter(questions), metadata=metadata)]


def _health(channel) -> Any:
    """Return a health stub; its types lack the methods."""
    return HealthStub(channel)


async def _listed(channel, *metadata):
    question = ServerReflectionRequest(list_services="*")
    [answer] = await _ask(channel, [question], metadata)
    return [service.name for service in answer.list_services_response.service]


@pytest.mark.parametrize("metadata", [(), ((EDGE_HEADER, "http"),)], ids=["inside", "edge"])
async def test_exactly_the_public_services_are_listed(storefront, metadata):
    assert await _listed(storefront, *metadata) == PUBLIC


async def test_no_internal_method_can_be_described(storefront):
    symbols = ["meshmart.payment.v1.PaymentService.AuthorizePayment", f"{ORDER}.GetOrder"]
    questions = [ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols]

    internal, public = await _ask(storefront, questions)

    assert internal.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert public.HasField("file_descriptor_response")


async def test_the_health_of_a_service_behind_the_edge_is_followed(storefront, order):
    watch = _health(storefront).Watch(HealthCheckRequest(service=ORDER))
    await _until(watch, HealthCheckResponse.SERVING)

    order.host.process.health.drain()

    await _until(watch, HealthCheckResponse.NOT_SERVING)


async def test_a_service_that_is_not_there_leaves_the_storefront_serving_but_degraded():
    async with _storefront("127.0.0.1:1") as (host, channel):
        watch = _health(channel).Watch(HealthCheckRequest(service=ORDER))
        await _until(watch, HealthCheckResponse.NOT_SERVING)
        overall = await _health(channel).Check(HealthCheckRequest())
        readiness = host.process.health.readiness()

    assert overall.status == HealthCheckResponse.SERVING
    assert readiness["services"]["storefront"]["dependencies"]["order"] == {
        "state": "degraded",
        "detail": f"not serving: {ORDER}",
    }


async def _until(watch, status):
    """Read a Watch until it says a status."""
    while (await watch.read()).status != status:
        pass
    assert watch
