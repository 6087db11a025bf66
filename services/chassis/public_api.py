"""The public API at the edge: what reflection shows there, and the health of the services behind it."""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channel import channel_options
from services.chassis.contract import service_of
from services.chassis.health import Health, Report, State

_Watch = Callable[[health_pb2.HealthCheckRequest], AsyncIterable[health_pb2.HealthCheckResponse]]
_RETRY_SECONDS: Final = 0.5
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING


class PublicApi:
    """The services that can be reached through the edge, by the descriptors of what is public of them."""

    def __init__(self, descriptors: FileDescriptorSet) -> None:
        """Publish what the descriptors hold: the contract compiler has left INTERNAL methods out."""
        self.descriptors = descriptors

    def services(self) -> dict[str, list[str]]:
        """Return the full names of the gRPC services by the service that owns them; those without methods have none."""
        found: dict[str, list[str]] = {}
        for file in self.descriptors.file:
            names = [f"{file.package}.{service.name}" for service in file.service if service.method]
            if names:
                found.setdefault(service_of(file.package), []).extend(names)
        return found

    async def mirror(self, health: Health, host: str, addresses: Mapping[str, str]) -> None:
        """Answer for the health of the services behind the edge, until cancelled.

        Each is watched, so an answer waits for nobody. `host` is the hosting service, which is degraded when one of
        them is not there; `addresses` tells where they are, and lacks those that this process hosts itself.
        """
        async with asyncio.TaskGroup() as tasks:
            for owner, names in self.services().items():
                if owner in addresses:
                    tasks.create_task(_Mirror(health, owner, names).run(host, addresses[owner]))


class _Mirror:
    """Mirrors the health of one service."""

    def __init__(self, health: Health, owner: str, names: Sequence[str]) -> None:
        self._health, self._owner, self._names = health, owner, names
        self._serving = dict.fromkeys(names, False)

    async def run(self, host: str, address: str) -> None:
        for name in self._names:
            self._tell(name, serving=False)
        self._health.depend(host, self._owner, self._report)
        async with (
            grpc.aio.insecure_channel(address, options=channel_options()) as channel,
            asyncio.TaskGroup() as tasks,
        ):
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
            for name in self._names:
                tasks.create_task(self._follow(stub.Watch, name))

    async def _follow(self, watch: _Watch, name: str) -> None:
        while True:
            await self._watch(watch, name)
            self._tell(name, serving=False)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _watch(self, watch: _Watch, name: str) -> None:
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            async for response in watch(request):
                self._tell(name, serving=response.status == _SERVING)
        except grpc.aio.AioRpcError:
            return

    def _tell(self, name: str, *, serving: bool) -> None:
        self._serving[name] = serving
        self._health.tell_remote(name, serving=serving)

    def _report(self) -> Report:
        missing = [name for name, serving in self._serving.items() if not serving]
        return Report(State.DEGRADED, f"not serving: {', '.join(missing)}") if missing else Report(State.UP)
