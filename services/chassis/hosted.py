"""One service within a process: what it owns, what guards its calls, and what runs beside them."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import grpc
import psycopg

from services.chassis import idempotency, migrations
from services.chassis.auth import Authenticator
from services.chassis.background import Background
from services.chassis.channel import Channel
from services.chassis.contract import MethodContract, service_of
from services.chassis.database import Database
from services.chassis.event_path import EventPath
from services.chassis.exchange import Guards
from services.chassis.failpoints import around
from services.chassis.health import Report, State
from services.chassis.housekeeping import keep_clean
from services.chassis.keys import fetcher
from services.chassis.local import LocalMethods
from services.chassis.outbox import Outbox
from services.chassis.overload import Admission
from services.chassis.pipeline import handlers_of
from services.chassis.process import Process, StartError
from services.chassis.reporting import Reporter
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Consumer, Service, Task
from services.chassis.settings import ServiceSettings
from services.chassis.streams import OpenStreams

REVISION = "SELECT version_num FROM alembic_version"


@dataclass(frozen=True, slots=True)
class Places:
    """Where services are."""

    hosted: frozenset[str]
    """Services of this process."""
    inner: str
    """Address where they reach each other."""
    process: Process
    local: LocalMethods = field(default_factory=LocalMethods)
    """How they call each other."""

    def address_of(self, service: str) -> str:
        """Return where to find a service. Raises KeyError if that is unknown."""
        return self.inner if service in self.hosted else self.process.settings.address_of(service)


@dataclass(frozen=True, slots=True)
class Hosted:
    """A service that was built and can be served."""

    service: Service
    components: Components
    guards: Guards
    handlers: Mapping[str, grpc.RpcMethodHandler]
    background: Background
    events: EventPath | None
    """None without a database."""


async def host(
    service: Service, settings: ServiceSettings, process: Process, places: Places, stack: AsyncExitStack
) -> Hosted:
    """Open what a service owns, build it and let it prepare. Leaving the stack closes what was opened."""
    database = await _database(service, settings, stack) if service.has_database else None
    channels = _Channels(service, process, places)
    stack.push_async_callback(channels.close)
    runtime = Runtime(
        name=service.name,
        settings=settings,
        metrics=process.metrics.of(service.name),
        channel_to=channels.to,
        draining=process.draining,
        database_or_none=database,
        outbox_or_none=Outbox() if database else None,
        tracing=process.tracing.service(service.name),
    )
    components = service.build(runtime)
    if components.prepare:
        await components.prepare()
    guards = _guards(service, runtime, process)
    handlers = {
        path: handler
        for servicer in components.servicers
        for path, handler in (await handlers_of(servicer, guards)).items()
    }
    places.local.add(handlers)
    _watch(service, handlers, runtime, guards, process)
    tasks = [*components.tasks, Task("housekeeping", partial(keep_clean, database))] if database else components.tasks
    events = _events(service, components, runtime, process) if database else None
    return Hosted(service, components, guards, handlers, Background(service.name, tasks), events)


def _events(service: Service, components: Components, runtime: Runtime, process: Process) -> EventPath:
    consumers = [_between_failpoints(service.name, consumer) for consumer in components.consumers]
    try:
        return EventPath(runtime, process, consumers)
    except ValueError as error:
        raise StartError(str(error)) from None


def _between_failpoints(service: str, consumer: Consumer[Any]) -> Consumer[Any]:
    name = f"{service}_{consumer.event.DESCRIPTOR.name}"
    return replace(consumer, handle=around(f"consumer.{{}}.{name}", consumer.handle))


async def _database(service: Service, settings: ServiceSettings, stack: AsyncExitStack) -> Database:
    """Open the service's database, if it has the tables that this code needs."""
    url = settings.database_url.get_secret_value()
    database = Database(url, name=service.name, pool_size=settings.pool_size)
    await stack.enter_async_context(database)
    needed = migrations.head(service.name)
    try:
        row = await database.one(REVISION)
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.OperationalError as error:
        raise StartError(f"{service.name}: the database does not answer: {error}") from None
    if row is None or row[0] < needed:
        found = row[0] if row else "nothing"
        raise StartError(
            f"{service.name}: the database is at {found}, {needed} is needed: python -m services migrate {service.name}"
        )
    return database


def _guards(service: Service, runtime: Runtime, process: Process) -> Guards:
    database = runtime.database_or_none

    def reporter(contract: MethodContract) -> Reporter:
        path = contract.full_name
        return Reporter(process.metrics.server_method(path), process.logs.method(service.name, path))

    return Guards(
        authenticator=Authenticator(fetcher(runtime)),
        admission=Admission(runtime.settings.max_in_flight, runtime.settings.max_queue),
        streams=OpenStreams(),
        reporter=reporter,
        sampler=process.tracing.sampler,
        tracing=process.tracing.service(service.name),
        stored_reply=partial(idempotency.stored_reply, database) if database else None,
    )


def _watch(
    service: Service, handlers: Mapping[str, object], runtime: Runtime, guards: Guards, process: Process
) -> None:
    """Show how the service does: its health, and how full its bounds are."""
    process.health.host(service.name, {path.split("/")[1] for path in handlers})
    metrics = runtime.metrics
    metrics.gauge("calls_queued", "Calls that wait for a place.", lambda: guards.admission.queued)
    metrics.gauge("streams_open", "Streams being served.", lambda: guards.streams.open)
    if database := runtime.database_or_none:
        process.health.depend(service.name, "database", partial(_database_report, database))
        pool = database.connections
        metrics.gauge("database_connections", "Connections by state.", lambda: pool.open, state="open")
        metrics.gauge("database_connections", "Connections by state.", lambda: pool.idle, state="idle")
        metrics.gauge("database_waiting", "Statements that wait for a connection.", lambda: pool.waiting)


def _database_report(database: Database) -> Report:
    if database.reachable:
        return Report(State.UP)
    return Report(State.DOWN, f"no answer for {database.lost_for:.0f} s")


class _Channels:
    """The channels of a service to its neighbours, each opened when a stub asks for it."""

    def __init__(self, service: Service, process: Process, places: Places) -> None:
        self._service, self._process, self._places = service, process, places
        self._allowed = {*service.neighbours, "identity"}
        self._open: dict[str, Channel] = {}

    def to(self, grpc_service: str) -> Channel:
        """Return the channel for a gRPC service by its full name. Every service may ask identity for its keys."""
        neighbour = service_of(grpc_service.rpartition(".")[0])
        if neighbour not in self._allowed:
            raise LookupError(f"{self._service.name} does not declare {neighbour} as its neighbour")
        if grpc_service not in self._open:
            self._open[grpc_service] = Channel(
                neighbour,
                self._places.address_of(neighbour),
                partial(self._process.metrics.client_method, self._service.name),
                self._process.tracing.service(self._service.name).client_interceptors(),
                # While the process drains, its services still need each other.
                health_name=None if neighbour in self._places.hosted else grpc_service,
                caller=self._service.name,
                local=self._places.local if neighbour in self._places.hosted else None,
            )
        return self._open[grpc_service]

    async def close(self) -> None:
        """Close all."""
        for channel in self._open.values():
            await channel.close()
