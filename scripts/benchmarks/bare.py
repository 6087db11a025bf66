"""The yardstick: a bare unary call of grpc.aio under uvloop, client and server each in a process of its own."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import grpc
import uvloop
from meshmart.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from scripts.benchmarks.machine import cpu_seconds

IN_FLIGHT = 16
ORDER_ID = "0198c0de-0000-7000-8000-000000000000"
REPLY = order_service_pb2.GetOrderResponse(order=order_pb2.Order(id=ORDER_ID, customer_id=ORDER_ID))


class Orders(order_service_pb2_grpc.OrderServiceServicer):
    """Answers at once."""

    async def GetOrder(self, request: Any, context: Any) -> order_service_pb2.GetOrderResponse:
        """Return always the same order."""
        return REPLY


async def _serve(pipe: Connection) -> None:
    server = grpc.aio.server()
    order_service_pb2_grpc.add_OrderServiceServicer_to_server(Orders(), server)  # type: ignore[abstract]  # one method is enough
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


async def _call(pipe: Connection, port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        while count := await asyncio.to_thread(pipe.recv):
            await asyncio.gather(*(_repeat(stub, count // IN_FLIGHT) for _ in range(IN_FLIGHT)))
            pipe.send(count // IN_FLIGHT * IN_FLIGHT)


async def _repeat(stub: Any, count: int) -> None:
    for _ in range(count):
        await stub.GetOrder(order_service_pb2.GetOrderRequest(order_id=ORDER_ID))


def _server(pipe: Connection) -> None:
    uvloop.run(_serve(pipe))


def _client(pipe: Connection, port: int) -> None:
    uvloop.run(_call(pipe, port))


class Bare:
    """A pair of processes that call each other when asked to."""

    def __init__(self, client: Connection, pids: list[int]) -> None:
        """Keep the way to the client, and whose time counts."""
        self._client, self._pids = client, pids

    def cpu_per_call(self, calls: int) -> float:
        """Make calls and return the processor seconds of one, client and server together."""
        before = cpu_seconds(self._pids)
        self._client.send(calls)
        made: int = self._client.recv()
        return (cpu_seconds(self._pids) - before) / made


@contextmanager
def bare_pair() -> Iterator[Bare]:
    """Run the pair while the context lasts."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=_server, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    client_ours, client_theirs = spawn.Pipe()
    client = spawn.Process(target=_client, args=(client_theirs, port), daemon=True)
    client.start()
    try:
        bare = Bare(client_ours, [pid for pid in (server.pid, client.pid) if pid])
        bare.cpu_per_call(1600)
        yield bare
    finally:
        for process in (client, server):
            process.terminate()
            process.join()
