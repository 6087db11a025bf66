"""What must be true in every schedule: the rules of `python -m services audit`, at each write, and more at the end."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from services.audit import invariants
from services.audit.facts import Facts, Lines, OrderFact, PaymentFact, ReservationFact
from services.order.api import CUSTOMER_CANCELLED
from tests.simulation.bank import Bank
from tests.simulation.customers import Customer
from tests.simulation.tables import chassis, inventory, order, payment

ALWAYS: Final = (
    invariants.no_order_is_lost,
    invariants.captured_only_for_confirmed,
    invariants.refunded_what_was_captured,
    invariants.ended_means_money_is_back,
    invariants.ended_means_units_are_back,
)
"""Rules that hold in between, too."""
WHEN_CONFIRMED: Final = (invariants.confirmed_means_reserved, invariants.confirmed_means_authorized)
"""Rules that hold at the moment of the confirmation; what is held may lapse later."""

_id: Final = lru_cache(1024)(UUID)


@dataclass(slots=True)
class Books:
    """Everything that is written anywhere."""

    order: order.Tables
    payment: payment.Tables
    inventory: inventory.Tables
    bank: Bank

    @property
    def tables(self) -> tuple[chassis.Tables, ...]:
        """All databases."""
        return self.order, self.payment, self.inventory

    def now_broken(self, service: str) -> Iterator[str]:
        """Yield what must never be, not even for a moment, and may be since a service wrote something."""
        for order_id in {**self.order.orders, **self.payment.payment, **self.inventory.reservation}:
            facts = self.facts(order_id, settle=float("inf"))
            rules = ALWAYS + (WHEN_CONFIRMED if self._just_confirmed(order_id) else ())
            yield from _broken(facts, rules)
        if service == "inventory":
            yield from self._stock()
        if service == "payment":
            yield from self._bank()

    def _just_confirmed(self, order_id: UUID) -> bool:
        found = self.order.orders.get(order_id)
        return found is not None and found.state == "CONFIRMED" and found.changed == self.order.now()

    def broken_at_the_end(self, settle: float) -> Iterator[str]:
        """Yield what must not be left once all is quiet."""
        yield from self._stock()
        yield from self._bank()
        for order_id in self.order.orders:
            yield from _broken(self.facts(order_id, settle), invariants.RULES)
        yield from self._money()
        yield from self._events()

    def facts(self, order_id: UUID, settle: float) -> Facts:
        """Return what is said of an order."""
        return Facts(order_id, settle, self._order(order_id), self._payment(order_id), self._reservation(order_id))

    def _order(self, order_id: UUID) -> OrderFact | None:
        o = self.order.orders.get(order_id)
        if o is None:
            return None
        lines = tuple(sorted((_id(line["product_id"]), line["quantity"]) for line in o.lines))
        was_confirmed = any(change["state"] == "CONFIRMED" for change in o.changes)
        age = self.order.now() - o.changed
        return OrderFact(lines, o.state, order_id in self.order.saga, age, was_confirmed, o.currency_code, o.total)

    def _payment(self, order_id: UUID) -> PaymentFact | None:
        p, ledger = self.payment.payment.get(order_id), self.payment.ledger
        if p is None:
            return None
        booked = ledger.get((order_id, "CAPTURE")), ledger.get((order_id, "REFUND"))
        return PaymentFact(p.state, p.currency_code, p.amount, *booked)

    def _reservation(self, order_id: UUID) -> ReservationFact | None:
        r = self.inventory.reservation.get(order_id)
        return ReservationFact(r.state, _lines(r)) if r else None

    def _stock(self) -> Iterator[str]:
        """Hold stock to the rules that the audit has in SQL."""
        held: Counter[tuple[UUID, str]] = Counter()
        for r in self.inventory.reservation.values():
            for product_id, units in _lines(r):
                held[product_id, r.state] += units
        delivered: Counter[UUID] = Counter()
        for product_id, units in self.inventory.movement:
            delivered[product_id] += units
        for product_id, s in self.inventory.stock.items():
            figures = f"available {s.available}, reserved {s.reserved}, sold {s.sold}"
            if min(s.available, s.reserved, s.sold) < 0:
                yield f"stock_is_never_negative: {product_id} has {figures}"
            if s.available + s.reserved + s.sold != delivered[product_id]:
                yield f"stock_equals_what_was_delivered: {product_id} has {figures} of {delivered[product_id]}"
            if (s.reserved, s.sold) != (held[product_id, "HELD"], held[product_id, "COMMITTED"]):
                yield f"stock_equals_what_is_held: {product_id} has {figures}"

    def _bank(self) -> Iterator[str]:
        """Count at the processor: a card is captured once at most, and only for an order that was confirmed."""
        for reference, account in self.bank.accounts.items():
            if account.captures > 1:
                yield f"captured_once: {reference} was captured {account.captures} times"
            fact = self._order(_id(reference))
            if account.captured and not (fact and fact.was_confirmed):
                yield f"captured_only_for_confirmed: {reference} was captured and never confirmed"

    def broken_promises(self, customers: Sequence[Customer]) -> Iterator[str]:
        """Yield which customers were told something that is not so."""
        for customer in customers:
            orders = [o for o in self.order.orders.values() if o.customer_id == customer.id]
            if "placed" in customer.told and [o.id for o in orders] != [customer.order_id]:
                yield f"answers_are_true: {customer.name} placed one order, and has {len(orders)}"
            if "not placed" in customer.told and orders:
                yield f"answers_are_true: {customer.name} was refused, and has an order"
            cancelled = any(change["reason"] == CUSTOMER_CANCELLED for o in orders for change in o.changes)
            if customer.told & {"cancelled", "not cancelled"} and cancelled != ("cancelled" in customer.told):
                yield f"answers_are_true: {customer.name} was told {sorted(customer.told)}, {cancelled=}"

    def _money(self) -> Iterator[str]:
        """Compare the processor's books with the ledger, and see that nothing is held for an order that ended."""
        for reference, account in self.bank.accounts.items():
            order_id = _id(reference)
            ledger = [self.payment.ledger.get((order_id, kind), 0) for kind in ("CAPTURE", "REFUND")]
            kept = account.captured - account.given_back
            if kept != ledger[0] - ledger[1]:
                yield f"ledger_is_true: {reference} paid {kept}, the ledger says {ledger[0] - ledger[1]}"
            state = self.order.orders[order_id].state
            if account.held_until > self.order.now() and not account.captured and state in ("REJECTED", "CLOSED"):
                yield f"ended_means_nothing_is_held: {reference} is {state}, and its card still holds the amount"

    def _events(self) -> Iterator[str]:
        """See that each thing that happened to an order was told once, and that all was told."""
        told: Counter[tuple[str, str]] = Counter()
        for tables in self.tables:
            told.update((event.aggregate_id, event.event_type.rpartition(".")[2]) for event in tables.outbox)
            yield from (
                f"published: {e.event_type} of {e.aggregate_id} never was" for e in tables.outbox if not e.published
            )
        yield from (f"told_once: {name} of {i}, {times} times" for (i, name), times in told.items() if times > 1)


def _lines(reservation: inventory.ReservationRow) -> Lines:
    return tuple(sorted(zip(reservation.product_ids, reservation.quantities, strict=True)))


def _broken(facts: Facts, rules: tuple[invariants.Rule, ...]) -> Iterator[str]:
    for rule in rules:
        if detail := rule(facts):
            yield f"{rule.__name__}: {facts.order_id} {detail}"
