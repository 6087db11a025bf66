"""What the databases of order, payment and inventory say of each order, joined as sorted streams in constant memory."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, LiteralString
from uuid import UUID

import psycopg

Lines = tuple[tuple[UUID, int], ...]
"""Products and units, in the order of products."""

ORDERS: LiteralString = """
SELECT orders.id, orders.state, saga.order_id IS NOT NULL,
       extract(epoch FROM now() - (changes -> -1 ->> 'time')::timestamptz)::float8,
       changes @> '[{"state": "CONFIRMED"}]', currency_code, total,
       ARRAY(SELECT line ->> 'product_id' FROM jsonb_array_elements(lines) AS line ORDER BY 1),
       ARRAY(SELECT (line ->> 'quantity')::int FROM jsonb_array_elements(lines) AS line ORDER BY line ->> 'product_id')
FROM orders LEFT JOIN saga ON saga.order_id = orders.id ORDER BY orders.id
"""
PAYMENTS: LiteralString = """
SELECT payment.order_id, payment.state, payment.currency_code, payment.amount, captured.amount, refunded.amount
FROM payment
LEFT JOIN ledger AS captured ON captured.order_id = payment.order_id AND captured.kind = 'CAPTURE'
LEFT JOIN ledger AS refunded ON refunded.order_id = payment.order_id AND refunded.kind = 'REFUND'
ORDER BY payment.order_id
"""
RESERVATIONS: LiteralString = "SELECT order_id, state, product_ids, quantities FROM reservation ORDER BY order_id"
FETCHED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class OrderFact:
    """What the order service says."""

    lines: Lines
    state: str
    has_saga: bool
    age: float
    """Seconds since the order last changed."""
    was_confirmed: bool
    currency_code: str
    total: int


@dataclass(frozen=True, slots=True)
class PaymentFact:
    """What the payment service says. Amounts are in minor units."""

    state: str
    currency_code: str | None
    amount: int | None
    captured: int | None
    refunded: int | None


@dataclass(frozen=True, slots=True)
class ReservationFact:
    """What the inventory service says; a tombstone has no lines."""

    state: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is said of one order."""

    order_id: UUID
    settle: float
    """Seconds after which an order must have moved on."""
    order: OrderFact | None = None
    payment: PaymentFact | None = None
    reservation: ReservationFact | None = None


def read(
    order: psycopg.Connection, payment: psycopg.Connection, inventory: psycopg.Connection, settle: float
) -> Iterator[Facts]:
    """Yield what is said of each order, in the order of ids."""
    streams = (
        _stream(order, "order", ORDERS),
        _stream(payment, "payment", PAYMENTS),
        _stream(inventory, "reservation", RESERVATIONS),
    )
    for order_id, said in groupby(heapq.merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
        yield replace(Facts(order_id, settle), **{source: _FACTS[source](*row) for _, source, row in said})


def _stream(connection: psycopg.Connection, source: str, query: LiteralString) -> Iterator[tuple[UUID, str, Any]]:
    with connection.transaction(), connection.cursor(name=source) as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        for order_id, *row in cursor.execute(query):
            yield order_id, source, row


def _order(*row: Any) -> OrderFact:
    *scalars, products, quantities = row
    return OrderFact(_lines([UUID(product) for product in products], quantities), *scalars)


def _reservation(state: str, products: list[UUID], quantities: list[int]) -> ReservationFact:
    return ReservationFact(state, _lines(products, quantities))


def _lines(products: list[UUID], quantities: list[int]) -> Lines:
    return tuple(sorted(zip(products, quantities, strict=True)))


_FACTS: dict[str, Any] = {"order": _order, "payment": PaymentFact, "reservation": _reservation}
