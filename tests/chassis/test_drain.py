"""How a process goes: nothing in flight is lost, and callers hear of it before they are refused."""

import asyncio
from collections import Counter
from itertools import count
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub

from services.chassis import background
from services.chassis.channel import Channel
from services.chassis.metrics import MethodMetrics
from services.chassis.service import Task
from tests.chassis.shop import ID, QUOTE, WATCH, shop, until
from tests.support.refusals import refused

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Gate:
    """Holds handlers until it is opened."""

    def __init__(self, expected: int = 1) -> None:
        self.expected = expected
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.expected -= 1
        if self.expected == 0:
            self.reached.set()
        await self.open.wait()


async def refuses(served) -> None:
    """Wait until the process takes no new calls."""
    while True:
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{served.host.grpc_port}") as channel:
                await OrderServiceStub(channel).WatchOrder(WATCH, timeout=1).read()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return


async def test_calls_in_flight_are_finished_while_new_ones_are_refused():
    async with shop() as served:
        gate = served.orders.act = Gate(20)
        calls = [asyncio.ensure_future(served.order.QuoteOrder(QUOTE)) for _ in range(20)]
        await gate.reached.wait()
        draining = asyncio.create_task(served.drain())
        await refuses(served)
        gate.open.set()
        await asyncio.gather(*calls)
        await draining


async def test_calls_in_flight_still_reach_neighbours_in_the_same_process():
    async with shop() as served:
        gate = Gate()
        catalog = served.runtimes["order"].stub(CatalogServiceStub)

        async def ask_catalog() -> None:
            await gate()
            await catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))

        served.orders.act = ask_catalog
        call = asyncio.ensure_future(served.order.QuoteOrder(QUOTE))
        await gate.reached.wait()
        draining = asyncio.create_task(served.drain())
        await refuses(served)
        gate.open.set()
        await call
        await draining


async def test_callers_hear_of_it_before_they_are_refused():
    async with shop(drain_delay=0.3) as served:
        health: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        draining = asyncio.create_task(served.drain())
        assert (await watch.read()).status == NOT_SERVING
        await served.order.QuoteOrder(QUOTE)
        await draining


async def test_a_stream_that_waits_ends_by_itself():
    async with shop() as served:
        served.orders.act = served.runtimes["order"].draining.wait
        call = served.order.WatchOrder(WATCH, metadata=served.customer)
        assert (await call.read()).version == 1
        await served.drain()
        assert [(await call.read()).version, await call.read()] == [2, grpc.aio.EOF]
        assert await call.code() == grpc.StatusCode.OK


async def test_a_stream_that_does_not_end_is_cut_with_a_reason():
    async with shop(drain_grace=0.1) as served:
        gate = served.orders.act = Gate()
        call = served.order.WatchOrder(WATCH, metadata=served.customer)
        await gate.reached.wait()
        draining = asyncio.create_task(served.drain())
        with refused("UNAVAILABLE", "DRAINING"):
            async for _ in call:
                pass
        await draining


async def test_tasks_run_until_the_last_call_is_finished_and_give_back_what_they_hold():
    order_of_events, running = [], asyncio.Event()

    async def hold() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order_of_events.append("task gave its lease back")

    async with shop(tasks=(Task("sagas", hold),)) as served:
        gate = Gate()

        async def slow() -> None:
            await gate()
            order_of_events.append("call finished")

        served.orders.act = slow
        call = asyncio.ensure_future(served.order.QuoteOrder(QUOTE))
        await running.wait()
        await gate.reached.wait()
        draining = asyncio.create_task(served.drain())
        await refuses(served)
        gate.open.set()
        await call
        await draining
        assert order_of_events == ["call finished", "task gave its lease back"]


async def test_a_task_that_fails_is_begun_again(monkeypatch, caplog):
    monkeypatch.setattr(background, "RESTART_DELAY", 0)
    attempts, third = count(1), asyncio.Event()

    async def fail_twice() -> None:
        if next(attempts) < 3:
            raise ConnectionError("no luck")
        third.set()
        await asyncio.Event().wait()

    async with shop(tasks=(Task("flaky", fail_twice),)):
        await third.wait()
    assert [record.message for record in caplog.records].count("task failed") == 2


async def test_no_call_fails_when_one_of_two_replicas_goes_under_load():
    async with shop("order", "identity", drain_delay=0.2) as leaving, shop("order", "identity") as staying:
        places = ",".join(f"127.0.0.1:{served.host.grpc_port}" for served in (leaving, staying))
        name = "meshmart.order.v1.OrderService"
        channel = Channel("order", f"ipv4:{places}", lambda path: MethodMetrics(), health_name=name)
        stub, stop = OrderServiceStub(cast("grpc.aio.Channel", channel)), asyncio.Event()
        calls: Counter[bool] = Counter()

        async def load() -> None:
            while not stop.is_set():
                await stub.QuoteOrder(QUOTE)
                calls[leaving.host.process.draining.is_set()] += 1

        async with asyncio.TaskGroup() as callers:
            for _ in range(16):
                callers.create_task(load())
            await until(lambda: calls.total() > 500)
            await leaving.drain()
            await until(lambda: calls[True] > 500)
            stop.set()
        await channel.close()
