"""A service takes a bounded number of calls; what is over is refused at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub

from services.chassis.overload import Admission
from services.chassis.refusals import Overloaded
from tests.chassis.shop import GET, ID, WATCH, Shop, shop, succeed, until
from tests.support.refusals import refused


async def enter(admission: Admission) -> None:
    if not admission.try_enter():
        await admission.wait()


async def waiting(admission: Admission, count: int) -> list["asyncio.Task[None]"]:
    """Return callers that wait in the queue."""
    tasks = [asyncio.create_task(enter(admission)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_places_are_given_first_come_first_served():
    admission = Admission(1, 2)
    await enter(admission)
    first, second = await waiting(admission, 2)
    admission.leave()
    await first
    assert not second.done()
    admission.leave()
    await second


async def test_past_places_and_queue_a_call_is_refused():
    admission = Admission(1, 1)
    await enter(admission)
    [queued] = await waiting(admission, 1)
    with pytest.raises(Overloaded):
        await enter(admission)
    admission.leave()
    await queued


async def test_nobody_overtakes_the_queue():
    admission = Admission(1, 2)
    await enter(admission)
    [queued] = await waiting(admission, 1)
    admission.leave()
    assert not admission.try_enter()
    await queued


async def test_who_gives_up_waiting_leaves_the_queue():
    admission = Admission(1, 1)
    await enter(admission)
    [impatient] = await waiting(admission, 1)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    assert admission.queued == 0
    admission.leave()
    assert admission.try_enter()


async def test_a_place_given_to_who_gives_up_in_that_moment_is_not_lost():
    admission = Admission(1, 1)
    await enter(admission)
    [impatient] = await waiting(admission, 1)
    admission.leave()
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    assert admission.try_enter()


@asynccontextmanager
async def small_shop() -> AsyncIterator[Shop]:
    """Serve services with one place and a queue of one each."""
    async with shop(settings={"max_in_flight": 1, "max_queue": 1}) as served:
        yield served


async def test_an_overloaded_service_serves_what_it_took_and_refuses_the_rest():
    async with small_shop() as served:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def linger() -> None:
            begun.set()
            await finish.wait()

        served.orders.act = linger
        headers = served.customer
        taken = [served.order.GetOrder(GET, metadata=headers)]
        await begun.wait()
        taken.append(served.order.GetOrder(GET, metadata=headers))
        await queued(served, 1)
        with refused("RESOURCE_EXHAUSTED", "OVERLOADED"):
            await served.order.GetOrder(GET, metadata=headers)
        finish.set()
        await asyncio.gather(*taken)


async def queued(served: Shop, count: int) -> None:
    """Wait until so many calls of order wait."""
    [order] = [hosted for hosted in served.host._hosted if hosted.service.name == "order"]
    await until(lambda: order.guards.admission.queued == count)


async def test_an_open_stream_holds_no_place():
    async with small_shop() as served:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def linger() -> None:
            begun.set()
            await finish.wait()

        served.orders.act = linger
        watching = served.order.WatchOrder(WATCH, metadata=served.customer)
        assert (await watching.read()).version == 1
        await begun.wait()
        served.orders.act = succeed
        await served.order.GetOrder(GET, metadata=served.customer)
        finish.set()


async def test_services_of_one_process_call_each_other_with_one_place_each():
    async with small_shop() as served:
        catalog = served.runtimes["order"].stub(CatalogServiceStub)

        async def ask_catalog() -> None:
            await catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))

        served.orders.act = ask_catalog
        await served.order.GetOrder(GET, metadata=served.customer)
