"""What a service is given to build itself from."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

from services.chassis.freshness import Freshness
from services.chassis.metrics import ServiceMetrics
from services.chassis.settings import ServiceSettings
from services.chassis.tracing import NO_SPANS, ServiceTracing

if TYPE_CHECKING:
    from services.chassis.channel import Channel
    from services.chassis.database import Database
    from services.chassis.outbox import Outbox

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One service's share of the process."""

    name: str
    settings: ServiceSettings
    """An instance of the class that the service declared."""
    metrics: ServiceMetrics
    channel_to: "Callable[[str], Channel]"
    """Returns the channel for a gRPC service by its full name; `stub` is what services call."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is shutting down: streams that only wait must end."""
    database_or_none: "Database | None" = None
    outbox_or_none: "Outbox | None" = None
    tracing: ServiceTracing = NO_SPANS
    """Makes spans of work that was started earlier: `with runtime.tracing.linked("send mail", [traceparent])`."""
    freshness: Freshness = field(default_factory=Freshness)
    """Up to when the events are handled that the service hears."""

    @property
    def database(self) -> "Database":
        """The service's own database."""
        if self.database_or_none is None:
            raise LookupError(f"{self.name} is declared without a database")
        return self.database_or_none

    @property
    def outbox(self) -> "Outbox":
        """Where the service's events are written."""
        if self.outbox_or_none is None:
            raise LookupError(f"{self.name} is declared without a database")
        return self.outbox_or_none

    def stub(self, stub: Callable[[grpc.aio.Channel], S]) -> S:
        """Return a neighbour's stub from its generated class. Its calls carry deadline, trace and token."""
        generated = cast("type[Any]", stub)
        package = generated.__module__.rpartition(".")[0]
        channel = self.channel_to(f"{package}.{generated.__name__.removesuffix('Stub')}")
        return stub(cast("grpc.aio.Channel", channel))
