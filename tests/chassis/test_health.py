"""Health over the wire: Check and Watch, degraded against down, and the end of a Watch at the drain."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from services.chassis.health import Health, Report, State
from services.chassis.metrics import Metrics
from services.chassis.pipeline import Routes
from services.chassis.probes import Probes

ORDER = "meshmart.order.v1.OrderService"
SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class Dependency:
    """Something whose state a test sets."""

    def __init__(self):
        self.report = Report(State.UP)

    def __call__(self):
        return self.report


@pytest.fixture
def database():
    return Dependency()


@pytest.fixture
def broker():
    return Dependency()


@pytest.fixture
async def health(database, broker):
    health = Health()
    health.host("order", [ORDER])
    health.depend("order", "database", database)
    health.depend("order", "broker", broker)
    health.refresh()
    return health


@pytest.fixture
async def stub(health):
    async with _served(health) as stub:
        yield stub


@asynccontextmanager
async def _served(health):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Routes(health.handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield HealthStub(channel)
    await server.stop(None)


async def _check(stub, name):
    return (await stub.Check(HealthCheckRequest(service=name))).status


@pytest.mark.parametrize("name", ["", ORDER])
async def test_a_service_whose_dependencies_are_up_is_serving(stub, name):
    assert await _check(stub, name) == SERVING


@pytest.mark.parametrize("name", ["", ORDER])
async def test_a_lost_database_is_not_serving(stub, health, database, name):
    database.report = Report(State.DOWN, "no answer for 6 s")
    health.refresh()

    assert await _check(stub, name) == NOT_SERVING


@pytest.mark.parametrize("name", ["", ORDER])
async def test_a_lost_broker_is_still_serving(stub, health, broker, name):
    broker.report = Report(State.DEGRADED, "reconnecting")
    health.refresh()

    assert await _check(stub, name) == SERVING


async def test_before_anybody_looked_nothing_is_serving():
    async with _served(Health()) as stub:
        assert await _check(stub, "") == NOT_SERVING


async def test_an_unknown_name_is_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await _check(stub, "meshmart.nothing.v1.NothingService")

    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watch_sends_the_status_and_each_change_of_it(stub, health, database):
    watch = stub.Watch(HealthCheckRequest(service=ORDER))
    seen = [(await watch.read()).status]
    for state in (State.DOWN, State.UP):
        database.report = Report(state)
        health.refresh()
        seen.append((await watch.read()).status)

    assert seen == [SERVING, NOT_SERVING, SERVING]
    watch.cancel()


async def test_watch_of_an_unknown_name_waits_until_it_is_known(stub, health):
    watch = stub.Watch(HealthCheckRequest(service="meshmart.late.v1.LateService"))
    assert (await watch.read()).status == SERVICE_UNKNOWN

    health.host("late", ["meshmart.late.v1.LateService"])
    health.refresh()

    assert (await watch.read()).status == SERVING
    watch.cancel()


async def test_the_drain_is_told_and_ends_the_watch(stub, health):
    watch = stub.Watch(HealthCheckRequest(service=ORDER))
    assert (await watch.read()).status == SERVING

    health.drain()
    health.refresh()

    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK
    assert await _check(stub, "") == NOT_SERVING


async def test_list_tells_every_name(stub):
    untyped: Any = health_pb2  # its types lack the messages of List
    listed = await stub.List(untyped.HealthListRequest())

    assert {name: answer.status for name, answer in listed.statuses.items()} == {"": SERVING, ORDER: SERVING}


async def test_a_remote_service_counts_for_its_name_alone(stub, health):
    health.tell_remote("meshmart.catalog.v1.CatalogService", serving=False)

    assert await _check(stub, "meshmart.catalog.v1.CatalogService") == NOT_SERVING
    assert await _check(stub, "") == SERVING


async def test_health_is_looked_at_again_and_again(stub, health, database):
    task = asyncio.create_task(health.run())
    watch = stub.Watch(HealthCheckRequest(service=""))
    assert (await watch.read()).status == SERVING

    database.report = Report(State.DOWN)

    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()
    task.cancel()


@pytest.fixture
async def get(health):
    """Return a function that gets a path of the HTTP port."""
    async with Probes("127.0.0.1:0", health, Metrics()) as probes, aiohttp.ClientSession() as session:

        async def get(path):
            async with session.get(f"http://127.0.0.1:{probes.port}{path}") as response:
                return response.status, await (
                    response.json() if response.content_type == "application/json" else response.text()
                )

        yield get


async def test_readyz_lists_each_dependency(get, broker):
    broker.report = Report(State.DEGRADED, "reconnecting")

    assert await get("/readyz") == (
        200,
        {
            "status": "degraded",
            "services": {
                "order": {
                    "status": "degraded",
                    "dependencies": {
                        "database": {"state": "up"},
                        "broker": {"state": "degraded", "detail": "reconnecting"},
                    },
                }
            },
        },
    )


async def test_readyz_refuses_when_the_database_is_lost(get, database):
    database.report = Report(State.DOWN)

    status, body = await get("/readyz")

    assert (status, body["status"]) == (503, "down")


async def test_readyz_refuses_while_draining(get, health):
    health.drain()

    status, body = await get("/readyz")

    assert (status, body["status"]) == (503, "draining")


async def test_livez_answers_whatever_is_lost(get, database):
    database.report = Report(State.DOWN)

    assert await get("/livez") == (200, "ok\n")


async def test_metrics_are_served(get):
    status, text = await get("/metrics")

    assert status == 200
    assert "process_resident_memory_bytes" in text
