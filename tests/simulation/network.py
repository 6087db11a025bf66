"""Calls between processes: requests and answers are lost, doubled and slow, and both ends may be gone by then."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from services.chassis.call import Principal
from services.chassis.contract import method_contract
from services.chassis.neighbour_errors import NeighbourCallError
from services.chassis.status import refusal_of
from tests.simulation.links import Chance
from tests.simulation.loop import Loop, Scheduler

Answer = Callable[[bytes | Exception], None]


class Server(Protocol):
    """A process that serves calls."""

    loop: Loop

    def serve(self, path: str, request: Message, principal: Principal | None, answer: Answer) -> None:
        """Begin to serve a call."""


class Network:
    """Carries calls to one of the processes of a service."""

    def __init__(self, scheduler: Scheduler, chance: Chance, servers: Callable[[str], Sequence[Server]]) -> None:
        """Keep who serves: the living processes of a service, paused or not."""
        self._scheduler, self._chance, self._servers = scheduler, chance, servers

    async def call(self, path: str, request: Message, principal: Principal | None = None) -> bytes:
        """Make a call and return the bytes of its answer. Raises grpc.aio.AioRpcError."""
        contract = method_contract(path)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        answer = partial(self._answer, future, contract.service)
        timer = loop.call_later(
            contract.timeout, partial(_settle, future, _error(contract.service, grpc.StatusCode.DEADLINE_EXCEEDED))
        )
        self._send(contract.service, path, request, principal, answer)
        if self._chance.doubled():
            self._send(contract.service, path, request, principal, answer)
        try:
            return await future
        finally:
            timer.cancel()

    def _send(self, service: str, path: str, request: Message, principal: Principal | None, answer: Answer) -> None:
        self._chance.under_way += 1
        self._scheduler.after(self._chance.delay(), partial(self._arrive, service, path, request, principal, answer))

    def _arrive(self, service: str, path: str, request: Message, principal: Principal | None, answer: Answer) -> None:
        self._chance.under_way -= 1
        servers = self._servers(service)
        if self._chance.refused():
            if self._chance.random.random() < 0.5:  # else it is lost, and nobody hears of it
                answer(_error(service, grpc.StatusCode.UNAVAILABLE))
        elif not servers:
            answer(_error(service, grpc.StatusCode.UNAVAILABLE))
        else:
            server = self._chance.random.choice(servers)
            server.loop.call_soon(server.serve, path, request, principal, answer)

    def _answer(self, future: "asyncio.Future[bytes]", service: str, result: bytes | Exception) -> None:
        if not self._chance.unanswered():
            if isinstance(result, Exception) and not isinstance(result, grpc.aio.AioRpcError):
                result = _refused(service, result)
            self._scheduler.after(self._chance.delay(), partial(_settle, future, result))


def _settle(future: "asyncio.Future[bytes]", result: bytes | Exception) -> None:
    if future.done() or future.get_loop().is_closed():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _refused(service: str, error: Exception) -> grpc.aio.AioRpcError:
    """Return what the caller sees of an exception that ended its call."""
    refusal = refusal_of(error)
    return _error(service, refusal.code, refusal.trailers, refusal.message)


def _error(
    service: str, code: grpc.StatusCode, trailers: Sequence[tuple[str, bytes]] = (), details: str = ""
) -> grpc.aio.AioRpcError:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=details)
    return NeighbourCallError(service, error)


class Channel:
    """What generated stubs make their calls on."""

    def __init__(self, network: Network) -> None:
        """Keep the network."""
        self._network = network

    def unary_unary(self, path: str, *, response_deserializer: Callable[[bytes], Message], **_: Any) -> Any:
        """Return what makes unary calls."""

        async def call(request: Message) -> Message:
            return response_deserializer(await self._network.call(path, request))

        return call

    def stream_unary(self, path: str, **_: Any) -> None:
        """Return nothing: no stream is asked for."""

    unary_stream = stream_stream = stream_unary
