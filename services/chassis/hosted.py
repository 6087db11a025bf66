"""One service within a process: its guards, its components, and what runs beside its calls."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc

from services.chassis.auth import Authenticator
from services.chassis.contract import MethodContract
from services.chassis.exchange import Guards
from services.chassis.keys import fetcher
from services.chassis.logs import Logs
from services.chassis.metrics import Metrics
from services.chassis.overload import Admission
from services.chassis.pipeline import handlers_of
from services.chassis.reporting import Reporter
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Task
from services.chassis.streams import OpenStreams

logger = logging.getLogger(__name__)

TASK_RESTART_DELAY = 1.0
"""Seconds before a task that failed is run again."""


@dataclass(slots=True)
class Hosted:
    """A service that was built and can be served."""

    service: Service
    runtime: Runtime
    components: Components
    guards: Guards
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def handlers(self) -> Iterator[tuple[str, grpc.RpcMethodHandler]]:
        """Return its methods by their paths."""
        for servicer in self.components.servicers:
            yield from handlers_of(servicer, self.guards).items()

    def start(self) -> None:
        """Run its tasks."""
        self._tasks = [
            asyncio.create_task(run_forever(task), name=f"{self.service.name}:{task.name}")
            for task in self.components.tasks
        ]

    async def stop(self) -> None:
        """Cancel its tasks and wait until they gave back what they hold."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def build(service: Service, runtime: Runtime, logs: Logs, metrics: Metrics) -> Hosted:
    """Build a service from its runtime."""

    def reporter(contract: MethodContract) -> Reporter:
        path = contract.full_name
        return Reporter(metrics.server_method(path), logs.method(service.name, path))

    guards = Guards(
        authenticator=Authenticator(fetcher(runtime)),
        admission=Admission(runtime.settings.max_in_flight, runtime.settings.max_queue),
        streams=OpenStreams(),
        reporter=reporter,
    )
    return Hosted(service, runtime, service.build(runtime), guards)


async def run_forever(task: Task) -> None:
    """Run a task again whenever it fails or ends; a service without its background work is not whole."""
    while True:
        try:
            await task.run()
        except Exception:
            logger.exception("task failed", extra={"fields": {"task": task.name}})
        await asyncio.sleep(TASK_RESTART_DELAY)
