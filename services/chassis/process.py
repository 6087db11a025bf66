"""What the services of one process share."""

import asyncio
from dataclasses import dataclass, field

from services.chassis.health import Health
from services.chassis.logs import Logs
from services.chassis.metrics import Metrics
from services.chassis.settings import ProcessSettings
from services.chassis.tracing import Tracing


class StartError(Exception):
    """Why the process cannot start, in a sentence for whoever started it."""


@dataclass(frozen=True, slots=True)
class Process:
    """Settings, telemetry and the state of one process."""

    settings: ProcessSettings
    logs: Logs
    metrics: Metrics
    tracing: Tracing
    health: Health = field(default_factory=Health)
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, settings: ProcessSettings) -> "Process":
        """Return the process that the settings ask for."""
        return cls(settings, Logs(settings.log_level), Metrics(), Tracing.of(settings))
