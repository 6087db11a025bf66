"""A call that is traced is answered as any other, whatever it streams."""

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis.errors import DomainError, Kind
from services.chassis.spans import SpanSink
from tests.chassis.shop import GET, IMPORT, WATCH, failing, served_call, shop
from tests.support.refusals import refused


class TooLate(DomainError):
    """The order was sent."""

    kind = Kind.FAILED_PRECONDITION
    reason = "TOO_LATE"


@pytest.fixture
async def traced(monkeypatch):
    """Return a shop that traces every call, and what it exports."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(SpanSink, "otlp", classmethod(lambda cls, _: cls(SimpleSpanProcessor(exporter))))
    async with shop(otlp_endpoint="http://127.0.0.1:1", sampler_ratio=1.0) as served:
        yield served, lambda: [span.name.rpartition("/")[2] for span in exporter.get_finished_spans()]


async def test_a_stream_of_responses_is_traced(traced):
    served, spans = traced
    seen = []

    async def look() -> None:
        seen.append(served_call())

    served.orders.act = look
    call = served.order.WatchOrder(WATCH, metadata=served.customer)
    assert [message.version async for message in call] == [1, 2]
    assert seen[0].sampled
    assert "WatchOrder" in spans()


async def test_a_stream_of_requests_is_traced(traced):
    served, spans = traced
    reply = await served.catalog.ImportProducts(iter([IMPORT, IMPORT]), metadata=served.staff)
    assert reply.created_count == 2
    assert "ImportProducts" in spans()


async def test_a_failure_of_a_traced_call_is_told_as_any_other(traced):
    served, spans = traced
    served.orders.act = served.products.act = failing(TooLate("it was sent"))
    with refused("FAILED_PRECONDITION", "TOO_LATE"):
        await served.order.GetOrder(GET, metadata=served.customer)
    with refused("FAILED_PRECONDITION", "TOO_LATE"):
        async for _ in served.order.WatchOrder(WATCH, metadata=served.customer):
            pass
    with refused("FAILED_PRECONDITION", "TOO_LATE"):
        await served.catalog.ImportProducts(iter([IMPORT]), metadata=served.staff)
    assert {"GetOrder", "WatchOrder", "ImportProducts"} <= set(spans())
