"""Spans of sampled calls and messages, by OpenTelemetry. Imported only where spans are exported."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, Self, cast

import grpc
from opentelemetry import context, trace
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis import tracing
from services.chassis.contract import MethodContract

_SCOPE: Final = "meshmart"
_EXPORT_SECONDS: Final = 2
_TRACE_ID: Final = slice(3, 35)
_propagator: Final = TraceContextTextMapPropagator()


class SpanSink:
    """Where the spans of all services of a process go."""

    def __init__(self, processor: SpanProcessor) -> None:
        """Hand finished spans to a processor."""
        self._processor = processor

    @classmethod
    def otlp(cls, endpoint: str) -> Self:
        """Return a sink that sends batches to an OTLP gRPC collector."""
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415  # tests need none of it
            OTLPSpanExporter,
        )

        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
        return cls(BatchSpanProcessor(exporter))

    def spans(self, service: str) -> "Spans":
        """Return what makes the spans of a service."""
        return Spans(service, self._processor)

    def close(self) -> None:
        """Send what is left. It blocks."""
        self._processor.shutdown()


class Spans:
    """Makes the spans of one service. Whether to make any is decided before: it is called for what is sampled."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        """Make spans whose resource is the service, also where several share a process."""
        resource = Resource({SERVICE_NAME: service, "service.namespace": "meshmart"})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_SCOPE)

    async def server(self, method: MethodContract, behaviour: tracing.Behaviour) -> tracing.Behaviour:
        """Return the behaviour inside a server span, made by the stock interceptor."""
        interceptor = aio_server_interceptor(tracer_provider=self._provider)  # type: ignore[no-untyped-call]
        handler = _handler(method, behaviour)

        async def plain(_: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return handler

        details = cast("grpc.HandlerCallDetails", SimpleNamespace(method=method.full_name, invocation_metadata=()))
        return _behaviour(await interceptor.intercept_service(plain, details))

    def client_interceptors(self) -> Sequence[grpc.aio.ClientInterceptor]:
        """Return the stock interceptors."""
        return cast(
            "Sequence[grpc.aio.ClientInterceptor]",
            aio_client_interceptors(tracer_provider=self._provider),  # type: ignore[no-untyped-call]
        )

    @contextmanager
    def publishing(self, subject: str, event_type: str, event_id: str, traceparent: str) -> Iterator[str]:
        """Make the span of a publish and give its context."""
        attributes = _messaging(subject, event_type, event_id, "send", "publish")
        with self._tracer.start_as_current_span(
            f"publish {_destination(subject)}", _parent(traceparent), SpanKind.PRODUCER, attributes
        ):
            yield current_traceparent()

    @contextmanager
    def consuming(
        self, subject: str, event_type: str, event_id: str, traceparent: str, *, linked: bool
    ) -> Iterator[None]:
        """Make the span of handling an event, or one that links to it; what happens inside belongs to it."""
        attributes = _messaging(subject, event_type, event_id, "process", "process")
        place, links = (context.Context(), _links([traceparent])) if linked else (_parent(traceparent), [])
        with (
            self._tracer.start_as_current_span(
                f"process {_destination(subject)}", place, SpanKind.CONSUMER, attributes, links
            ),
            tracing.following(current_traceparent()),
        ):
            yield

    @contextmanager
    def linked(self, name: str, traceparents: Sequence[str]) -> Iterator[None]:
        """Make a span that begins a trace and links to others; what happens inside belongs to it."""
        attributes = {"messaging.batch.message_count": len(traceparents)} if len(traceparents) > 1 else {}
        with (
            self._tracer.start_as_current_span(
                name, context.Context(), SpanKind.INTERNAL, attributes, _links(traceparents)
            ),
            tracing.following(current_traceparent()),
        ):
            yield


@contextmanager
def parent(traceparent: str) -> Iterator[None]:
    """Make the spans of what happens inside part of a trace, unless a span is current there already."""
    if current_traceparent()[_TRACE_ID] == traceparent[_TRACE_ID]:
        yield
        return
    token = context.attach(_parent(traceparent))
    try:
        yield
    finally:
        context.detach(token)


def current_traceparent() -> str:
    """Return the context of the current span."""
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 1:02x}"


def _parent(traceparent: str) -> context.Context:
    return _propagator.extract({tracing.HEADER: traceparent}, context.Context())


def _links(traceparents: Sequence[str]) -> list[trace.Link]:
    return [trace.Link(trace.get_current_span(_parent(each)).get_span_context()) for each in traceparents]


def _destination(subject: str) -> str:
    """Return the subject without its partition, if it has one, so that spans of one event share a name."""
    before, _, last = subject.rpartition(".")
    return before if last.isdecimal() else subject


def _messaging(subject: str, event_type: str, event_id: str, kind: str, name: str) -> dict[str, str]:
    """Return the attributes of OpenTelemetry's conventions for messaging."""
    partition = subject.removeprefix(_destination(subject)).lstrip(".")
    return {
        "messaging.system": "nats",
        "messaging.operation.type": kind,
        "messaging.operation.name": name,
        "messaging.destination.name": _destination(subject),
        **({"messaging.destination.partition.id": partition} if partition else {}),
        "messaging.message.id": event_id,
        "cloudevents.event_id": event_id,
        "cloudevents.event_type": event_type,
    }


def _handler(method: MethodContract, behaviour: tracing.Behaviour) -> grpc.RpcMethodHandler:
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return makers[method.client_streaming, method.server_streaming](behaviour)


def _behaviour(handler: Any) -> tracing.Behaviour:
    found = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return cast("tracing.Behaviour", found)
