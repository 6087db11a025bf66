"""The broker: streams that keep events, and durables that deliver each until it is acknowledged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from services.chassis.contract import EventContract
from services.chassis.event_streams import ACK_WAIT
from tests.simulation.links import Chance, Link
from tests.simulation.loop import Loop, Scheduler
from tests.simulation.tables.chassis import Event
from tests.simulation.trace import Trace

REMEMBERED: Final = 120.0
"""Seconds for which a stream knows an event's id."""


class Listener(Protocol):
    """A process that consumes events."""

    name: str
    loop: Loop

    def receive(self, letter: "Letter", attempt: int) -> None:
        """Take a delivery into hand."""

    def has(self, letter: "Letter") -> bool:
        """Whether the process works on a delivery."""


@dataclass(slots=True, eq=False)
class Letter:
    """An event on its way to one service, until it is acknowledged."""

    service: str
    event: Event
    sequence: int
    attempts: int = 0
    acknowledged: bool = False
    turn: int = 0
    """Counts deliveries and answers, so that a timer knows whether it is out of date."""


@dataclass(slots=True)
class Broker:
    """JetStream, as far as services see it."""

    scheduler: Scheduler
    chance: Chance
    link: Link
    trace: Trace
    listeners: Callable[[str], Sequence[Listener]]
    """Returns the living processes of a service, paused or not."""
    consumed: Callable[[str], EventContract]
    letters: list[Letter] = field(default_factory=list)
    open: int = 0
    """How many letters are not acknowledged."""
    _seen: dict[object, float] = field(default_factory=dict)
    _waiting: list[Letter] = field(default_factory=list)

    def append(self, event: Event) -> None:
        """Take an event into its stream, unless it is known."""
        before = self._seen.get(event.event_id)
        self._seen[event.event_id] = self.scheduler.now
        if before is not None and self.scheduler.now - before < REMEMBERED and not self.chance.doubled():
            self.trace.say("broker", "drops {} of {}: it is known", event.event_type, event.aggregate_id)
            return
        self.trace.say("broker", "keeps {} of {}", event.event_type, event.aggregate_id)
        for service in sorted(self.consumed(event.event_type).consumers & SIMULATED):
            letter = Letter(service, event, len(self.letters) + 1)
            self.letters.append(letter)
            self.open += 1
            self._deliver(letter)

    def flush(self) -> None:
        """Deliver what had to wait, because the broker or all processes of a service were away."""
        waiting, self._waiting = self._waiting, []
        for letter in waiting:
            self._deliver(letter)

    def _deliver(self, letter: Letter) -> None:
        listeners = self.listeners(letter.service)
        if letter.acknowledged:
            return
        if self.link.down or not listeners:
            self._waiting.append(letter)
            return
        listener = self.chance.random.choice(listeners)
        letter.attempts += 1
        letter.turn += 1
        if not self.chance.refused():
            self.scheduler.after(self.chance.delay(), partial(self._arrive, letter, listener, letter.attempts))
        if self.chance.doubled():
            self.scheduler.after(self.chance.delay(), partial(self._arrive, letter, listener, letter.attempts))
        self.scheduler.after(ACK_WAIT, partial(self._look_after, letter, letter.turn, listener))

    def _arrive(self, letter: Letter, listener: Listener, attempt: int) -> None:
        if not listener.loop.dead:
            listener.loop.call_soon(listener.receive, letter, attempt)

    def _look_after(self, letter: Letter, turn: int, listener: Listener) -> None:
        """Deliver again what nobody said to be working on."""
        if letter.acknowledged or letter.turn != turn:
            return
        loop = listener.loop
        if loop.dead or loop.paused or not listener.has(letter):
            self._deliver(letter)
        else:
            self.scheduler.after(ACK_WAIT, partial(self._look_after, letter, turn, listener))

    def acknowledge(self, letter: Letter) -> None:
        """Hear from a process that an event had its effect."""
        if not self._lost():
            self.scheduler.after(self.chance.delay(), partial(self._acknowledged, letter))

    def _acknowledged(self, letter: Letter) -> None:
        if not letter.acknowledged and not self.link.down:
            letter.acknowledged = True
            self.open -= 1

    def put_back(self, letter: Letter, delay: float) -> None:
        """Hear from a process that an event is to come again, after some seconds."""
        if not self._lost():
            letter.turn += 1
            self.scheduler.after(delay + self.chance.delay(), partial(self._deliver, letter))

    def _lost(self) -> bool:
        return self.link.down or self.chance.unanswered()


SIMULATED: Final = frozenset({"order", "payment", "inventory"})
