"""Services of one process call each other without a socket, and neither of them can tell."""

import asyncio
from contextvars import ContextVar

import grpc
import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub

from services.chassis.errors import DomainError, Kind
from services.chassis.neighbour_errors import neighbour_error
from services.chassis.refusals import DatabaseUnavailable
from tests.chassis.shop import ID

PRODUCTS = BatchGetProductsRequest(product_ids=[ID])
outside: ContextVar[str] = ContextVar("outside", default="")


class Gone(DomainError):
    """It was there."""

    kind = Kind.NOT_FOUND
    reason = "GONE"


@pytest.fixture
def catalog(shop):
    return shop.runtimes["order"].stub(CatalogServiceStub)


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value


async def test_a_refusal_is_the_same_as_over_a_socket(shop, catalog):
    async def refuse():
        raise Gone("gone", metadata={"id": "7"})

    shop.products.act = refuse

    within, over = (
        await failure(catalog.BatchGetProducts(PRODUCTS)),
        await failure(CatalogServiceStub(shop.channel).BatchGetProducts(PRODUCTS)),
    )

    assert neighbour_error(within) == neighbour_error(over)
    assert (within.code(), within.details()) == (over.code(), over.details())


async def test_the_callee_sees_nothing_of_its_callers_context(shop, catalog):
    seen = []

    async def look():
        seen.append(outside.get())

    shop.products.act = look
    outside.set("a secret of the caller")
    await catalog.BatchGetProducts(PRODUCTS)

    assert seen == [""]


async def test_a_caller_who_leaves_ends_the_call(shop, catalog):
    reached, ended = asyncio.Event(), asyncio.Event()

    async def wait():
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    shop.products.act = wait
    call = asyncio.create_task(catalog.BatchGetProducts(PRODUCTS))
    await reached.wait()
    call.cancel()

    await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_callee_that_is_unavailable_is_tried_again_as_the_contract_says(shop, catalog):
    attempts = []

    async def fail_at_first():
        attempts.append(1)
        if len(attempts) < 3:
            raise DatabaseUnavailable("away for a moment")

    shop.products.act = fail_at_first
    await catalog.BatchGetProducts(PRODUCTS)

    assert len(attempts) == 3


async def test_a_callee_that_hangs_is_left_at_the_callers_deadline(shop, catalog):
    shop.products.act = asyncio.Event().wait

    error = await failure(catalog.BatchGetProducts(PRODUCTS, timeout=0.05))

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
