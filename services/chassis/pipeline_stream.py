"""Serves streams, either way or both. They have an idle timeout and a maximum age instead of a deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from services.chassis.entry import Plain
from services.chassis.exchange import Context, Guards, Inbound, open_call, read_request, refuse, refuse_late
from services.chassis.methods import Method
from services.chassis.streams import StreamTimer

Converse = Callable[[Any, StreamTimer, Context], Awaitable[bytes | None]]


def streaming(method: Method, guards: Guards) -> Plain:
    """Return what serves a method that streams its requests, its responses, or both."""
    contract = method.contract
    report = guards.reporter(contract)
    authorize = guards.authenticator.gate(contract.access)
    converse = _converse(method)

    async def serve(incoming: Any, context: Context, inbound: Inbound) -> bytes | None:
        started = report.began()
        call = open_call(contract, context, inbound, contract.max_age)
        try:
            refuse_late(call)
            call.principal = await authorize(inbound.headers.get("authorization"))
            with guards.streams.one():
                async with StreamTimer(contract, call.deadline) as timer:
                    reply = await converse(incoming, timer, context)
        except asyncio.CancelledError:
            report.cancelled(call, started)
            raise
        except Exception as error:  # noqa: BLE001  # this is where every error becomes an answer
            await refuse(report, call, context, started, error)
        report.done(call, started)
        return reply

    return serve


def _converse(method: Method) -> Converse:
    request_of = _requests if method.contract.client_streaming else _request
    handler, serialize = method.handler, method.serialize

    async def one_response(incoming: Any, timer: StreamTimer, context: Context) -> bytes:
        return serialize(await handler(request_of(method, incoming, timer), context))

    async def many_responses(incoming: Any, timer: StreamTimer, context: Context) -> None:
        async with aclosing(handler(request_of(method, incoming, timer), context)) as responses:
            async for response in responses:
                await context.write(serialize(response))
                timer.heard()

    return many_responses if method.contract.server_streaming else one_response


def _request(method: Method, incoming: bytes, _: StreamTimer) -> Message:
    return read_request(method, incoming)


async def _requests(method: Method, incoming: AsyncIterator[bytes], timer: StreamTimer) -> AsyncIterator[Message]:
    async for data in incoming:
        timer.heard()
        yield read_request(method, data)
