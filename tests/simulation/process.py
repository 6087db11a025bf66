"""A process of a service: the real service, built from its own declaration, on simulated parts."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from google.protobuf.message import Message

from services.chassis import idempotency
from services.chassis.background import Background
from services.chassis.call import Call, Principal, _current
from services.chassis.contract import MethodContract, method_contract
from services.chassis.outbox import Outbox
from services.chassis.replay import replaying
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service
from services.chassis.settings import ServiceSettings
from services.chassis.tracing import new_traceparent
from tests.simulation.broker import Broker, Letter
from tests.simulation.desk import Desk
from tests.simulation.links import Link
from tests.simulation.loop import Loop, Ready
from tests.simulation.memory import MemoryDatabase, as_database
from tests.simulation.network import Answer, Channel, Network
from tests.simulation.relay import Lock, Relay
from tests.simulation.tables.chassis import Parameters, Row, Statement, Tables
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from services.chassis.metrics import ServiceMetrics

READS = frozenset({"get", "find", "short", "expired", "get_method", "extend", "_look_up"})
"""Statements that change nothing that is looked at."""
LEFT_OUT = frozenset({"stock feed"})
"""Tasks that no order depends on."""


@dataclass(slots=True)
class Store:
    """A service's database and the way to it."""

    tables: Tables
    statements: Mapping[str, Statement]
    link: Link
    lock: Lock


@dataclass(slots=True)
class Kind:
    """What all processes of one service have in common."""

    service: Service
    settings: ServiceSettings
    store: Store
    build: Callable[[Runtime], Components]


@dataclass(slots=True)
class Surroundings:
    """What all processes have in common."""

    network: Network
    broker: Broker
    trace: Trace
    new_loop: Callable[[], Loop]
    wrote: "Callable[[Process, str], None]"
    """Hears whose statement may have changed something, and its name, right after it."""
    hit: "Callable[[Process, str], bool]"
    """Breaks a process that has come to a point, if that is planned."""
    parked: Callable[[str, Letter, Exception], None]
    failed: Callable[[str, Exception], None]
    """Hears what a call ended with."""


class NoMetrics:
    """Counts nothing."""

    def gauge(self, *_: Any, **__: Any) -> None:
        """Forget it."""


class Process:
    """One process, and those that take its place."""

    def __init__(self, name: str, kind: Kind, around: Surroundings) -> None:
        """Say what runs in it."""
        self.name, self.kind, self._around = name, kind, around
        self.loop = around.new_loop()
        self.loop.dead = True
        self.outbox = Outbox()
        self.draining = False
        self._desks: dict[str, Desk[Any]] = {}

    def start(self) -> None:
        """Begin anew, with nothing remembered."""
        self._around.trace.say(self.name, "starts")
        self.loop, self.draining = self._around.new_loop(), False
        self.loop.run(Ready(self._boot, (), None))
        self._around.broker.flush()

    def drain(self) -> None:
        """Take nothing on any more, and give back what is held; then it may be killed."""
        self.draining = True
        self.loop.create_task(self._background.stop())

    def _boot(self) -> None:
        self.outbox = Outbox()
        store, broker = self.kind.store, self._around.broker
        self._database = as_database(MemoryDatabase(store.tables, store.statements, self._ask))
        built = self.kind.build(self._runtime())
        self._servicer: Any = built.servicers[0].servicer
        self._desks = {
            consumer.event.DESCRIPTOR.full_name: Desk(
                self.name, self.kind.service.name, consumer, broker, self._around.trace, self._around.parked
            )
            for consumer in built.consumers
        }
        self._background = Background(self.name, [task for task in built.tasks if task.name not in LEFT_OUT])
        self._background.start()
        self._relay = self.loop.create_task(Relay(store, self.outbox, broker, self.loop).run())

    def _runtime(self) -> Runtime:
        return Runtime(
            self.kind.service.name,
            self.kind.settings,
            cast("ServiceMetrics", NoMetrics()),
            lambda _: cast("Any", Channel(self._around.network)),
            database_or_none=self._database,
            outbox_or_none=self.outbox,
        )

    async def _ask(self, name: str, parameters: Parameters, run: Callable[[], list[Row]]) -> list[Row]:
        loop = self.loop

        def act() -> list[Row]:
            rows = run()
            if rows and name not in READS:
                self._around.trace.say(self.name, "writes {} {}", name, _subject(parameters))
                self._around.wrote(self, name)
            if self.loop is loop:
                self._around.hit(self, f"after {name}")
            return rows

        if self._around.hit(self, f"before {name}"):
            await asyncio.sleep(0)  # until the process wakes, if ever
        return await self.kind.store.link.ask(act)

    def serve(self, path: str, request: Message, principal: Principal | None, answer: Answer) -> None:
        """Begin to serve a call, for as long as the contract allows."""
        contract = method_contract(path)
        self._around.trace.say(self.name, "is asked {} {}", path.rpartition("/")[2], getattr(request, "order_id", ""))
        task = self.loop.create_task(self._serve(contract, request, principal, answer))
        self.loop.call_later(contract.timeout, task.cancel)

    async def _serve(
        self, contract: MethodContract, request: Message, principal: Principal | None, answer: Answer
    ) -> None:
        method = contract.full_name.rpartition("/")[2]
        handler = getattr(self._servicer, method)
        _current.set(Call(contract, principal, float("inf"), new_traceparent(), sampled=False))

        async def handle(request: Message, context: Any) -> bytes:
            return cast("bytes", (await handler(request, context)).SerializeToString())

        serve = replaying(handle, partial(idempotency.stored_reply, self._database)) if contract.idempotent else handle
        try:
            answer(await serve(request, None))
        except Exception as error:  # noqa: BLE001  # it is the answer
            self._around.trace.say(self.name, "answers {} with {}", method, repr(error))
            self._around.failed(self.name, error)
            answer(error)

    def receive(self, letter: Letter, attempt: int) -> None:
        """Take an event into hand."""
        self._desks[letter.event.event_type].receive(letter, attempt)

    def has(self, letter: Letter) -> bool:
        """Whether the process works on an event."""
        desk = self._desks.get(letter.event.event_type)
        return desk is not None and desk.in_hand[letter] > 0


def _subject(parameters: Parameters) -> object:
    """Return the order that a statement is about, if it names one."""
    if isinstance(parameters, Mapping):
        return parameters.get("order_id", "")
    return parameters[0] if parameters and isinstance(parameters[0], UUID) else ""
