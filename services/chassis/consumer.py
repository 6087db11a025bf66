"""Durable consumers of other services' events.

A handler's effect and its inbox row are one statement, so that a repeat has no effect. Events of one aggregate are
handled one after the other, others in parallel. What fails comes again, after a delay that doubles; what keeps
failing is parked, and comes again through a durable of its own when an operator redrives it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Self

from services.chassis.broker import Broker
from services.chassis.dead_letter_count import DeadLetterCount
from services.chassis.dead_letters import DeadLetters
from services.chassis.delivery import Delivery
from services.chassis.durable_consumer import DurableConsumer
from services.chassis.event_streams import durable_of
from services.chassis.handling import EventHandler, Outcomes
from services.chassis.logs import Logs
from services.chassis.metrics import ServiceMetrics
from services.chassis.retries import NotYet
from services.chassis.service import Consumer
from services.chassis.tracing import ServiceTracing

__all__ = ["Consumers", "Delivery", "NotYet"]

UNREADABLE: Final = "unknown"
"""What a metric calls an event that does not say what it is."""


class Consumers:
    """The durable consumers of one service."""

    def __init__(
        self,
        broker: Broker,
        consumers: Sequence[Consumer[Any]],
        tracing: ServiceTracing,
        metrics: ServiceMetrics,
        logs: Logs,
    ) -> None:
        """Say which events are consumed. Raises ValueError if a contract does not name the service."""
        self._durables: list[DurableConsumer] = []
        self._count: DeadLetterCount | None = None
        if not consumers:
            return
        durables = [durable_of(broker.service, consumer.event) for consumer in consumers]
        letters = DeadLetters.of(broker.service)
        handlers = {}
        for consumer, durable in zip(consumers, durables, strict=True):
            event_type = consumer.event.DESCRIPTOR.full_name
            outcomes, log = Outcomes(metrics, event_type), logs.consumer(broker.service, durable.name)
            handlers[event_type] = handler = EventHandler(consumer, durable.name, tracing, outcomes, log)
            self._durables.append(
                DurableConsumer(broker, durable, {event_type: handler}, letters, outcomes, in_hand=consumer.in_hand)
            )
        unreadable = Outcomes(metrics, UNREADABLE)
        self._durables.append(
            DurableConsumer(broker, letters.durable, handlers, letters, unreadable, stream=letters.stream)
        )
        self._count = DeadLetterCount(broker, letters, metrics)

    async def start(self) -> None:
        """Begin to consume, as soon as broker and streams are there."""
        for durable in self._durables:
            durable.start()
        if self._count:
            self._count.start()

    async def stop(self) -> None:
        """Take no more events, finish those being handled, and give the others back."""
        if self._count:
            await self._count.stop()
        await asyncio.gather(*(durable.stop() for durable in self._durables))

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()
