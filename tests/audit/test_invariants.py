"""Each invariant, broken once: the audit names it and the order; unbroken, it is silent."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.audit.cli import Finding, Report, render
from services.audit.facts import Facts, OrderFact, PaymentFact, ReservationFact
from services.audit.invariants import RULES

TEA, MUG = UUID(int=1), UUID(int=2)
LINES = ((TEA, 2), (MUG, 1))
ORDER = OrderFact(LINES, "COMPLETED", has_saga=False, age=1, was_confirmed=True, currency_code="EUR", total=2100)
CAPTURED = PaymentFact("CAPTURED", "EUR", 2100, 2100, None)
AUTHORIZED = PaymentFact("AUTHORIZED", "EUR", 2100, None, None)
VOIDED = PaymentFact("VOIDED", "EUR", 2100, None, None)
REFUNDED = PaymentFact("REFUNDED", "EUR", 2100, 2100, 2100)
UNCAPTURED = PaymentFact("CAPTURE_FAILED", "EUR", 2100, None, None)
EXPIRED = PaymentFact("EXPIRED", "EUR", 2100, None, None)
DAY = 86_400.0
TOMBSTONE = PaymentFact("VOIDED", None, None, None, None)
COMMITTED, HELD, RELEASED, RESTOCKED = (
    ReservationFact(state, LINES) for state in ("COMMITTED", "HELD", "RELEASED", "RESTOCKED")
)


def said(order: OrderFact | None, payment: PaymentFact | None, reservation: ReservationFact | None) -> Facts:
    return Facts(UUID(int=7), 30, order, payment, reservation)


def order(state: str, **changes) -> OrderFact:
    return replace(ORDER, state=state, has_saga=state == "PENDING", **changes)


def broken(facts: Facts) -> list[str]:
    return [rule.__name__ for rule in RULES if rule(facts)]


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(said(ORDER, CAPTURED, COMMITTED), id="completed"),
        pytest.param(said(order("CONFIRMED"), AUTHORIZED, HELD), id="confirmed"),
        pytest.param(said(order("CONFIRMED"), CAPTURED, COMMITTED), id="captured, not yet heard"),
        pytest.param(said(order("CONFIRMED"), UNCAPTURED, COMMITTED), id="could not be captured, not yet heard"),
        pytest.param(
            replace(said(order("CONFIRMED", age=DAY), EXPIRED, RELEASED), settle=2 * DAY), id="expired, not yet heard"
        ),
        pytest.param(said(order("PENDING", was_confirmed=False), None, HELD), id="half way"),
        pytest.param(said(order("REJECTED", was_confirmed=False), VOIDED, RELEASED), id="rejected"),
        pytest.param(said(order("REJECTED", was_confirmed=False), TOMBSTONE, None), id="rejected at the first step"),
        pytest.param(said(order("CANCELLED"), CAPTURED, COMMITTED), id="cancelled a moment ago"),
        pytest.param(said(order("CLOSED"), REFUNDED, RESTOCKED), id="closed"),
    ],
)
def test_nothing_is_found_where_all_is_well(facts):
    assert broken(facts) == []


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        pytest.param(said(order("PENDING", age=31), None, None), "every_order_ends", id="pending too long"),
        pytest.param(said(order("CANCELLED", age=31), VOIDED, RELEASED), "every_order_ends", id="never closed"),
        pytest.param(
            said(replace(order("PENDING"), has_saga=False), None, None), "no_order_is_lost", id="pending without a saga"
        ),
        pytest.param(said(None, AUTHORIZED, None), "no_order_is_lost", id="a payment without an order"),
        pytest.param(said(None, None, HELD), "no_order_is_lost", id="a reservation without an order"),
        pytest.param(said(ORDER, CAPTURED, None), "confirmed_means_reserved", id="confirmed, not reserved"),
        pytest.param(said(ORDER, CAPTURED, RELEASED), "confirmed_means_reserved", id="confirmed, released"),
        pytest.param(
            said(ORDER, CAPTURED, replace(COMMITTED, lines=((TEA, 1),))), "confirmed_means_reserved", id="other units"
        ),
        pytest.param(
            said(order("CONFIRMED"), None, HELD), "confirmed_means_authorized", id="confirmed, not authorized"
        ),
        pytest.param(said(ORDER, AUTHORIZED, COMMITTED), "confirmed_means_authorized", id="completed, not captured"),
        pytest.param(
            said(order("CONFIRMED"), replace(AUTHORIZED, amount=1), HELD), "confirmed_means_authorized", id="too little"
        ),
        pytest.param(
            said(order("PENDING", was_confirmed=False), CAPTURED, HELD),
            "captured_only_for_confirmed",
            id="captured, not confirmed",
        ),
        pytest.param(
            said(order("CANCELLED"), replace(CAPTURED, captured=4200), COMMITTED),
            "captured_only_for_confirmed",
            id="captured twice the total",
        ),
        pytest.param(
            said(order("CANCELLED"), replace(REFUNDED, refunded=1), COMMITTED),
            "refunded_what_was_captured",
            id="refunded another amount",
        ),
        pytest.param(
            said(order("REJECTED", was_confirmed=False), AUTHORIZED, RELEASED),
            "ended_means_money_is_back",
            id="rejected, still authorized",
        ),
        pytest.param(
            said(order("CLOSED"), CAPTURED, RESTOCKED), "ended_means_money_is_back", id="closed, still captured"
        ),
        pytest.param(
            said(order("REJECTED", was_confirmed=False), VOIDED, HELD),
            "ended_means_units_are_back",
            id="rejected, held",
        ),
        pytest.param(said(order("CLOSED"), REFUNDED, COMMITTED), "ended_means_units_are_back", id="closed, still sold"),
    ],
)
def test_a_broken_invariant_is_found(facts, rule):
    assert broken(facts) == [rule]


def test_the_report_names_each_rule_and_each_offender():
    finding = Finding("no_order_is_lost", "7", "is PENDING and has no saga")

    text = render(Report(3, {("no_order_is_lost", "7"): finding}))

    assert text.splitlines()[0] == "audit of 3 orders"
    assert "no_order_is_lost: 7 is PENDING and has no saga" in text
    assert text.count("holds") == len(RULES) + 2
    assert text.count("BROKEN") == 1
