"""What one process does with the events of one durable: as the chassis's consumer, without JetStream."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

from services.chassis import inbox
from services.chassis.delivery import Delivery
from services.chassis.event_streams import durable_of
from services.chassis.keyed import KeyedRunner
from services.chassis.retries import Retries
from services.chassis.service import Consumer
from services.chassis.tracing import following
from tests.simulation.broker import Broker, Letter
from tests.simulation.trace import Trace

E = TypeVar("E", bound=Message)

HANDLER_TIMEOUT: Final = 60.0


class Desk(Generic[E]):
    """Handles deliveries: those of one aggregate one after the other, others at once."""

    def __init__(
        self,
        owner: str,
        service: str,
        consumer: Consumer[E],
        broker: Broker,
        trace: Trace,
        parked: Callable[[str, Letter, Exception], None],
    ) -> None:
        """Say whose events are handled by what."""
        self._owner, self._consumer, self._broker, self._trace, self._parked = owner, consumer, broker, trace, parked
        self._durable = durable_of(service, consumer.event).name
        self._runner = KeyedRunner()
        self._retries = Retries()
        self.in_hand: Counter[Letter] = Counter()

    def receive(self, letter: Letter, attempt: int) -> None:
        """Take a delivery into hand."""
        self.in_hand[letter] += 1
        self._runner.submit(letter.event.aggregate_id, partial(self._work, letter, attempt))

    async def _work(self, letter: Letter, attempt: int) -> None:
        name, order = letter.event.event_type.rpartition(".")[2], letter.event.aggregate_id
        self._trace.say(self._owner, "hears {} of {}, attempt {}", name, order, attempt)
        try:
            await self._handle(letter, attempt)
        except Exception as error:  # noqa: BLE001  # as the chassis does
            self._failed(letter, attempt, error)
        else:
            self._retries.forget(letter.sequence)
            self._broker.acknowledge(letter)
        finally:
            self.in_hand[letter] -= 1

    async def _handle(self, letter: Letter, attempt: int) -> None:
        with following(letter.event.traceparent):
            async with asyncio.timeout(HANDLER_TIMEOUT):
                await self._consumer.handle(self._delivery(letter, attempt))

    def _delivery(self, letter: Letter, attempt: int) -> Delivery[Any]:
        event = letter.event
        return Delivery(
            self._consumer.event.FromString(event.payload),
            event.event_id,
            event.aggregate_id,
            event.aggregate_version,
            event.traceparent,
            attempt,
            self._durable,
        )

    def _failed(self, letter: Letter, attempt: int, error: Exception) -> None:
        if inbox.is_repeat(error):
            self._trace.say(self._owner, "had heard it before")
            self._broker.acknowledge(letter)
            return
        delay = self._retries.delay(letter.sequence, attempt, error)
        if delay is None:
            self._parked(self._owner, letter, error)
            return
        self._trace.say(self._owner, "hears it again in {} s: {}", f"{delay:.1f}", repr(error))
        self._broker.put_back(letter, delay)
