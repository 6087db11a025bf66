"""Where a call comes in: reads its headers once and decides whether it is traced."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from services.chassis.contract import MethodContract
from services.chassis.exchange import Context, Guards, Inbound
from services.chassis.tracing import HEADER, Behaviour, current_traceparent

_NOTHING: tuple[bytes, ...] = ()

Plain = Callable[[Any, Context, Inbound], Awaitable[bytes | None]]
Serve = Callable[[Any, Context], Awaitable[bytes | None]]


async def entry(contract: MethodContract, guards: Guards, plain: Plain) -> Serve:
    """Return what the server runs: `plain`, inside a span if the call is sampled."""
    begin = guards.sampler.begin
    traced = await _traced(contract, guards, plain)

    async def serve(incoming: Any, context: Context) -> bytes | None:
        headers = headers_of(context)
        traceparent, sampled = begin(headers.get(HEADER))
        if sampled and traced:
            return await traced(incoming, context)
        return await plain(incoming, context, Inbound(headers, traceparent, sampled=False))

    return serve


async def _traced(contract: MethodContract, guards: Guards, plain: Plain) -> Serve | None:
    async def in_span(incoming: Any, context: Context) -> bytes | None:
        return await plain(incoming, context, Inbound(headers_of(context), current_traceparent(), sampled=True))

    if not contract.server_streaming:
        return await guards.tracing.server(contract, in_span)
    iterated = await guards.tracing.server(contract, _as_iterator(in_span))
    return _exhausting(iterated) if iterated else None


def headers_of(context: Context) -> dict[str, str]:
    """Return what came beside the message; values of `-bin` headers are bytes, and nobody here asks for one."""
    return dict(context.invocation_metadata() or ())  # type: ignore[arg-type]


def _as_iterator(serve: Serve) -> Behaviour:
    """Return a stream of nothing: messages are written to the context, so that deadlines cover the writing too."""

    async def iterate(incoming: Any, context: Context) -> AsyncIterator[bytes]:
        await serve(incoming, context)
        for message in _NOTHING:
            yield message

    return iterate


def _exhausting(iterate: Behaviour) -> Serve:
    async def serve(incoming: Any, context: Context) -> None:
        async for _ in iterate(incoming, context):
            pass

    return serve
