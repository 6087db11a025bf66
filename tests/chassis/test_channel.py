"""What goes with a call to a neighbour, and what comes back when it fails."""

import asyncio
import json

import grpc
import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest, GetProductRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub

from services.chassis import channel
from services.chassis.channel import service_config
from services.chassis.errors import DomainError, Kind
from services.chassis.neighbour_errors import NeighbourCallError, neighbour_error
from services.chassis.tracing import new_traceparent
from tests.chassis.shop import GET, ID, QUOTE, failing, served_call, shop
from tests.support.refusals import refused

PRODUCT = BatchGetProductsRequest(product_ids=[ID])


class ProductUnknown(DomainError):
    """There is no such product."""

    kind = Kind.NOT_FOUND
    reason = "PRODUCT_NOT_FOUND"


async def inner_call(served, **outer):
    """Let order call catalog, and return the call as catalog saw it."""
    catalog, seen = served.runtimes["order"].stub(CatalogServiceStub), []

    async def ask_catalog() -> None:
        await catalog.BatchGetProducts(PRODUCT)

    async def look() -> None:
        seen.append(served_call())

    served.orders.act, served.products.act = ask_catalog, look
    await served.order.QuoteOrder(QUOTE, **outer)
    return seen[0]


async def test_the_callers_token_goes_with_a_call_made_for_them(shop):
    call = await inner_call(shop, metadata=shop.customer)
    assert call.principal.role == "customer"


async def test_a_call_made_for_nobody_carries_no_token(shop):
    assert (await inner_call(shop)).principal is None


async def test_the_trace_goes_with_each_call(shop):
    traceparent = new_traceparent()
    assert (await inner_call(shop, metadata=(("traceparent", traceparent),))).traceparent == traceparent


async def test_a_call_from_a_saga_has_its_methods_timeout_and_no_token(shop):
    seen = []

    async def look() -> None:
        seen.append(served_call())

    shop.products.act = look
    await shop.runtimes["order"].stub(CatalogServiceStub).BatchGetProducts(PRODUCT)
    assert seen[0].principal is None
    assert 0.5 < seen[0].remaining() <= 1.0


async def test_a_refusal_of_a_neighbour_can_be_branched_on(shop):
    shop.products.act = failing(ProductUnknown("no such product", metadata={"product_id": ID}))
    with pytest.raises(NeighbourCallError) as caught:
        await shop.runtimes["order"].stub(CatalogServiceStub).BatchGetProducts(PRODUCT)
    refusal = neighbour_error(caught.value)
    assert refusal is not None
    assert (caught.value.neighbour, refusal.reason) == ("catalog", "PRODUCT_NOT_FOUND")
    assert refusal.metadata == {"product_id": ID}


async def test_a_neighbour_that_is_down_has_refused_nothing():
    addresses = {"identity": "127.0.0.1:1", "catalog": "127.0.0.1:1"}
    async with shop("order", addresses=addresses) as served:
        catalog = served.runtimes["order"].stub(CatalogServiceStub)
        with pytest.raises(NeighbourCallError) as caught:
            await catalog.BatchGetProducts(PRODUCT)
        assert neighbour_error(caught.value) is None

        async def ask_catalog() -> None:
            await catalog.BatchGetProducts(PRODUCT)

        served.orders.act = ask_catalog
        with refused("UNAVAILABLE", "NEIGHBOUR_UNAVAILABLE") as told:
            await served.order.QuoteOrder(QUOTE)
        assert told.metadata == {"neighbour": "catalog"}


async def test_a_call_is_cancelled_with_the_call_it_is_made_for(shop):
    catalog = shop.runtimes["order"].stub(CatalogServiceStub)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def ask_catalog() -> None:
        await catalog.BatchGetProducts(PRODUCT)

    async def linger() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    shop.orders.act, shop.products.act = ask_catalog, linger
    call = shop.order.GetOrder(GET, metadata=shop.customer)
    await begun.wait()
    call.cancel()
    await cancelled.wait()


def test_the_contracts_retries_are_kept_and_its_timeouts_left_to_the_calls(tmp_path, monkeypatch):
    retry = {"maxAttempts": 3}
    compiled = {"methodConfig": [{"name": [{"service": "a.B"}], "timeout": "1s", "retryPolicy": retry}]}
    (tmp_path / "service_config.json").write_text(json.dumps(compiled))
    monkeypatch.setattr(channel, "SERVICE_CONFIG", tmp_path / "service_config.json")
    assert json.loads(service_config()) == {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": [{"service": "a.B"}], "retryPolicy": retry}],
    }


async def test_a_read_is_tried_again_while_its_neighbour_is_unavailable(shop):
    attempts = []

    async def fail_once() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise NeighbourCallError(
                "x", grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
            )

    shop.products.act = fail_once
    await shop.runtimes["order"].stub(CatalogServiceStub).BatchGetProducts(PRODUCT)
    assert len(attempts) == 2


async def test_a_service_cannot_call_what_the_contract_does_not_allow_it(shop):
    catalog = shop.runtimes["order"].stub(CatalogServiceStub)

    with pytest.raises(LookupError, match=r"order calls .*GetProduct"):
        await catalog.GetProduct(GetProductRequest(product_id=ID))
