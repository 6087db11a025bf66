"""The trace of a mail: one of its own, for it may go out long after, which links to where its event was handled."""

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis.spans import SpanSink
from services.chassis.tracing import following
from tests.notification.catcher import MailCatcher
from tests.notification.conftest import OpenDesk, smtp

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.fixture
def exported(monkeypatch) -> InMemorySpanExporter:
    """Return what is exported; the service exports to memory."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(SpanSink, "otlp", classmethod(lambda cls, _: cls(SimpleSpanProcessor(exporter))))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    return exporter


async def test_the_trace_of_a_mail_links_to_its_events(open_desk: OpenDesk, catcher: MailCatcher, exported):
    post = await open_desk(**smtp(catcher))
    with following(SAMPLED):
        await post.hear(post.confirmed())
    await post.settled()

    spans = {span.name: span for span in exported.get_finished_spans()}
    sending, asking = spans["send notification"], spans["/meshmart.identity.v1.IdentityService/GetContact"]
    [link] = sending.links
    trace_id = f"{sending.context.trace_id:032x}"
    [[published]] = await post.database.all("SELECT traceparent FROM outbox")
    assert (sending.parent, f"{link.context.trace_id:032x}-{link.context.span_id:016x}") == (
        None,
        f"{TRACE_ID}-{SPAN_ID}",
    )
    assert asking.parent.span_id == sending.context.span_id
    assert published == f"00-{trace_id}-{sending.context.span_id:016x}-01"
    assert trace_id != TRACE_ID
