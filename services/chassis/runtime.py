"""What a service is given to build itself from."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

from services.chassis.contract import service_of
from services.chassis.metrics import ServiceMetrics
from services.chassis.settings import ServiceSettings

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
    """Returns the channel to a neighbour; `stub` is what services call."""
    _database: "Database | None" = None
    _outbox: "Outbox | None" = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is shutting down: streams that only wait must end."""

    @property
    def database(self) -> "Database":
        """The service's own database."""
        if self._database is None:
            raise LookupError(f"{self.name} is declared without a database")
        return self._database

    @property
    def outbox(self) -> "Outbox":
        """Where the service's events are written."""
        if self._outbox is None:
            raise LookupError(f"{self.name} is declared without a database")
        return self._outbox

    def stub(self, stub: Callable[[grpc.aio.Channel], S]) -> S:
        """Return a neighbour's stub from its generated class. Its calls carry deadline, trace and token."""
        name = service_of(cast("type[Any]", stub).__module__.rpartition(".")[0])
        return stub(cast("grpc.aio.Channel", self.channel_to(name)))
