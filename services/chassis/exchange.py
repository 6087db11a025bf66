"""What all kinds of calls have in common: how they begin, how their messages are read, how they end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from services.chassis import deadline
from services.chassis.auth import Authenticator
from services.chassis.call import Call, _current
from services.chassis.contract import MethodContract
from services.chassis.methods import Method
from services.chassis.overload import Admission
from services.chassis.refusals import DeadlineExceeded, MessageMalformed, MessageTooLarge
from services.chassis.replay import StoredReply
from services.chassis.reporting import Reporter
from services.chassis.status import refusal_of
from services.chassis.streams import OpenStreams
from services.chassis.tracing import Sampler, ServiceTracing
from services.chassis.validation import validate

MAX_REQUEST_BYTES = 1024 * 1024
"""Longest message a service reads. The transport takes more, so that the refusal can say why."""

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Guards:
    """What the calls of one service pass."""

    authenticator: Authenticator
    admission: Admission
    streams: OpenStreams
    reporter: Callable[[MethodContract], Reporter]
    sampler: Sampler
    tracing: ServiceTracing
    stored_reply: StoredReply | None = None
    """Looks the first answer to an idempotent request up; None without a database."""


class Inbound(NamedTuple):
    """What came with a call beside its message."""

    headers: Mapping[str, str]
    traceparent: str
    sampled: bool


def open_call(contract: MethodContract, context: Context, inbound: Inbound, longest: float) -> Call:
    """Begin a call: it is the current one from here on."""
    budget = deadline.inbound(context.time_remaining(), longest)
    call = Call(contract, None, time.monotonic() + budget, inbound.traceparent, inbound.sampled)
    _current.set(call)
    return call


def refuse_late(call: Call) -> None:
    """Raise DeadlineExceeded if the call's budget is spent before any work was done."""
    if call.remaining() <= 0.0:
        raise DeadlineExceeded("the call came after its deadline")


def read_request(method: Method, data: bytes) -> Message:
    """Return the message in the bytes, valid by the contract's rules."""
    if len(data) > MAX_REQUEST_BYTES:
        raise MessageTooLarge(f"the message has {len(data)} bytes, at most {MAX_REQUEST_BYTES} are read")
    try:
        request = method.parse(data)
    except DecodeError:
        raise MessageMalformed("the message is not what the contract names") from None
    validate(request)
    return request


async def refuse(report: Reporter, call: Call, context: Context, started: float, error: Exception) -> NoReturn:
    """End a call with what its caller is to know of an exception."""
    refusal = refusal_of(error)
    report.refused(call, started, refusal, error)
    await context.abort(refusal.code, refusal.message, refusal.trailers)
    raise AssertionError("abort raises")
