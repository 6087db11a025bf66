"""Spans as a collector gets them: one trace from a call over a neighbour and the outbox to a consumer."""

import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.order.v1.order_events_pb2 import OrderPlaced
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis import outbox
from services.chassis.errors import DomainError, Kind
from services.chassis.spans import SpanSink
from services.chassis.tracing import Tracing, following, outgoing
from tests.chassis.shop import GET, ID, shop
from tests.support.serving import refusal_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00"
SUBJECT = "meshmart.order.v1.OrderPlaced.7"


class Gone(DomainError):
    kind = Kind.NOT_FOUND
    reason = "GONE"


@pytest.fixture
def exported(monkeypatch):
    """Return what was exported so far, by name and kind; services export to memory."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(SpanSink, "otlp", classmethod(lambda cls, _: cls(SimpleSpanProcessor(exporter))))
    return lambda: {(span.kind.name, span.name): span for span in exporter.get_finished_spans()}


@pytest.fixture
def tracing(exported):
    return Tracing(ratio=1.0, sink=SpanSink.otlp("memory"))


@pytest.fixture
async def traced_shop(exported):
    async with shop(otlp_endpoint="http://127.0.0.1:1", sampler_ratio=0.0) as served:
        # Each fetches identity's keys once, which would be in the first trace.
        await served.order.GetOrder(GET, metadata=served.customer)
        await served.catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]), metadata=served.customer)
        yield served


def _headers(traceparent, *others):
    return (("traceparent", traceparent), *others)


def _parents(spans):
    """Return each span's parent: the name of another, or its bare id."""
    names = {span.context.span_id: name for name, span in spans.items()}
    return {
        name: names.get(span.parent.span_id, f"{span.parent.span_id:016x}") if span.parent else None
        for name, span in spans.items()
    }


async def test_one_trace_spans_call_neighbour_outbox_and_consumer(traced_shop, exported, tracing):
    catalog = traced_shop.runtimes["order"].stub(CatalogServiceStub)
    row = {}

    async def place():
        await catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))
        row.update(outbox.parameters(OrderPlaced(order_id=ID), ID))

    traced_shop.orders.act = place
    await traced_shop.order.GetOrder(GET, metadata=_headers(SAMPLED, *traced_shop.customer))
    with tracing.service("order").publishing(SUBJECT, "E", "1", row["event_traceparent"]) as published:
        pass
    with tracing.service("payment").consuming(SUBJECT, "E", "1", published):
        handled = outgoing()

    spans = exported()
    get_order = ("SERVER", "/meshmart.order.v1.OrderService/GetOrder")
    call = ("CLIENT", "/meshmart.catalog.v1.CatalogService/BatchGetProducts")
    publish = ("PRODUCER", "publish meshmart.order.v1.OrderPlaced")
    process = ("CONSUMER", "process meshmart.order.v1.OrderPlaced")
    assert _parents(spans) == {
        get_order: SPAN_ID,
        call: get_order,
        ("SERVER", call[1]): call,
        publish: get_order,
        process: publish,
    }
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE_ID}
    assert handled[36:52] == f"{spans[process].context.span_id:016x}"


async def test_spans_name_the_service_they_are_of_also_in_one_process(traced_shop, exported):
    await traced_shop.order.GetOrder(GET, metadata=_headers(SAMPLED, *traced_shop.customer))
    await traced_shop.catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]), metadata=_headers(SAMPLED))

    services = {name: span.resource.attributes["service.name"] for (_, name), span in exported().items()}
    assert services == {
        "/meshmart.order.v1.OrderService/GetOrder": "order",
        "/meshmart.catalog.v1.CatalogService/BatchGetProducts": "catalog",
    }


@pytest.mark.parametrize("header", [UNSAMPLED, None], ids=["unsampled", "absent"])
async def test_a_call_that_is_not_sampled_makes_no_span(traced_shop, exported, header):
    headers = _headers(header, *traced_shop.customer) if header else traced_shop.customer
    await traced_shop.order.GetOrder(GET, metadata=headers)

    assert exported() == {}


async def test_a_refusal_is_in_the_span(traced_shop, exported):
    async def refuse():
        raise Gone("gone")

    traced_shop.orders.act = refuse
    await refusal_of(traced_shop.order.GetOrder(GET, metadata=_headers(SAMPLED, *traced_shop.customer)))
    await traced_shop.drain()  # the refusal is on its way before the span ends

    [span] = exported().values()
    assert span.attributes["rpc.grpc.status_code"] == 5


async def test_a_call_that_we_sample_ourselves_is_a_trace_of_its_own(exported):
    seen = []

    async def look():
        seen.append(outgoing())

    async with shop(otlp_endpoint="http://127.0.0.1:1", sampler_ratio=1.0) as served:
        served.products.act = look
        await served.catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))

    [span] = exported().values()
    assert span.parent is None
    assert seen == [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"]


async def test_the_calls_of_a_saga_are_in_the_trace_it_follows(traced_shop, exported):
    catalog = traced_shop.runtimes["order"].stub(CatalogServiceStub)

    with following(SAMPLED):
        await catalog.BatchGetProducts(BatchGetProductsRequest(product_ids=[ID]))

    call = ("CLIENT", "/meshmart.catalog.v1.CatalogService/BatchGetProducts")
    assert _parents(exported()) == {call: SPAN_ID, ("SERVER", call[1]): call}


def test_spans_of_messages_say_what_the_conventions_ask(tracing, exported):
    with tracing.service("payment").consuming(SUBJECT, "meshmart.order.v1.OrderPlaced", "event-1", SAMPLED):
        pass

    [span] = exported().values()
    assert dict(span.attributes) == {
        "messaging.system": "nats",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "meshmart.order.v1.OrderPlaced",
        "messaging.destination.partition.id": "7",
        "messaging.message.id": "event-1",
        "cloudevents.event_id": "event-1",
        "cloudevents.event_type": "meshmart.order.v1.OrderPlaced",
    }


@pytest.mark.parametrize("context", ["publishing", "consuming"])
def test_a_message_that_is_not_sampled_makes_no_span(tracing, exported, context):
    with getattr(tracing.service("order"), context)(SUBJECT, "E", "1", UNSAMPLED):
        pass

    assert exported() == {}
