"""Tables in memory answer what PostgreSQL answers, whatever is asked in whichever order."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from meshmart.inventory.v1.stock_events_pb2 import OrderRestocked
from meshmart.order.v1.order_events_pb2 import OrderClosed
from meshmart.payment.v1.payment_events_pb2 import PaymentRefunded

from services.chassis.database import Database
from services.chassis.money import Money
from services.inventory.domain import Line as StockLine
from services.inventory.domain import Reservation, in_order
from services.inventory.domain import State as ReservationState
from services.inventory.stock_store import RESTOCK
from services.inventory.store import ReservationStore
from services.order.domain import Change, Line, Order, State
from services.order.store import OrderStore, Saga
from services.payment.domain import Brand, Payment, PaymentMethod
from services.payment.domain import State as PaymentState
from services.payment.store import PaymentStore
from tests.simulation.tables import inventory, order, payment
from tests.simulation.twins import EPOCH, Pool, Twins, empty

SEQUENCES = 150
STEPS = 30
LONG, OVER = 3600.0, 0.0
"""Seconds that a lease or hold lasts: beyond the test, or not until the next statement."""

Ask = Callable[[Database], Awaitable[Any]]


class Asked:
    """Makes up questions to a store; each method but `look` is one."""

    def __init__(self, random: Random, pool: Pool) -> None:
        self.random, self.pool = random, pool

    @property
    def span(self) -> float:
        return self.random.choice((LONG, OVER))


class OrderQuestions(Asked):
    def _store(self) -> Callable[[Database], OrderStore]:
        lease, within = self.span, self.span
        return lambda database: OrderStore(database, lease=lease, confirm_within=within)

    def _order(self) -> Order:
        line = Line(self.pool.products[0], "Tea", 1, Money("EUR", 450))
        placed = Change(1, State.PENDING, "", EPOCH)
        return Order(self.pool.order, self.pool.customer, UUID(int=1), (line,), line.unit_price, (placed,))

    def _saga(self, *, compensating: bool = False) -> Saga:
        return Saga(self._order(), self.random.randint(1, 3), compensating, "CARD_DECLINED")

    def _event(self, order_id: UUID) -> dict[str, Any]:
        return self.pool.event(OrderClosed(order_id=str(order_id)), order_id)

    def place(self) -> Ask:
        store, order, reply = self._store(), replace(self._order(), id=self.pool.new_order()), self.pool.reply()
        event = self._event(order.id)
        return lambda database: store(database).place(order, event, reply)

    def confirm(self) -> Ask:
        store, saga = self._store(), self._saga()
        event = self._event(saga.order.id)
        return lambda database: store(database).confirm(saga, event)

    def reject(self) -> Ask:
        store, saga = self._store(), self._saga(compensating=True)
        event = self._event(saga.order.id)
        return lambda database: store(database).reject(saga, event)

    def turn(self) -> Ask:
        store, saga = self._store(), self._saga()
        return lambda database: store(database).turn(saga, "STOCK_INSUFFICIENT")

    def claim(self) -> Ask:
        store = self._store()

        async def claim(database: Database) -> list[Saga]:
            return sorted(await store(database).claim(100), key=lambda saga: saga.order.id)

        return claim

    def extend(self) -> Ask:
        store, sagas = self._store(), list({saga.order.id: saga for saga in (self._saga(), self._saga())}.values())
        return lambda database: store(database).extend(sagas)

    def cancel(self) -> Ask:
        store, order, reply = self._store(), self._order(), self.pool.reply()
        change = Change(self.random.randint(2, 4), State.CANCELLED, "CUSTOMER_CANCELLED", EPOCH)
        event, cancelled = self._event(order.id), replace(order, changes=(*order.changes, change))
        return lambda database: store(database).cancel(cancelled, event, reply)

    def complete(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        return lambda database: store(database).complete(order_id, heard)

    def cancel_by_event(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).cancel_by_event(order_id, "CARD_DECLINED", heard, event)

    def note(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        event, note = self._event(order_id), self.random.choice((OrderStore.note_refunded, OrderStore.note_restocked))
        return lambda database: note(store(database), order_id, heard, event)

    def get(self) -> Ask:
        store, order_id = self._store(), self.pool.order
        return lambda database: store(database).get(order_id)


async def look_at_orders(twins: Twins) -> None:
    t: Any = twins.tables
    await twins.look(
        "SELECT id, state, version, refunded, restocked, changes FROM orders ORDER BY id",
        lambda: [(o.id, o.state, o.version, o.refunded, o.restocked, o.changes) for _, o in sorted(t.orders.items())],
    )
    await twins.look(
        "SELECT order_id, state, reason, version, lease_until < now(), confirm_before < now() FROM saga ORDER BY 1",
        lambda: [
            (i, s.state, s.reason, s.version, s.lease_until < t.now(), s.confirm_before < t.now())
            for i, s in sorted(t.saga.items())
        ],
    )


class PaymentQuestions(Asked):
    def _store(self) -> Callable[[Database], PaymentStore]:
        hold = self.span
        return lambda database: PaymentStore(database, hold=hold)

    def _event(self, order_id: UUID) -> dict[str, Any]:
        return self.pool.event(PaymentRefunded(order_id=str(order_id)), order_id)

    def authorize(self) -> Ask:
        store, reply, amount = self._store(), self.pool.reply(), Money("EUR", 1999)
        held = Payment(self.pool.order, PaymentState.AUTHORIZED, self.pool.customer, UUID(int=1), amount, "token",
                       lapsed=False, create_time=EPOCH, update_time=EPOCH)  # fmt: skip
        return lambda database: store(database).authorize(held, amount, reply)

    def void(self) -> Ask:
        store, order_id, reply = self._store(), self.pool.order, self.pool.reply()
        return lambda database: store(database).void(order_id, reply)

    def expire(self) -> Ask:
        store = self._store()
        return lambda database: store(database).expire(100)

    def claim(self) -> Ask:
        store, order_id = self._store(), self.pool.order
        claim = self.random.choice((PaymentStore.claim_capture, PaymentStore.claim_give_back))
        return lambda database: claim(store(database), order_id)

    def end(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        event = self._event(order_id)
        end = self.random.choice((PaymentStore.captured, PaymentStore.capture_failed, PaymentStore.given_back))
        return lambda database: end(store(database), order_id, heard, event)

    def hear(self) -> Ask:
        store, heard = self._store(), self.pool.heard()
        return lambda database: store(database).heard(heard)

    def get(self) -> Ask:
        store, order_id = self._store(), self.pool.order
        return lambda database: store(database).get(order_id)

    def method(self) -> Ask:
        store, customer = self._store(), self.random.choice((self.pool.customer, UUID(int=7)))
        return lambda database: store(database).method(UUID(int=1), customer)


async def look_at_payments(twins: Twins) -> None:
    t: Any = twins.tables
    await twins.look(
        """SELECT order_id, state, customer_id, payment_method_id, currency_code, amount, processor_token, version,
        expire_time < now() FROM payment ORDER BY order_id""",
        lambda: [
            (p.order_id, p.state, p.customer_id, p.payment_method_id, p.currency_code, p.amount, p.processor_token,
             p.version, p.expire_time < t.now()) for _, p in sorted(t.payment.items())],
    )  # fmt: skip
    await twins.look(
        "SELECT order_id, kind, amount FROM ledger ORDER BY order_id, kind",
        lambda: [(*key, amount) for key, amount in sorted(t.ledger.items())],
    )


class InventoryQuestions(Asked):
    def _store(self) -> Callable[[Database], ReservationStore]:
        hold = self.span
        return lambda database: ReservationStore(database, hold=hold)

    def _event(self, order_id: UUID) -> dict[str, Any]:
        return self.pool.event(OrderRestocked(order_id=str(order_id)), order_id)

    def _lines(self) -> tuple[StockLine, ...]:
        products = self.random.sample([*self.pool.products, UUID(int=9)], self.random.choice((1, 1, 2)))
        return in_order(StockLine(product, self.random.randint(1, 3)) for product in products)

    def restock(self) -> Ask:
        product_id, quantity = self.random.choice(self.pool.products), self.random.randint(1, 4)
        return lambda database: database.one(RESTOCK, {"product_id": product_id, "quantity": quantity})

    def reserve(self) -> Ask:
        store, reply = self._store(), self.pool.reply()
        wanted = Reservation(self.pool.order, ReservationState.HELD, self._lines())
        return lambda database: store(database).reserve(wanted, reply)

    def release(self) -> Ask:
        store, order_id, reply = self._store(), self.pool.order, self.pool.reply()
        event = self._event(order_id)
        return lambda database: store(database).release(order_id, reply, event)

    def commit(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        return lambda database: store(database).commit(order_id, heard)

    def take_again(self) -> Ask:
        store, order_id, lines, heard = self._store(), self.pool.order, self._lines(), self.pool.heard()
        return lambda database: store(database).take_again(order_id, lines, heard)

    def fail_commit(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).fail_commit(order_id, heard, event)

    def cancel(self) -> Ask:
        store, order_id, heard = self._store(), self.pool.order, self.pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).cancel(order_id, heard, event)

    def expire(self) -> Ask:
        store, order_id = self._store(), self.pool.order
        event = self._event(order_id)
        return lambda database: store(database).expire(order_id, event)

    def read(self) -> Ask:
        store, order_id, lines = self._store(), self.pool.order, self._lines()

        async def read(database: Database) -> object:
            own = store(database)
            return await own.find(order_id), sorted(await own.short_of(lines)), await own.expired(100)

        return read


async def look_at_stock(twins: Twins) -> None:
    t: Any = twins.tables
    await twins.look(
        "SELECT product_id, available, reserved, sold, version FROM stock ORDER BY product_id",
        lambda: [(i, s.available, s.reserved, s.sold, s.version) for i, s in sorted(t.stock.items())],
    )
    await twins.look(
        """SELECT order_id, state, product_ids, quantities, cancelled, version, expire_time < now()
        FROM reservation ORDER BY order_id""",
        lambda: [
            (r.order_id, r.state, r.product_ids, r.quantities, r.cancelled, r.version,
             None if r.expire_time is None else r.expire_time < t.now()) for _, r in sorted(t.reservation.items())],
    )  # fmt: skip


CASES = {
    "order": (order, OrderQuestions, look_at_orders, ("orders", "saga")),
    "payment": (payment, PaymentQuestions, look_at_payments, ("payment", "ledger", "payment_method")),
    "inventory": (inventory, InventoryQuestions, look_at_stock, ("stock", "movement", "reservation")),
}


@pytest.mark.parametrize("service", CASES)
async def test_tables_in_memory_answer_and_hold_what_postgresql_does(database_url, service):
    module, questions, look, names = CASES[service]
    answered: set[tuple[str, str]] = set()
    async with Database(await database_url(service)) as database:
        for seed in range(SEQUENCES):
            await empty(database, *names)
            random = Random(seed)  # noqa: S311  # not a secret
            twins = Twins(database, module.Tables, module.STATEMENTS)
            pool = Pool(random)
            if service == "payment":
                await add_method(twins, pool)
            asked = questions(random, pool)
            kinds = [name for name, _ in inspect.getmembers(questions, inspect.isfunction) if name[0] != "_"]
            said: list[str] = []
            try:
                for _ in range(STEPS):
                    said.append(random.choice(kinds))
                    outcome, _ = await twins.ask(getattr(asked, said[-1])())
                    answered.add((said[-1], outcome))
                    await look(twins)
                await twins.look_at_chassis()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, after {' '.join(said)}: {error}") from error


async def add_method(twins: Twins, pool: Pool) -> None:
    """Let a customer have a payment method in both."""
    method = PaymentMethod(UUID(int=1), pool.customer, Brand.VISA, "4242", 12, 2099, "token", EPOCH)
    await PaymentStore(twins.real).create_method(method, pool.reply())
    await twins.real.execute("DELETE FROM idempotency")
    t: Any = twins.tables
    t.payment_method[method.id] = payment.MethodRow(method.id, pool.customer, "token")
