"""Calls to neighbours: each with a deadline, the trace and the caller's token, without anyone asking for it.

grpc.aio's client interceptors would cost each call 13 to 21 %, so the channel wraps the callables that stubs ask for.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from services.chassis import deadline
from services.chassis.call import current_call
from services.chassis.contract import method_contract
from services.chassis.local import LocalCaller, LocalMethods, Metadata
from services.chassis.metrics import MethodMetrics
from services.chassis.neighbour_errors import NeighbourCallError
from services.chassis.refusals import DeadlineExceeded
from services.chassis.tracing import HEADER, is_sampled, outgoing

SERVICE_CONFIG = Path(__file__).parents[2] / "gen" / "mesh" / "service_config.json"
MAX_RESPONSE_BYTES = 8 * 1024 * 1024


class Channel:
    """A channel of one service to one neighbour, to be given to generated stubs. Only they call its methods."""

    def __init__(  # noqa: PLR0913  # built in one place, each named
        self,
        neighbour: str,
        address: str,
        metrics_of: Callable[[str], MethodMetrics],
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        *,
        health_name: str | None = None,
        caller: str | None = None,
        local: LocalMethods | None = None,
    ) -> None:
        """Connect when the first call is made. A `caller` may call only what the contract allows it.

        A neighbour of the same process is called through `local`.

        `metrics_of` returns the client metrics of a method by its path; sampled calls pass `interceptors`. Replicas
        that say NOT_SERVING of `health_name` get no calls: those that drain hear from us no more.
        """
        self._neighbour, self._metrics_of, self._caller, self._local = neighbour, metrics_of, caller, local
        options = channel_options(health_name)
        self._plain = grpc.aio.insecure_channel(address, options=options)
        self._traced = (
            grpc.aio.insecure_channel(address, options=options, interceptors=interceptors) if interceptors else None
        )

    def unary_unary(self, path: str, *args: Any, **kwargs: Any) -> "_Unary":
        """Return what makes unary calls."""
        return _Unary(self._outbound(path, "unary_unary", args, kwargs), self._neighbour, self._metrics_of(path))

    def stream_unary(self, path: str, *args: Any, **kwargs: Any) -> "_Unary":
        """Return what makes calls that stream their requests."""
        return _Unary(self._outbound(path, "stream_unary", args, kwargs), self._neighbour, self._metrics_of(path))

    def unary_stream(self, path: str, *args: Any, **kwargs: Any) -> "_Outbound":
        """Return what makes calls that stream their responses."""
        return self._outbound(path, "unary_stream", args, kwargs)

    def stream_stream(self, path: str, *args: Any, **kwargs: Any) -> "_Outbound":
        """Return what makes calls that stream both ways."""
        return self._outbound(path, "stream_stream", args, kwargs)

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        await self._plain.close()
        if self._traced:
            await self._traced.close()

    def _outbound(self, path: str, kind: str, args: Any, kwargs: Any) -> "_Outbound":
        contract = method_contract(path)
        if self._caller is not None and self._caller not in {*contract.callers, contract.service}:
            return _Forbidden(path, self._caller)
        plain = getattr(self._plain, kind)(path, *args, **kwargs)
        traced = getattr(self._traced, kind)(path, *args, **kwargs) if self._traced else None
        outbound = _Outbound(plain, traced, _timeout(path))
        if self._local is None or kind != "unary_unary":
            return outbound
        local = self._local.caller(path, kwargs["request_serializer"], kwargs["response_deserializer"])
        return _Local(outbound, local, retried=contract.idempotent or not contract.has_side_effects)


class _Outbound:
    """Begins calls: gives each its deadline, the trace, and the token of whom it is made for."""

    __slots__ = ("_plain", "_timeout", "_traced")

    def __init__(self, plain: Any, traced: Any, timeout: float) -> None:
        self._plain, self._traced, self._timeout = plain, traced, timeout

    def __call__(self, request: Any, *, timeout: float | None = None) -> Any:
        seconds, traceparent, token = self.terms(timeout)
        if self._traced and is_sampled(traceparent):
            return self._traced(request, timeout=seconds, metadata=token)
        return self._plain(request, timeout=seconds, metadata=((HEADER, traceparent), *token))

    def terms(self, timeout: float | None) -> tuple[float, str, Metadata]:
        """Return what a call that begins now gets: its seconds, the trace, and the token of whom it is made for."""
        call = current_call()
        longest = self._timeout if timeout is None else min(timeout, self._timeout)
        seconds = deadline.outbound(call.remaining() if call else None, longest)
        token: Metadata = (("authorization", f"Bearer {call.principal.token}"),) if call and call.principal else ()
        return seconds, outgoing(), token


class _Local(_Outbound):
    """Begins calls within the process. Sampled calls take the socket, where OpenTelemetry's interceptors are."""

    __slots__ = ("_local", "_retried", "_socket")

    def __init__(self, socket: _Outbound, local: LocalCaller, *, retried: bool) -> None:
        self._socket, self._local, self._retried = socket, local, retried

    def __call__(self, request: Any, *, timeout: float | None = None) -> Any:
        seconds, traceparent, token = self._socket.terms(timeout)
        if is_sampled(traceparent) or not self._local.ready:
            return self._socket(request, timeout=timeout)
        return self._call(request, timeout, seconds, ((HEADER, traceparent), *token))

    async def _call(
        self,
        request: Any,
        timeout: float | None,  # noqa: ASYNC109  # as stubs have it
        seconds: float,
        metadata: Metadata,
    ) -> Any:
        try:
            return await self._local(request, seconds, metadata)
        except grpc.aio.AioRpcError as error:
            if not self._retried or error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        return await self._socket(request, timeout=timeout)  # which retries as the contract says


class _Forbidden(_Outbound):
    """Stands for a method that the contract does not let a service call. Stubs ask for all methods, used or not."""

    __slots__ = ("_why",)

    def __init__(self, path: str, caller: str) -> None:
        self._why = f"{caller} calls {path}, whose `callers` do not name it"

    def __call__(self, request: Any, *, timeout: float | None = None) -> Any:
        raise LookupError(self._why)


class _Unary:
    """Makes calls that are answered once, and counts them."""

    __slots__ = ("_begin", "_metrics", "_neighbour")

    def __init__(self, begin: _Outbound, neighbour: str, metrics: MethodMetrics) -> None:
        self._begin, self._neighbour, self._metrics = begin, neighbour, metrics

    async def __call__(self, request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # as stubs have it
        started, code = time.perf_counter(), "CANCELLED"
        self._metrics.started()
        try:
            reply = await self._begin(request, timeout=timeout)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            raise NeighbourCallError(self._neighbour, error) from None
        except DeadlineExceeded:
            code = DeadlineExceeded.kind.value
            raise
        finally:
            self._metrics.handled(code, time.perf_counter() - started)
        return reply


def _timeout(path: str) -> float:
    contract = method_contract(path)
    return contract.max_age if contract.client_streaming or contract.server_streaming else contract.timeout


def channel_options(health_name: str | None = None) -> list[tuple[str, Any]]:
    """Return gRPC's options of a channel inside the mesh; retries come from the contract."""
    return [
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.service_config", service_config(health_name)),
    ]


def service_config(health_name: str | None = None) -> str:
    """Return the service config that the contract compiler wrote; `scripts/gen` makes it.

    Without its timeouts: gRPC's C core (1.78 to 1.85 seen) ends every call of a method that has one at once with
    DEADLINE_EXCEEDED. Our calls bring their own deadline, never longer than that.
    """
    config = json.loads(SERVICE_CONFIG.read_text()) if SERVICE_CONFIG.exists() else {}
    for method in config.get("methodConfig", ()):
        method.pop("timeout", None)
    if health_name is not None:
        config["healthCheckConfig"] = {"serviceName": health_name}
    return json.dumps({"loadBalancingConfig": [{"round_robin": {}}], **config})
