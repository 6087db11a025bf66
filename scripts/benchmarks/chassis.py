"""A unary call through the whole chassis against bare grpc.aio, interleaved on the same machine.

Four processes: a bare server and client, a chassis server and client. The same generated method with the same
messages; the chassis's calls carry a token, a deadline and a trace, and are validated, counted and logged.
One pair works at a time, for a second, in turns.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import grpc
import jwt
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from meshmart.common.v1 import money_pb2
from meshmart.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from meshmart.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from services.chassis import auth
from services.chassis.call import Call, Principal, _current
from services.chassis.channel import Channel
from services.chassis.contract import method_contract
from services.chassis.host import Host
from services.chassis.metrics import Metrics
from services.chassis.service import Components, Service, Servicer
from services.chassis.settings import ProcessSettings, StatelessSettings
from services.chassis.tracing import new_traceparent

IN_FLIGHT = 32
TARGET = 0.60
ORDER_ID = "0198c0de-0000-7000-8000-000000000000"
REPLY = order_service_pb2.GetOrderResponse(
    order=order_pb2.Order(
        id=ORDER_ID,
        customer_id=ORDER_ID,
        state=order_pb2.Order.STATE_CONFIRMED,
        lines=[
            order_pb2.OrderLine(
                product_id=ORDER_ID,
                display_name="Kettle, 1.7 litres",
                quantity=1,
                unit_price=money_pb2.Money(currency_code="EUR", minor_units=2_999),
            )
        ]
        * 3,
    )
)
KEY = ec.derive_private_key(42, ec.SECP256R1())

Run = Callable[[order_service_pb2.GetOrderRequest], Awaitable[object]]


class Orders(order_service_pb2_grpc.OrderServiceServicer):
    """Answers at once."""

    async def GetOrder(self, request: Any, context: Any) -> order_service_pb2.GetOrderResponse:
        """Return always the same order."""
        return REPLY


class Identity(identity_service_pb2_grpc.IdentityServiceServicer):
    """Publishes the key of the benchmark's token."""

    async def GetJsonWebKeySet(self, request: Any, context: Any) -> identity_service_pb2.GetJsonWebKeySetResponse:
        """Return the key."""
        key = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        return identity_service_pb2.GetJsonWebKeySetResponse(
            keys=[{**key, "kid": "benchmark", "alg": "ES256", "use": "sig"}]  # type: ignore[list-item]  # a dict will do
        )


async def serve_bare() -> None:
    """Serve with grpc.aio and nothing else."""
    server = grpc.aio.server()
    order_service_pb2_grpc.add_OrderServiceServicer_to_server(cast("Any", Orders)(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"grpc_port": port}), flush=True)
    await server.wait_for_termination()


async def serve_chassis() -> None:
    """Serve through the chassis, which says where in its first log line."""
    services = [
        _service("order", order_service_pb2_grpc.add_OrderServiceServicer_to_server, cast("Any", Orders)()),
        _service("identity", identity_service_pb2_grpc.add_IdentityServiceServicer_to_server, cast("Any", Identity)()),
    ]
    process = ProcessSettings(grpc_listen="127.0.0.1:0", http_listen="127.0.0.1:0", connection_max_age=3600)
    async with Host(services, process, {service.name: StatelessSettings() for service in services}):
        await asyncio.Event().wait()


def _service(name: str, add: Callable[[Any, Any], None], servicer: object) -> Service:
    return Service(
        name=name,
        index=0,
        settings=StatelessSettings,
        build=lambda _: Components(servicers=(Servicer(add, servicer),)),
        has_database=False,
    )


async def call_bare(port: int) -> None:
    """Call with a plain stub, as often as told to."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        await _obey(stub.GetOrder)


async def call_chassis(port: int) -> None:
    """Call as a service does that is itself serving a customer's call."""
    channel = Channel("order", f"127.0.0.1:{port}", lambda path: Metrics().client_method("benchmark", path))
    stub = order_service_pb2_grpc.OrderServiceStub(cast("grpc.aio.Channel", channel))
    contract = method_contract("/meshmart.order.v1.OrderService/GetOrder")
    _current.set(Call(contract, _principal(), time.monotonic() + 3600, new_traceparent(), sampled=False))
    await _obey(stub.GetOrder)
    await channel.close()


def _principal() -> Principal:
    claims = {"iss": auth.ISSUER, "aud": auth.AUDIENCE, "sub": ORDER_ID, "sid": ORDER_ID, "role": "customer"}
    token = jwt.encode({**claims, "exp": time.time() + 3600}, KEY, "ES256", {"kid": "benchmark"})
    return Principal(ORDER_ID, ORDER_ID, "customer", token)


async def _obey(run: Run) -> None:
    """Make calls for as many seconds as each line of standard input says; print how many were made a second."""
    for line in sys.stdin:
        print(await _rate(run, float(line)), flush=True)


async def _rate(run: Run, seconds: float) -> float:
    begin = time.perf_counter()
    counts = await asyncio.gather(*(_repeat(run, begin + seconds) for _ in range(IN_FLIGHT)))
    return sum(counts) / (time.perf_counter() - begin)


async def _repeat(run: Run, end: float) -> int:
    request, count = order_service_pb2.GetOrderRequest(order_id=ORDER_ID), 0
    while time.perf_counter() < end:
        await run(request)
        count += 1
    return count


ROLES: dict[str, Callable[..., Awaitable[None]]] = {
    "serve-bare": serve_bare,
    "serve-chassis": serve_chassis,
    "call-bare": call_bare,
    "call-chassis": call_chassis,
}


@contextmanager
def _process(role: str, *arguments: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "scripts.benchmarks.chassis", role, *arguments]
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


def _port(log: Path) -> int:
    """Wait for a server's first line, which says where it listens."""
    for _ in range(200):
        if "\n" in (text := log.read_text()):
            return int(json.loads(text.splitlines()[0])["grpc_port"])
        time.sleep(0.05)
    raise TimeoutError(f"no server: {log.read_text()}")


def _pair(kind: str, folder: Path, stack: ExitStack) -> "subprocess.Popen[str]":
    """Start a server and return its client."""
    log = folder / f"{kind}.log"
    output: IO[str] = stack.enter_context(log.open("w"))
    stack.enter_context(_process(f"serve-{kind}", stdout=output))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return stack.enter_context(_process(f"call-{kind}", str(_port(log)), **pipes))


def _ask(client: "subprocess.Popen[str]", seconds: float) -> float:
    assert client.stdin is not None  # noqa: S101  # it is a pipe
    assert client.stdout is not None  # noqa: S101  # likewise
    print(seconds, file=client.stdin, flush=True)
    return float(client.stdout.readline())


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Return the rates of both kinds and their ratio, by medians over interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        clients = {kind: _pair(kind, Path(folder), stack) for kind in ("bare", "chassis")}
        for client in clients.values():
            _ask(client, seconds)
        rates = [{kind: _ask(client, seconds) for kind, client in clients.items()} for _ in range(rounds)]
    bare, chassis = (statistics.median(rate[kind] for rate in rates) for kind in ("bare", "chassis"))
    return {
        "benchmark": "chassis_unary",
        "ratio": round(chassis / bare, 3),
        "target": TARGET,
        "bare_calls_per_second": round(bare),
        "chassis_calls_per_second": round(chassis),
        "rounds": rounds,
    }


def main() -> int:
    """Measure, print one line of JSON and one for people; fail below the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    result = measure(options.rounds, options.seconds)
    print(json.dumps(result))
    print(
        f"a unary call through the chassis: {result['ratio']:.0%} of bare grpc.aio's calls/s "
        f"({result['chassis_calls_per_second']} of {result['bare_calls_per_second']}), at least {TARGET:.0%} wanted"
    )
    return 0 if result["ratio"] >= TARGET else 1


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        uvloop.run(cast("Any", ROLES[sys.argv[1]](*map(int, sys.argv[2:]))))
    else:
        sys.exit(main())
