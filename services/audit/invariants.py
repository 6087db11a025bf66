"""What must be true of every order and every product, whatever crashed. Each rule returns what is wrong, or nothing."""

from collections.abc import Callable
from typing import LiteralString

from services.audit.facts import Facts

Rule = Callable[[Facts], str | None]

CONFIRMED = ("CONFIRMED", "COMPLETED")
BOUND_TO_MOVE = ("PENDING", "CONFIRMED", "CANCELLED")
"""States that an order leaves by itself."""
HELD_FOR = 23 * 3600.0
"""Seconds after a confirmation during which its reservation cannot have expired; it lives 24 h from the placing."""


def no_order_is_lost(facts: Facts) -> str | None:
    """Check that a PENDING order has a saga, and that payments and reservations have an order."""
    order = facts.order
    if order is None:
        return "is known to payment or inventory, not to order"
    if (order.state == "PENDING") != order.has_saga:
        return f"is {order.state} and has {'a' if order.has_saga else 'no'} saga"
    return None


def every_order_ends(facts: Facts) -> str | None:
    """Check that no order stays in a state that it should leave by itself."""
    order = facts.order
    if order and order.state in BOUND_TO_MOVE and order.age > facts.settle:
        return f"has been {order.state} for {order.age:.0f} s"
    return None


def confirmed_means_reserved(facts: Facts) -> str | None:
    """Check that a confirmed order's units are held or sold, exactly.

    One that expired before the confirmation was heard, a day later, is taken again, or else the order is cancelled.
    """
    if not facts.order or facts.order.state not in CONFIRMED:
        return None
    held = facts.reservation
    expired = facts.order.state == "CONFIRMED" and facts.order.age > HELD_FOR
    if held is None or held.state not in ("HELD", "COMMITTED", *(["RELEASED"] if expired else [])):
        return f"is {facts.order.state}, its reservation {held.state if held else 'missing'}"
    return None if held.lines == facts.order.lines else "holds other units than were ordered"


def confirmed_means_authorized(facts: Facts) -> str | None:
    """Check that a confirmed order's total is held or taken; taken, once it is COMPLETED.

    What could not be taken cancels the order by event, and `every_order_ends` sees to it that this happens.
    """
    order, payment = facts.order, facts.payment
    if not order or order.state not in CONFIRMED:
        return None
    allowed = (
        ("CAPTURED",)
        if order.state == "COMPLETED"
        else ("AUTHORIZED", "EXPIRED", "CAPTURING", "CAPTURED", "CAPTURE_FAILED")
    )
    if payment is None or payment.state not in allowed:
        return f"is {order.state}, its payment {payment.state if payment else 'missing'}"
    same = (payment.currency_code, payment.amount) == (order.currency_code, order.total)
    return None if same else f"is worth {order.total}, its payment {payment.amount}"


def captured_only_for_confirmed(facts: Facts) -> str | None:
    """Check that a card is captured only for an order that was confirmed, and for its total."""
    if not facts.payment or facts.payment.captured is None:
        return None
    if not facts.order or not facts.order.was_confirmed:
        return "was captured and never confirmed"
    taken, total = facts.payment.captured, facts.order.total
    return None if taken == total else f"was captured for {taken}, its total is {total}"


def refunded_what_was_captured(facts: Facts) -> str | None:
    """Check that what is given back was taken before."""
    payment = facts.payment
    if payment and payment.refunded is not None and payment.refunded != payment.captured:
        return f"was refunded {payment.refunded} of {payment.captured or 0}"
    return None


def ended_means_money_is_back(facts: Facts) -> str | None:
    """Check that a rejected order is voided, a closed one voided or refunded."""
    ends = {"REJECTED": ("VOIDED",), "CLOSED": ("VOIDED", "REFUNDED")}
    if not facts.order or not facts.payment or facts.order.state not in ends:
        return None
    if facts.payment.state not in ends[facts.order.state]:
        return f"is {facts.order.state}, its payment {facts.payment.state}"
    kept = (facts.payment.captured or 0) - (facts.payment.refunded or 0)
    return f"is {facts.order.state} and {kept} was kept" if kept else None


def ended_means_units_are_back(facts: Facts) -> str | None:
    """Check that a rejected order's units are released, a closed one's released or restocked."""
    ends = {"REJECTED": ("RELEASED",), "CLOSED": ("RELEASED", "RESTOCKED")}
    if not facts.order or not facts.reservation or facts.order.state not in ends:
        return None
    if facts.reservation.state in ends[facts.order.state]:
        return None
    return f"is {facts.order.state}, its reservation {facts.reservation.state}"


RULES: tuple[Rule, ...] = (
    no_order_is_lost,
    every_order_ends,
    confirmed_means_reserved,
    confirmed_means_authorized,
    captured_only_for_confirmed,
    refunded_what_was_captured,
    ended_means_money_is_back,
    ended_means_units_are_back,
)

STOCK_RULES: dict[str, LiteralString] = {
    "stock_is_never_negative": """
        SELECT product_id, format('available %s, reserved %s, sold %s', available, reserved, sold)
        FROM stock WHERE least(available, reserved, sold) < 0""",
    "stock_equals_what_was_delivered": """
        SELECT product_id, format('has %s units, %s were delivered', available + reserved + sold, delivered)
        FROM stock FULL JOIN (
            SELECT product_id, sum(quantity) AS delivered FROM movement GROUP BY product_id
        ) AS movements USING (product_id)
        WHERE available + reserved + sold IS DISTINCT FROM delivered""",
    "stock_equals_what_is_held": """
        SELECT product_id, format('reserved %s, sold %s; orders hold %s and took %s', reserved, sold, held, taken)
        FROM stock LEFT JOIN (
            SELECT product_id, coalesce(sum(quantity) FILTER (WHERE state = 'HELD'), 0) AS held,
                   coalesce(sum(quantity) FILTER (WHERE state = 'COMMITTED'), 0) AS taken
            FROM reservation, unnest(product_ids, quantities) AS line (product_id, quantity) GROUP BY product_id
        ) AS lines USING (product_id)
        WHERE (reserved, sold) IS DISTINCT FROM (coalesce(held, 0), coalesce(taken, 0))""",
}
"""Each returns the products that break the rule, and how. One statement sees one moment."""
