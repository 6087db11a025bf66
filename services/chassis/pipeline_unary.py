"""Serves unary calls. One closure per method: what can be known before the first call is."""

import asyncio
from collections.abc import Awaitable, Callable

from google.protobuf.message import Message

from services.chassis.call import Call
from services.chassis.deadline import TimeLimit
from services.chassis.entry import Plain
from services.chassis.exchange import Context, Guards, Inbound, open_call, read_request, refuse, refuse_late
from services.chassis.failpoints import around
from services.chassis.methods import Method
from services.chassis.replay import Handle, replaying


def unary(method: Method, guards: Guards) -> Plain:
    """Return what serves a method: bytes in, bytes out."""
    contract = method.contract
    report = guards.reporter(contract)
    answer = _answer(method, guards)

    async def serve(data: bytes, context: Context, inbound: Inbound) -> bytes:
        started = report.began()
        call = open_call(contract, context, inbound, contract.timeout)
        try:
            refuse_late(call)
            with TimeLimit(call.remaining()):
                reply = await answer(data, inbound.headers.get("authorization"), call, context)
        except asyncio.CancelledError:
            report.cancelled(call, started)
            raise
        except Exception as error:  # noqa: BLE001  # this is where every error becomes an answer
            await refuse(report, call, context, started, error)
        report.done(call, started)
        return reply

    return serve


def _answer(method: Method, guards: Guards) -> Callable[[bytes, str | None, Call, Context], Awaitable[bytes]]:
    authorize = guards.authenticator.gate(method.contract.access)
    admission = guards.admission
    handle = around(f"rpc.{{}}.{method.contract.full_name.rpartition('/')[2]}", _handle(method, guards))

    async def answer(data: bytes, authorization: str | None, call: Call, context: Context) -> bytes:
        call.principal = await authorize(authorization)
        request = read_request(method, data)
        if not admission.try_enter():
            await admission.wait()
        try:
            return await handle(request, context)
        finally:
            admission.leave()

    return answer


def _handle(method: Method, guards: Guards) -> Handle:
    handler, serialize = method.handler, method.serialize

    async def handle(request: Message, context: Context) -> bytes:
        return serialize(await handler(request, context))

    if method.contract.idempotent and guards.stored_reply:
        return replaying(handle, guards.stored_reply)
    return handle
