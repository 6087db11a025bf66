"""Trace context in and out of every call and message. What is not sampled makes no span and loads no OpenTelemetry."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits, random
from typing import TYPE_CHECKING, Any, Final

from services.chassis.call import current_call
from services.chassis.contract import MethodContract

if TYPE_CHECKING:
    import grpc

    from services.chassis.settings import ProcessSettings
    from services.chassis.spans import Spans, SpanSink

HEADER: Final = "traceparent"
_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_LENGTH: Final = 55
_ODD: Final = frozenset("13579bdf")
_CLOSE_SECONDS: Final = 3.0

Behaviour = Callable[[Any, Any], Any]
"""What serves a call: takes the request (or their iterator) and the servicer context."""

_background: ContextVar[str] = ContextVar("meshmart_traceparent", default="")


def new_traceparent() -> str:
    """Return the context of a new trace, not sampled."""
    return f"00-{getrandbits(128) or 1:032x}-{getrandbits(64) or 1:016x}-00"


def is_sampled(traceparent: str) -> bool:
    """Return whether a trace context carries the sampled flag."""
    return traceparent[_LENGTH - 1 : _LENGTH] in _ODD


def outgoing() -> str:
    """Return the trace context to hand on: of the call being served, else of the saga or event, else a new one."""
    call = current_call()
    if call is not None:
        return call.traceparent
    return _background.get() or new_traceparent()


@contextmanager
def following(traceparent: str) -> Iterator[None]:
    """Make work outside a served call, such as a saga, part of a trace. The calls it makes hand the trace on."""
    spans = sys.modules.get("services.chassis.spans")  # loaded only where spans are exported
    token = _background.set(traceparent)
    try:
        with spans.parent(traceparent) if spans and is_sampled(traceparent) else nullcontext():
            yield
    finally:
        _background.reset(token)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Decides whether a call is traced here."""

    enabled: bool
    """Whether there is anywhere to send spans to."""
    ratio: float

    def begin(self, header: str | None) -> tuple[str, bool]:
        """Return the trace context of a call that came with a `traceparent` header, and whether to trace it here."""
        if header is not None and _FORM.fullmatch(header):
            traceparent = header if len(header) == _LENGTH else f"00{header[2:_LENGTH]}"
            return traceparent, self.enabled and is_sampled(traceparent)
        return new_traceparent(), self.enabled and random() < self.ratio  # noqa: S311  # a sample, not a secret


class ServiceTracing:
    """Makes the spans of one service. Where nothing is exported, each of these does nothing."""

    def __init__(self, spans: "Spans | None") -> None:
        """Make spans, if there is anywhere to send them."""
        self._spans = spans

    async def server(self, method: MethodContract, behaviour: Behaviour) -> Behaviour | None:
        """Return the behaviour inside a server span; made once per method, run only for calls that are sampled.

        Inside, `current_traceparent` is the span's. None where nothing is exported.
        """
        return await self._spans.server(method, behaviour) if self._spans else None

    def client_interceptors(self) -> "Sequence[grpc.aio.ClientInterceptor]":
        """Return the interceptors of the channel that only sampled calls go through."""
        return self._spans.client_interceptors() if self._spans else ()

    def publishing(self, subject: str, event_type: str, event_id: str, traceparent: str) -> AbstractContextManager[str]:
        """Return a context that makes the span of a publish; it gives the trace context to send with the event."""
        if self._spans is None or not is_sampled(traceparent):
            return _Same(traceparent)
        return self._spans.publishing(subject, event_type, event_id, traceparent)

    def consuming(
        self, subject: str, event_type: str, event_id: str, traceparent: str, *, linked: bool = False
    ) -> AbstractContextManager[object]:
        """Return a context that makes the span of handling an event; calls made inside belong to its trace.

        With `linked` it begins a trace of its own that links to the event's: the event is handled much later.
        """
        if self._spans is None or not is_sampled(traceparent):
            return following(traceparent)
        return self._spans.consuming(subject, event_type, event_id, traceparent, linked=linked)

    def linked(self, name: str, traceparents: Sequence[str]) -> AbstractContextManager[object]:
        """Return a context that makes the span of later work, or of work for many: a trace that links to theirs.

        `with tracing.linked("write batch", [...]):`. Calls made inside belong to the new trace.
        """
        sampled = [traceparent for traceparent in traceparents if is_sampled(traceparent)]
        if self._spans is None or not sampled:
            return following(traceparents[0] if len(traceparents) == 1 else new_traceparent())
        return self._spans.linked(name, sampled)


NO_SPANS: Final = ServiceTracing(None)
"""Makes none."""


class _Same(AbstractContextManager[str]):
    """A context that gives what it was given."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __enter__(self) -> str:
        return self._value

    def __exit__(self, *_: object) -> None:
        return None


class Tracing:
    """Tracing of one process."""

    def __init__(self, ratio: float = 0.0, sink: "SpanSink | None" = None) -> None:
        """Send spans to a sink; without one nothing is traced here, but contexts are still handed on."""
        self.sampler = Sampler(sink is not None, ratio)
        self._sink = sink

    @classmethod
    def of(cls, settings: "ProcessSettings") -> "Tracing":
        """Return the tracing that the settings ask for. OpenTelemetry is imported only where they name an endpoint."""
        if not settings.otlp_endpoint:
            return cls()
        from services.chassis.spans import SpanSink  # noqa: PLC0415  # 15 MB that most processes do not need

        return cls(settings.sampler_ratio, SpanSink.otlp(settings.otlp_endpoint))

    def service(self, name: str) -> ServiceTracing:
        """Return what makes the spans of one service."""
        return ServiceTracing(self._sink.spans(name) if self._sink else None)

    async def close(self) -> None:
        """Send what is left, for as long as that is worth waiting for."""
        if self._sink:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(self._sink.close), _CLOSE_SECONDS)


def current_traceparent() -> str:
    """Return the trace context of the current span. Only inside a behaviour that `ServiceTracing.server` made."""
    from services.chassis.spans import current_traceparent as of_span  # noqa: PLC0415  # likewise

    return of_span()
