"""Spans as a collector gets them: one trace from a call over a neighbour and the outbox to a consumer."""

import asyncio
from dataclasses import replace

import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.order.v1.order_events_pb2 import OrderConfirmed, OrderPlaced
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis import outbox
from services.chassis.batch import Gathered
from services.chassis.database import Database
from services.chassis.dead_letters import DeadLetters, redriven_headers
from services.chassis.errors import DomainError, Kind
from services.chassis.spans import SpanSink
from services.chassis.tracing import NO_SPANS, Tracing, following, outgoing
from tests.chassis.eventing import consumer, eventually, make_tables, relay, write
from tests.chassis.shop import GET, ID, shop
from tests.support.events import delivery
from tests.support.serving import refusal_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00"
SUBJECT = "meshmart.order.v1.OrderPlaced.7"


class Gone(DomainError):
    kind = Kind.NOT_FOUND
    reason = "GONE"


class Exported:
    """What was exported so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def __call__(self):
        """Return it by kind and name."""
        return {(span.kind.name, span.name): span for span in self.all()}

    def all(self):
        """Return all of it."""
        return self._exporter.get_finished_spans()


@pytest.fixture
def exported(monkeypatch):
    """Return what is exported; services export to memory."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(SpanSink, "otlp", classmethod(lambda cls, _: cls(SimpleSpanProcessor(exporter))))
    return Exported(exporter)


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


async def test_one_trace_spans_outbox_broker_and_consumer_and_a_redriven_event_links_to_it(
    nats, database_url, tracing, exported, monkeypatch
):
    monkeypatch.setattr("services.chassis.retries.FAILURES", 1)
    url, broken = make_tables(await database_url()), [True]
    heard: asyncio.Queue[str] = asyncio.Queue()
    letters, admin = DeadLetters.of("payment"), await nats.connect()

    async def handle(delivery):
        heard.put_nowait(outgoing())
        if broken:
            raise RuntimeError("a bug")

    async def parked():
        return (await admin.jetstream().stream_info(letters.stream_name)).state.messages

    async with (
        Database(url, name="test") as database,
        relay(nats, url, tracing=tracing.service("order")),
        consumer(nats, handle, tracing=tracing.service("payment")),
    ):
        with following(SAMPLED):
            await write(database, OrderConfirmed(), ID)
        assert (await heard.get())[3:35] == TRACE_ID
        await eventually(parked, 1)
        first = exported()
        broken.clear()
        letter = await admin.jetstream().get_msg(letters.stream_name, seq=1)
        headers = redriven_headers(letter.headers, 1)
        await admin.jetstream().publish(f"{letters.redriven}.OrderConfirmed", b"", headers=headers)
        assert (await heard.get())[3:35] != TRACE_ID
    await admin.close()

    publish = ("PRODUCER", "publish meshmart.order.v1.OrderConfirmed")
    process = ("CONSUMER", "process meshmart.order.v1.OrderConfirmed")
    assert _parents(first) == {publish: SPAN_ID, process: publish}
    [redriven] = [span for span in exported.all() if span.name == "process meshmart.redriven.payment.OrderConfirmed"]
    assert (redriven.parent, _linked(redriven)) == (None, [f"{first[publish].context.span_id:016x}"])


def _linked(span):
    """Return the span ids that a span links to."""
    return [f"{link.context.span_id:016x}" for link in span.links]


def test_an_event_that_is_handled_much_later_begins_a_trace_that_links_to_its_own(tracing, exported):
    with tracing.service("payment").consuming(SUBJECT, "E", "1", SAMPLED, linked=True):
        handled = outgoing()

    [span] = exported().values()
    assert (span.parent, _linked(span)) == (None, [SPAN_ID])
    assert handled[3:35] == f"{span.context.trace_id:032x}" != TRACE_ID


async def test_a_batch_is_one_span_that_links_to_each_event(tracing, exported):
    service, written = tracing.service("analytics"), []

    async def apply(batch):
        written.append(outgoing())

    async def handle(traceparent):
        with service.consuming(SUBJECT, "E", "1", traceparent):
            await gathered.handle(replace(delivery(OrderPlaced()), traceparent=traceparent, tracing=service))

    gathered = Gathered(apply)
    others = [SAMPLED.replace(SPAN_ID, f"{number:016x}") for number in (1, 2)]
    await asyncio.gather(*map(handle, [*others, UNSAMPLED]))

    spans = exported.all()
    processed = [f"{span.context.span_id:016x}" for span in spans if span.kind.name == "CONSUMER"]
    [batch] = [span for span in spans if span.name == "write test"]
    assert (batch.parent, sorted(_linked(batch))) == (None, sorted(processed))
    assert written == [f"00-{batch.context.trace_id:032x}-{batch.context.span_id:016x}-01"]


def test_later_work_of_what_is_not_sampled_makes_no_span(tracing, exported):
    with tracing.service("notification").linked("send mail", [UNSAMPLED]):
        assert outgoing() == UNSAMPLED
    with tracing.service("analytics").linked("write batch", [UNSAMPLED, UNSAMPLED]):
        assert outgoing()[3:35] != TRACE_ID
    with NO_SPANS.linked("send mail", [SAMPLED]):
        assert outgoing() == SAMPLED

    assert exported() == {}


@pytest.mark.parametrize("context", ["publishing", "consuming"])
def test_a_message_that_is_not_sampled_makes_no_span(tracing, exported, context):
    with getattr(tracing.service("order"), context)(SUBJECT, "E", "1", UNSAMPLED):
        pass

    assert exported() == {}
