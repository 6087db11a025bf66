"""Hosts any set of services in one process: one gRPC server, one HTTP port, and per service its own everything."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from services.chassis.channel import Channel
from services.chassis.hosted import Hosted, build
from services.chassis.logs import Logs
from services.chassis.metrics import Metrics
from services.chassis.pipeline import Routes
from services.chassis.runtime import Runtime
from services.chassis.service import Service
from services.chassis.settings import ProcessSettings, ServiceSettings

logger = logging.getLogger(__name__)

TRANSPORT_MAX_BYTES = 8 * 1024 * 1024
CONNECTION_MAX_AGE_MS = 60_000


class Host:
    """Serves services while its context lasts; leaving it drains them in order."""

    def __init__(
        self, services: Sequence[Service], process: ProcessSettings, settings: Mapping[str, ServiceSettings]
    ) -> None:
        """Keep what is to be served; nothing is opened yet."""
        self._services, self._process, self._settings = services, process, settings
        self.metrics = Metrics()
        self.draining = asyncio.Event()
        self.grpc_port = 0
        self._logs = Logs(process.log_level)
        self._hosted: list[Hosted] = []
        self._channels: dict[str, Channel] = {}

    async def __aenter__(self) -> Self:
        """Open everything and serve."""
        self._logs.__enter__()
        self._server = grpc.aio.server(options=_server_options())
        self.grpc_port = self._server.add_insecure_port(self._process.grpc_listen)
        self._hosted = [self._build(service) for service in self._services]
        self._server.add_generic_rpc_handlers((self._routes(),))
        await self._server.start()
        for hosted in self._hosted:
            hosted.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain: finish what is in flight, stop what runs beside, close what was opened."""
        await asyncio.sleep(self._process.drain_delay)
        self.draining.set()
        await self._server.stop(self._process.drain_grace)
        await asyncio.gather(*(hosted.stop() for hosted in self._hosted))
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self._logs.__exit__(kind, error, trace)

    def _build(self, service: Service) -> Hosted:
        runtime = Runtime(
            name=service.name,
            settings=self._settings[service.name],
            metrics=self.metrics.of(service.name),
            channel_to=lambda neighbour: self._channel(service, neighbour),
            draining=self.draining,
        )
        return build(service, runtime, self._logs, self.metrics)

    def _routes(self) -> Routes:
        return Routes({path: handler for hosted in self._hosted for path, handler in hosted.handlers()})

    def _channel(self, service: Service, neighbour: str) -> Channel:
        if neighbour not in (*service.neighbours, "identity"):
            raise LookupError(f"{service.name} does not declare {neighbour} as its neighbour")
        if neighbour not in self._channels:
            name = service.name
            self._channels[neighbour] = Channel(
                neighbour, self._address(neighbour), lambda path: self.metrics.client_method(name, path)
            )
        return self._channels[neighbour]

    def _address(self, neighbour: str) -> str:
        if any(service.name == neighbour for service in self._services):
            return f"127.0.0.1:{self.grpc_port}"
        return self._process.address_of(neighbour)


def _server_options() -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", TRANSPORT_MAX_BYTES),
        ("grpc.max_connection_age_ms", CONNECTION_MAX_AGE_MS),
        ("grpc.max_connection_age_grace_ms", 900_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", 0),
    ]
