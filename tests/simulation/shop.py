"""One schedule of the whole shop, from a seed to what was broken."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final
from uuid import UUID

import nats.errors
from meshmart.catalog.v1 import catalog_service_pb2, product_pb2
from meshmart.common.v1.money_pb2 import Money
from meshmart.inventory.v1 import stock_events_pb2
from meshmart.order.v1 import order_events_pb2
from meshmart.payment.v1 import payment_events_pb2

from services.chassis.call import Principal
from services.chassis.contract import EventContract, event_contract
from services.chassis.errors import Kind as ErrorKind
from services.chassis.retries import is_outage
from services.chassis.status import domain_error_of
from services.payment.domain import ProcessorUnavailable
from tests.simulation.bank import Bank, Teller
from tests.simulation.broker import Broker, Letter
from tests.simulation.customers import PRICE, Customer
from tests.simulation.determinism import determined
from tests.simulation.faults import Faults
from tests.simulation.links import Chance, Link
from tests.simulation.loop import Loop, Scheduler
from tests.simulation.network import Answer, Network
from tests.simulation.parts import HOLD, SOUND, Mutant, kind_of
from tests.simulation.plan import CALM_AFTER, Wish, draw, processes
from tests.simulation.process import Process, Surroundings
from tests.simulation.rules import Books
from tests.simulation.tables.inventory import restock
from tests.simulation.tables.payment import MethodRow
from tests.simulation.trace import Trace

SETTLE: Final = 60.0
"""Seconds after the last fault within which every order must have ended."""
LAST: Final = ("COMPLETED", "REJECTED", "CLOSED")
EVENTS: Final = {
    f"{file.DESCRIPTOR.package}.{name}": getattr(file, name)
    for file in (order_events_pb2, payment_events_pb2, stock_events_pb2)
    for name in file.DESCRIPTOR.message_types_by_name
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a schedule."""

    seed: int
    broken: tuple[str, ...]
    seconds: float
    """Of virtual time."""
    trace: tuple[str, ...]
    seen: frozenset[str]
    """Statements that had an effect, such as `payment captured`."""


def run(seed: int, *, tracing: bool = False, mutant: Mutant = SOUND) -> Outcome:
    """Run the schedule of a seed: always the same for the same seed."""
    shop = Shop(seed, tracing=tracing, mutant=mutant)
    with determined(seed, lambda: shop.scheduler.now, shop.logged):
        return shop.run()


class Shop:
    """Order, payment and inventory in their processes, with all that is between them."""

    def __init__(self, seed: int, *, tracing: bool, mutant: Mutant) -> None:
        """Draw the plan, and build what it needs."""
        random = Random(seed)  # noqa: S311  # not a secret
        self._seed = seed
        self.plan = draw(random)
        self.scheduler = scheduler = Scheduler(random)
        self.trace = trace = Trace(lambda: scheduler.now, tracing)
        self._chance = chance = Chance(random, self.plan.weather)
        self._broken: dict[str, None] = {}
        self._seen: set[str] = set()
        self._loops: list[Loop] = []

        bank, bank_link = Bank(lambda: scheduler.now, HOLD), Link(scheduler, chance, _processor_away)
        kinds = {
            name: kind_of(name, scheduler, chance, mutant, lambda: Teller(bank, bank_link, trace))
            for name in self.plan.replicas
        }
        broker_link = Link(scheduler, chance, _broker_away)
        self._broker = Broker(scheduler, chance, broker_link, trace, self._living, _contract)
        self._calls = Chance(random, self.plan.weather)
        self._network = Network(scheduler, self._calls, self._servers)
        around = Surroundings(
            self._network, self._broker, trace, self._new_loop, self._wrote, self._hit, self._parked, self._failed
        )
        self._processes = {name: Process(name, kinds[name[:-2]], around) for name in processes(self.plan.replicas)}
        links = {f"{name} database": kind.store.link for name, kind in kinds.items()}
        links |= {"processor": bank_link, "broker": broker_link}
        self._faults = Faults(scheduler, self._processes, links, self._broker, self._calls, trace)
        tables: Any = {name: kind.store.tables for name, kind in kinds.items()}
        self._books = Books(**tables, bank=bank)
        self._catalog = Catalog(self._new_loop())

    def run(self) -> Outcome:
        """Run until all is quiet."""
        customers = self._open()
        if not self.scheduler.run_until(partial(self._quiet, customers), self.plan.calm_at + SETTLE):
            self._break("quiet_in_time: something still happens")
        for what in (*self._books.broken_at_the_end(SETTLE), *self._books.broken_promises(customers)):
            self._break(what)
        outcome = Outcome(
            self._seed, tuple(self._broken), self.scheduler.now, tuple(self.trace.lines()), frozenset(self._seen)
        )
        for loop in self._loops:
            loop.bury()
        return outcome

    def _open(self) -> list[Customer]:
        """Fill the shelves, start all processes, let customers in, and have faults happen when they are due."""
        products = [UUID(int=number) for number in range(1, len(self.plan.stock) + 1)]
        for product_id, units in zip(products, self.plan.stock, strict=True):
            self.trace.names[str(product_id)] = f"product {product_id.int}"
            restock(self._books.inventory, {"product_id": product_id, "quantity": units})
        self.scheduler.after(CALM_AFTER, self._faults.calm)
        self.scheduler.after(self.plan.calm_at, self._calm)
        for fault in self.plan.faults:
            self._faults.plan(fault)
        for process in self._processes.values():
            process.start()
        return [self._let_in(number, wish, products) for number, wish in enumerate(self.plan.wishes, 1)]

    def _let_in(self, number: int, wish: Wish, products: list[UUID]) -> Customer:
        customer = Customer(number, wish, products, self._network, self._chance.random, self.trace)
        method = MethodRow(customer.method_id, customer.id, wish.card)
        self._books.payment.payment_method[method.id] = method
        self._new_loop().create_task(customer.live())
        return customer

    def _calm(self) -> None:
        self.trace.say("all", "is well from now on")
        self._chance.calm()
        self._calls.calm()

    def _quiet(self, customers: Sequence[Customer]) -> bool:
        """Whether nothing is under way and nothing is left to do. A paused process wakes for the last word."""
        if self._chance.under_way or self._calls.under_way or self._broker.open or self._busy(customers):
            return False
        paused = [process.loop for process in self._processes.values() if process.loop.paused]
        for loop in paused:
            loop.wake()
        return not paused

    def _busy(self, customers: Sequence[Customer]) -> bool:
        books = self._books
        return bool(
            books.order.saga
            or not all(customer.done for customer in customers)
            or any(order.state not in LAST for order in books.order.orders.values())
            or any(not event.published for tables in books.tables for event in tables.outbox)
        )

    def _new_loop(self) -> Loop:
        loop = Loop(self.scheduler, lambda error: self._break(f"no_bug: {error!r} was not caught"))
        self._loops.append(loop)
        return loop

    def _living(self, service: str) -> list[Process]:
        return [p for name, p in self._processes.items() if name[:-2] == service and not (p.loop.dead or p.draining)]

    def _servers(self, service: str) -> list[Any]:
        return [self._catalog] if service == "catalog" else self._living(service)

    def _wrote(self, process: Process, statement: str) -> None:
        """Check what must hold at any moment, and let relays find what is to be published."""
        self._seen.add(f"{process.kind.service.name} {statement}")
        for what in self._books.now_broken(process.kind.service.name):
            self._break(what)
        outbox = process.kind.store.tables.outbox
        if not outbox or outbox[-1].published:
            return
        holder = process.kind.store.lock.holder
        for other in self._living(process.kind.service.name):
            if holder in (None, other.loop):
                self.scheduler.after(self._chance.random.random() * 0.05, other.outbox.wake)

    def _hit(self, process: Process, point: str) -> bool:
        return self._faults.at(process, point)

    def _parked(self, who: str, letter: Letter, error: Exception) -> None:
        self._break(f"nothing_is_parked: {who} gave {letter.event.event_type} up: {error!r}")
        self._broker.acknowledge(letter)

    def _failed(self, who: str, error: Exception) -> None:
        if domain_error_of(error).kind is ErrorKind.INTERNAL:
            self._break(f"no_bug: {who} answered {error!r}")

    def logged(self, record: logging.LogRecord) -> None:
        """Hear of an error that a service logged: an outage is no bug, anything else is."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception) and not is_outage(error):
            self._break(f"no_bug: {record.getMessage()}: {error!r}")

    def _break(self, what: str) -> None:
        what = self.trace.named(what)
        if what not in self._broken:
            self._broken[what] = None
            self.trace.say("!!!", "{}", what)


class Catalog:
    """The catalog: it has everything, at one price."""

    def __init__(self, loop: Loop) -> None:
        """Be reachable."""
        self.loop = loop

    def serve(self, path: str, request: Any, principal: Principal | None, answer: Answer) -> None:
        """Answer a call."""
        price = Money(currency_code="EUR", minor_units=PRICE)
        products = [product_pb2.Product(id=i, display_name="Tea", price=price) for i in request.product_ids]
        answer(catalog_service_pb2.BatchGetProductsResponse(products=products).SerializeToString())


def _contract(event_type: str) -> EventContract:
    return event_contract(EVENTS[event_type])


def _processor_away() -> Exception:
    return ProcessorUnavailable("the processor does not answer")


def _broker_away() -> Exception:
    return nats.errors.Error("the broker does not answer")
