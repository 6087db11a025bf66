"""Hosts any set of services in one process: one gRPC port, one HTTP port, and per service its own everything else."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc

from services.chassis.background import Background
from services.chassis.event_path import EventPath
from services.chassis.hosted import Hosted, Places, host
from services.chassis.pipeline import Routes
from services.chassis.probes import Probes
from services.chassis.process import Process, StartError
from services.chassis.reflection import Reflection
from services.chassis.service import Service, Task
from services.chassis.settings import ProcessSettings, ServiceSettings

logger = logging.getLogger(__name__)

TRANSPORT_MAX_BYTES = 8 * 1024 * 1024
"""More than a service reads, so that the refusal can say why."""
LAST_WORDS = 0.5
"""Seconds that streams get to say why they end, once the grace is over."""


class Host:
    """Serves services while its context lasts; leaving it drains them in order."""

    def __init__(
        self, services: Sequence[Service], process: ProcessSettings, settings: Mapping[str, ServiceSettings]
    ) -> None:
        """Keep what is to be served; nothing is opened yet."""
        self._services, self._settings = services, settings
        self.process = Process.of(process)
        self.grpc_port = 0
        self.http_port = 0
        self._hosted: list[Hosted] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open everything and serve. Raises StartError with what is missing."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        logger.info("serving", extra={"fields": self._where()})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain: tell, wait until callers have left, finish what is in flight, stop what runs beside, close."""
        try:
            await self._drain()
        finally:
            await self._stack.__aexit__(kind, error, trace)

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.process.settings
        stack.enter_context(self.process.logs)
        stack.push_async_callback(self.process.tracing.close)
        # Services of one process go on calling each other while the port outside takes no new calls.
        self._inner, inner_port = _server(settings, "127.0.0.1:0", stack)
        names = frozenset(service.name for service in self._services)
        places = Places(names, f"127.0.0.1:{inner_port}", self.process)
        for service in self._services:
            self._hosted.append(await host(service, self._settings[service.name], self.process, places, stack))
        # Only now: from here on connections are accepted, and who is accepted and not answered waits in vain.
        self._server, self.grpc_port = _server(settings, settings.grpc_listen, stack)
        for server in (self._inner, self._server):
            server.add_generic_rpc_handlers((self._routes(),))
            await server.start()
        self._start_background(stack)
        for events in self._events():
            stack.push_async_callback(events.stop)
            await events.start()
        probes = Probes(settings.http_listen, self.process.health, self.process.metrics)
        try:
            self.http_port = (await stack.enter_async_context(probes)).port
        except OSError:
            raise _taken(settings.http_listen) from None

    def _start_background(self, stack: AsyncExitStack) -> None:
        chassis = Background("chassis", [Task("health", self.process.health.run), *self._mirrors()])
        for background in (chassis, *(hosted.background for hosted in self._hosted)):
            background.start()
            stack.push_async_callback(background.stop)

    def _events(self) -> list[EventPath]:
        return [hosted.events for hosted in self._hosted if hosted.events]

    def _mirrors(self) -> list[Task]:
        """Return what mirrors the health of other processes' services, for those who show the public API."""
        health, addresses = self.process.health, self.process.settings.addresses
        return [
            Task("mirror", partial(api.mirror, health, hosted.service.name, addresses))
            for hosted in self._hosted
            if (api := hosted.components.public_api)
        ]

    async def _drain(self) -> None:
        settings = self.process.settings
        logger.info("draining", extra={"fields": self._where()})
        self.process.health.drain()
        await asyncio.sleep(settings.drain_delay)
        self.process.draining.set()
        await self._finish_calls(settings.drain_grace)
        await asyncio.gather(*(hosted.background.stop() for hosted in self._hosted))
        await asyncio.gather(*(events.stop() for events in self._events()))
        await self._inner.stop(LAST_WORDS)

    async def _finish_calls(self, grace: float) -> None:
        """Take no new calls and wait for those in flight; streams that do not end by then are cut."""
        stopping = asyncio.create_task(self._server.stop(grace + LAST_WORDS))
        done, _ = await asyncio.wait({stopping}, timeout=grace)
        if not done:
            for hosted in self._hosted:
                hosted.guards.streams.cut()
        await stopping

    def _routes(self) -> Routes:
        served = {path: handler for hosted in self._hosted for path, handler in hosted.handlers.items()}
        public = next((hosted.components.public_api for hosted in self._hosted if hosted.components.public_api), None)
        names = {path.split("/")[1] for path in served}
        reflection = Reflection(sorted(names), public.descriptors if public else None)
        return Routes({**served, **self.process.health.handlers(), **reflection.handlers()})

    def _where(self) -> dict[str, object]:
        names = [service.name for service in self._services]
        return {"services": names, "grpc_port": self.grpc_port, "http_port": self.http_port}


def _server(settings: ProcessSettings, listen: str, stack: AsyncExitStack) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=_options(settings))
    stack.push_async_callback(server.stop, None)
    try:
        return server, server.add_insecure_port(listen)
    except RuntimeError:
        raise _taken(listen) from None


def _taken(listen: str) -> StartError:
    return StartError(f"{listen} is taken, or is not an address of this machine")


def _options(settings: ProcessSettings) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", TRANSPORT_MAX_BYTES),
        ("grpc.max_connection_age_ms", int(settings.connection_max_age * 1000)),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", 0),
    ]
