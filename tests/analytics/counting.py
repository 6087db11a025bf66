"""The read model, counted from events in the plainest way, and as the database has it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from meshmart.order.v1.order_events_pb2 import OrderPlaced

from scripts.benchmarks.history import Happening
from services.chassis.database import Database

Figures = dict[str, set[tuple[Any, ...]]]
STEPS = {
    "OrderPlaced": ("placed", "place_time"),
    "OrderConfirmed": ("confirmed", "confirm_time"),
    "PaymentCaptured": ("captured", "capture_time"),
    "PaymentCaptureFailed": ("capture_failed", "fail_time"),
    "OrderRejected": ("rejected", "reject_time"),
    "OrderCancelled": ("cancelled", "cancel_time"),
    "PaymentRefunded": ("refunded", "refund_time"),
    "OrderClosed": ("closed", "close_time"),
}
FUNNEL = [step for step, _ in STEPS.values()]


def counted(happenings: Iterable[Happening]) -> Figures:
    """Return what must be in the tables once all events were heard."""
    orders: dict[str, dict[str, Any]] = defaultdict(dict)
    products = set()
    for happening in happenings:
        event = happening.event
        name = event.DESCRIPTOR.name
        if name == "ProductChanged":
            products.add((UUID(event.product_id), event.display_name, event.category))
        elif name != "PaymentRefunded" or event.HasField("amount"):
            step, field = STEPS[name]
            orders[event.order_id][step] = getattr(event, field).ToDatetime(UTC)
            if isinstance(event, OrderPlaced):
                orders[event.order_id]["order"] = event
    known = [order for order in orders.values() if "order" in order]
    return {
        "product": products,
        "funnel": _funnel(known),
        "customer_value": _customers(known),
        "day_sales": _sales(known, by_product=False),
        "product_sales": _sales(known, by_product=True),
    }


def _funnel(orders: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    days: dict[date, list[int]] = defaultdict(lambda: [0] * len(FUNNEL))
    for order in orders:
        for position, step in enumerate(FUNNEL):
            days[order["placed"].date()][position] += step in order
    return {(day, *counts) for day, counts in days.items()}


def _customers(orders: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    groups: dict[tuple[UUID, str], list[dict[str, Any]]] = defaultdict(list)
    for order in orders:
        groups[UUID(order["order"].customer_id), order["order"].total.currency_code].append(order)
    return {(*key, *_customer(group)) for key, group in groups.items()}


def _customer(orders: list[dict[str, Any]]) -> tuple[int, int, int, int, datetime, datetime]:
    captured = [order for order in orders if "captured" in order]
    refunded = [order for order in orders if "refunded" in order]
    value = sum(_total(order) for order in captured) - sum(_total(order) for order in refunded)
    times = [order["placed"] for order in orders]
    return len(orders), len(captured), len(refunded), value, min(times), max(times)


def _total(order: dict[str, Any]) -> int:
    return order["order"].total.minor_units


def _sales(orders: list[dict[str, Any]], *, by_product: bool) -> set[tuple[Any, ...]]:
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 5)
    for order in orders:
        lines = [(UUID(line.product_id), line.quantity, line.unit_price.minor_units) for line in order["order"].lines]
        parts = [((product,), units, units * price) for product, units, price in lines]
        whole = [((), sum(units for _, units, _ in lines), _total(order))]
        for step, sign in (("captured", 1), ("refunded", -1)):
            for key, units, amount in (parts if by_product else whole) if step in order else ():
                row = sums[order[step].date(), *key, order["order"].total.currency_code]
                for column, value in enumerate((sign > 0, sign < 0, sign * units)):
                    row[column] += value
                row[3 if sign > 0 else 4] += amount
    return {(*key, *row) for key, row in sums.items()}


TABLES = {
    "product": "product_id, display_name, category",
    "funnel": f"day, {', '.join(FUNNEL)}",
    "customer_value": """customer_id, currency_code, placed_orders, orders, refunded_orders, value, first_order_time,
        last_order_time""",
    "day_sales": "day, currency_code, orders, refunded_orders, units, captured, refunded",
    "product_sales": "day, product_id, currency_code, orders, refunded_orders, units, captured, refunded",
}
CURRENT = "(SELECT number FROM generation WHERE state = 'CURRENT')"


async def stored(database: Database, generation: str = CURRENT) -> Figures:
    """Return what is in the tables of a generation."""
    return {
        table: set(await database.all(f"SELECT {columns} FROM {table} WHERE generation = {generation}"))  # noqa: S608
        for table, columns in TABLES.items()
    }
