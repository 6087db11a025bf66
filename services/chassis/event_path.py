"""The asynchronous half of one service: its connection to the broker, its relay and its consumers."""

from collections.abc import Sequence
from typing import Any

from services.chassis.broker import Broker
from services.chassis.consumer import Consumers
from services.chassis.event_streams import durable_of, streams_of
from services.chassis.process import Process
from services.chassis.relay import Relay
from services.chassis.runtime import Runtime
from services.chassis.service import Consumer


class EventPath:
    """Publishes and consumes between `start` and `stop`. Shows in health and metrics what it does."""

    def __init__(self, runtime: Runtime, process: Process, consumers: Sequence[Consumer[Any]]) -> None:
        """Build it. Raises ValueError if a contract does not name the service as a consumer."""
        service, settings, metrics = runtime.name, runtime.settings, runtime.metrics
        tracing, url = process.tracing.service(service), settings.database_url.get_secret_value()
        self._broker = broker = Broker(service, process.settings.nats_url, settings.nats_password.get_secret_value())
        published = metrics.counter("outbox_published_events", "Events published since the start.")
        self._relay = relay = Relay(url, runtime.outbox, broker, streams_of(service), tracing, published)
        self._consumers = Consumers(broker, consumers, tracing, metrics, process.logs)
        runtime.freshness.watch(broker, [durable_of(service, consumer.event) for consumer in consumers])
        process.health.depend(service, "broker", broker.report)
        process.health.depend(service, "outbox", relay.report)
        metrics.gauge("outbox_waiting_events", "Events written and not published.", lambda: relay.lag.rows)
        metrics.gauge("outbox_oldest_waiting_seconds", "Age of the oldest of them.", lambda: relay.lag.seconds)
        metrics.gauge("outbox_relay_active", "1 where this process publishes.", lambda: float(relay.active))

    async def start(self) -> None:
        """Begin; broker and streams may come later."""
        await self._broker.start()
        await self._relay.start()
        await self._consumers.start()

    async def stop(self) -> None:
        """Finish the events being handled, publish what was written, and leave the broker."""
        await self._consumers.stop()
        await self._relay.stop()
        await self._broker.stop()
