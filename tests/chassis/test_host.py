"""Any set of services in one process: how they start, and what they tell."""

import asyncio
import json
import urllib.request
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from pydantic import SecretStr

from services.chassis.host import Host
from services.chassis.process import StartError
from services.chassis.service import Service
from services.chassis.settings import ProcessSettings, ServiceSettings
from tests.chassis.shop import ID, shop


async def test_services_of_one_process_reach_each_other_through_their_stubs(shop):
    catalog = shop.runtimes["order"].stub(CatalogServiceStub)
    await catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))


async def test_a_service_reaches_no_neighbour_that_it_does_not_declare(shop):
    with pytest.raises(LookupError, match="order does not declare inventory"):
        shop.runtimes["order"].stub(InventoryServiceStub)


async def test_a_service_without_a_database_is_told_so_when_it_asks_for_one(shop):
    with pytest.raises(LookupError, match="order is declared without a database"):
        _ = shop.runtimes["order"].database


@pytest.mark.parametrize("which", ["grpc", "http"])
async def test_a_port_that_is_taken_stops_the_start_with_its_address(which):
    async with shop("identity") as first:
        taken = f"127.0.0.1:{getattr(first.host, f'{which}_port')}"
        listen: dict[str, Any] = {f"{which}_listen": taken}
        with pytest.raises(StartError, match=f"{taken} is taken"):
            async with shop("identity", **listen):
                pass


async def start_identity(url: str) -> None:
    """Start a service named identity that must not get as far as being built."""
    own = ServiceSettings(database_url=SecretStr(url), nats_password=SecretStr("x"))
    service = Service("identity", 0, ServiceSettings, build=lambda _: pytest.fail("it was built"))
    process = ProcessSettings(grpc_listen="127.0.0.1:0", http_listen="127.0.0.1:0")
    async with Host([service], process, {"identity": own}):
        pass


async def test_a_database_without_the_newest_migration_stops_the_start(database_url):
    with pytest.raises(StartError, match="python -m services migrate identity"):
        await start_identity(await database_url())


async def test_a_database_that_does_not_answer_stops_the_start():
    with pytest.raises(StartError, match="identity: the database does not answer"):
        await start_identity("postgresql://nobody:secret@127.0.0.1:1/nothing?connect_timeout=1")


async def test_health_and_readiness_say_that_it_serves(shop):
    health: Any = health_pb2_grpc.HealthStub(shop.channel)
    for name in ("", "meshmart.order.v1.OrderService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    ready = await asyncio.to_thread(_get, f"http://127.0.0.1:{shop.host.http_port}/readyz")
    assert sorted(json.loads(ready)["services"]) == ["catalog", "identity", "order"]


async def test_calls_are_counted_by_method_and_code(shop):
    await shop.runtimes["order"].stub(CatalogServiceStub).BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))
    metrics = (await asyncio.to_thread(_get, f"http://127.0.0.1:{shop.host.http_port}/metrics")).decode()
    for side in ("server", "client"):
        [line] = [
            line
            for line in metrics.splitlines()
            if line.startswith(f"grpc_{side}_handled_total{{") and 'method="BatchGetProducts"' in line
        ]
        assert 'code="OK"' in line
        assert line.endswith(" 1.0")


def _get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # one of our own
        return answer.read()
