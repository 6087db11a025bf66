"""Health of the services of a process, as `grpc.health.v1` and /readyz tell it.

A service is NOT_SERVING only while it drains, or when something that it cannot work without is down. Whatever else is
wrong makes it degraded: it serves, and /readyz says what is missing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

_INTERVAL: Final = 0.5
_PATH: Final = "/grpc.health.v1.Health"
OVERALL: Final = ""
"""The name that `grpc.health.v1` gives to the process as a whole."""

_Status = health_pb2.HealthCheckResponse
_untyped: Any = health_pb2  # its types lack the messages of List
_Context = grpc.aio.ServicerContext[Any, Any]


class State(StrEnum):
    """How a dependency does, or a service."""

    UP = "up"
    DEGRADED = "degraded"
    """It is missing or late, and calls can do without it."""
    DOWN = "down"
    """It is missing, and calls cannot do without it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a dependency."""

    state: State
    detail: str = ""
    """For whoever reads /readyz; no secrets, no addresses with passwords."""


Probe = Callable[[], Report]
"""Says how a dependency does; from what is known, without waiting."""


class HealthServicer:
    """Answers `grpc.health.v1`. A Watch ends when the process drains, or it would hold the drain up."""

    def __init__(self) -> None:
        """Start as NOT_SERVING, until somebody has looked."""
        self._serving = {OVERALL: False}
        self._changed = asyncio.Event()
        self._draining = False

    def set(self, serving: Mapping[str, bool]) -> None:
        """Say which names are SERVING."""
        if not self._draining and not serving.items() <= self._serving.items():
            self._tell(serving)

    def drain(self) -> None:
        """Say NOT_SERVING of everything from now on, and end what watches."""
        self._draining = True
        self._tell(dict.fromkeys(self._serving, False))

    def _tell(self, serving: Mapping[str, bool]) -> None:
        self._serving |= serving
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> _Status:
        """Return the status of a name."""
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return self._status(request.service)

    async def watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> AsyncIterator[_Status]:
        """Send the status of a name, and each change of it."""
        last = None
        while True:
            changed, draining = self._changed, self._draining
            status = self._status(request.service)
            if status != last:
                yield status
                last = status
            if draining:
                return
            await changed.wait()

    async def list(self, _: Any, context: _Context) -> Any:
        """Return the status of every name."""
        return _untyped.HealthListResponse(statuses={name: self._status(name) for name in self._serving})

    def _status(self, name: str) -> _Status:
        serving = self._serving.get(name)
        if serving is None:
            return _Status(status=_Status.SERVICE_UNKNOWN)
        return _Status(status=_Status.SERVING if serving else _Status.NOT_SERVING)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return the methods by path."""
        request = health_pb2.HealthCheckRequest
        answer = _Status.SerializeToString
        listed = _untyped.HealthListRequest.FromString, _untyped.HealthListResponse.SerializeToString
        return {
            f"{_PATH}/List": grpc.unary_unary_rpc_method_handler(self.list, *listed),
            f"{_PATH}/Check": grpc.unary_unary_rpc_method_handler(self.check, request.FromString, answer),
            f"{_PATH}/Watch": grpc.unary_stream_rpc_method_handler(self.watch, request.FromString, answer),
        }


class _ServiceHealth:
    """What is known of one service."""

    def __init__(self, grpc_names: Iterable[str]) -> None:
        self.grpc_names = tuple(grpc_names)
        self.probes: dict[str, Probe] = {}

    def reports(self) -> dict[str, Report]:
        return {name: probe() for name, probe in self.probes.items()}


class Health:
    """Health of a process: the services hosted, what they depend on, whether it drains."""

    def __init__(self) -> None:
        """Host nothing yet."""
        self.servicer = HealthServicer()
        self._services: dict[str, _ServiceHealth] = {}
        self._remote: dict[str, bool] = {}
        self._draining = False

    def host(self, service: str, grpc_names: Iterable[str]) -> None:
        """Add a service and the full names of its gRPC services."""
        self._services[service] = _ServiceHealth(grpc_names)

    def depend(self, service: str, dependency: str, probe: Probe) -> None:
        """Add something a service depends on, `database` for example."""
        self._services[service].probes[dependency] = probe

    def tell_remote(self, grpc_name: str, *, serving: bool) -> None:
        """Answer also for a gRPC service of another process. It does not count for the process as a whole."""
        self._remote[grpc_name] = serving
        self.refresh()

    def serving(self) -> bool:
        """Return whether the process takes calls: it does not drain and none of its services is down."""
        return not self._draining and all(map(self._serves, self._services.values()))

    def refresh(self) -> None:
        """Look at every dependency and tell those who watch."""
        statuses = {**self._remote, OVERALL: self.serving()}
        for service in self._services.values():
            statuses |= dict.fromkeys(service.grpc_names, self._serves(service))
        self.servicer.set(statuses)

    async def run(self) -> None:
        """Look twice a second, until cancelled."""
        while True:
            self.refresh()
            await asyncio.sleep(_INTERVAL)

    def drain(self) -> None:
        """Say NOT_SERVING from now on."""
        self._draining = True
        self.servicer.drain()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return the methods of `grpc.health.v1.Health` by path; no policy, deadline or token applies to them."""
        return self.servicer.handlers()

    def readiness(self) -> dict[str, object]:
        """Return what /readyz shows: each service, and each dependency's state."""
        services = {name: service.reports() for name, service in self._services.items()}
        return {
            "status": self._status(services.values()),
            "services": {name: _shown(reports) for name, reports in services.items()},
        }

    def _status(self, services: Iterable[Mapping[str, Report]]) -> str:
        if self._draining:
            return "draining"
        return _worst(report for reports in services for report in reports.values())

    def _serves(self, service: _ServiceHealth) -> bool:
        return all(report.state is not State.DOWN for report in service.reports().values())


def _worst(reports: Iterable[Report]) -> State:
    states = {report.state for report in reports}
    return next((state for state in (State.DOWN, State.DEGRADED) if state in states), State.UP)


def _shown(reports: Mapping[str, Report]) -> dict[str, object]:
    return {
        "status": _worst(reports.values()),
        "dependencies": {
            name: {"state": report.state, **({"detail": report.detail} if report.detail else {})}
            for name, report in reports.items()
        },
    }
