"""The order service's database in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.order import store
from tests.simulation.tables import chassis
from tests.simulation.tables.chassis import DONE, Parameters, Row, Statement, UniqueViolation, seconds


@dataclass(slots=True)
class OrderRow:
    """A row of `orders`."""

    id: UUID
    customer_id: UUID
    payment_method_id: UUID
    state: str
    version: int
    currency_code: str
    total: int
    lines: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    changed: float
    """When its last change was written."""
    refunded: bool = False
    restocked: bool = False


@dataclass(slots=True)
class SagaRow:
    """A row of `saga`."""

    lease_until: float
    confirm_before: float
    state: str = "FORWARD"
    reason: str = ""
    version: int = 1


class Tables(chassis.Tables):
    """All tables of the database."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin empty."""
        super().__init__(now)
        self.orders: dict[UUID, OrderRow] = {}
        self.saga: dict[UUID, SagaRow] = {}

    def become(self, order: OrderRow, state: str, reason: str, time: str = "") -> None:
        """Put an order into a state, with its change."""
        order.state, order.version, order.changed = state, order.version + 1, self.now()
        change = {"version": order.version, "state": state, "reason": reason, "time": time or self.written()}
        order.changes = [*order.changes, change]


def place(t: Tables, p: Parameters) -> list[Row]:
    if p["order_id"] in t.orders:
        raise UniqueViolation("orders_pkey")
    t.remember(p)
    now = t.now()
    t.orders[p["order_id"]] = OrderRow(
        p["order_id"], p["customer_id"], p["payment_method_id"], "PENDING", 1, p["currency_code"], p["total"],
        p["lines"].obj, p["changes"].obj, now,
    )  # fmt: skip
    t.saga[p["order_id"]] = SagaRow(now + seconds(p["lease"]), now + seconds(p["confirm_within"]))
    t.announce(p, 1)
    return DONE


def confirm(t: Tables, p: Parameters) -> list[Row]:
    saga = t.saga.get(p["order_id"])
    if saga is None or t.now() >= saga.confirm_before:
        return []
    return _end(t, p, "FORWARD", "CONFIRMED")


def reject(t: Tables, p: Parameters) -> list[Row]:
    return _end(t, p, "COMPENSATING", "REJECTED")


def _end(t: Tables, p: Parameters, saga_state: str, state: str) -> list[Row]:
    order, saga = t.orders.get(p["order_id"]), t.saga.get(p["order_id"])
    if order is None or saga is None or order.state != "PENDING":
        return []
    if (saga.version, saga.state) != (p["saga_version"], saga_state):
        return []
    del t.saga[order.id]
    t.become(order, state, p["reason"])
    return t.announce(p, order.version)


def turn(t: Tables, p: Parameters) -> list[Row]:
    saga = t.saga.get(p["order_id"])
    if saga is None or (saga.version, saga.state) != (p["saga_version"], "FORWARD"):
        return []
    saga.state, saga.reason, saga.version = "COMPENSATING", p["reason"], saga.version + 1
    saga.lease_until = t.now() + seconds(p["lease"])
    return [(saga.version,)]


def claim(t: Tables, p: Parameters) -> list[Row]:
    now = t.now()
    if not t.saga:
        return []
    lapsed = sorted((s.lease_until, order_id) for order_id, s in t.saga.items() if s.lease_until < now)
    rows: list[Row] = []
    for _, order_id in lapsed[: p["limit"]]:
        saga = t.saga[order_id]
        saga.version += 1
        saga.lease_until = now + seconds(p["lease"])
        rows.append((saga.version, saga.state, saga.reason, *_columns(t.orders[order_id])))
    return rows


def extend(t: Tables, p: Parameters) -> list[Row]:
    rows: list[Row] = []
    for order_id, version in zip(p["order_ids"], p["versions"], strict=True):
        saga = t.saga.get(order_id)
        if saga is not None and saga.version == version:
            saga.lease_until = t.now() + seconds(p["lease"])
            rows.append((order_id,))
    return rows


def cancel(t: Tables, p: Parameters) -> list[Row]:
    order = t.orders.get(p["order_id"])
    if order is None or order.version != p["version"] - 1:
        return []
    t.remember(p)
    t.become(order, "CANCELLED", p["reason"], p["time"].isoformat())
    t.saga.pop(order.id, None)
    return t.announce(p, order.version)


def complete(t: Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    order = t.orders.get(p["order_id"])
    if order is None or order.state != "CONFIRMED":
        return []
    t.become(order, "COMPLETED", p["reason"])
    return [(order.version,)]


def cancel_by_event(t: Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    order = t.orders.get(p["order_id"])
    if order is None or order.state not in ("CONFIRMED", "COMPLETED"):
        return []
    t.become(order, "CANCELLED", p["reason"])
    return t.announce(p, order.version)


def refunded(t: Tables, p: Parameters) -> list[Row]:
    return _give_back(t, p, "refunded", "restocked")


def restocked(t: Tables, p: Parameters) -> list[Row]:
    return _give_back(t, p, "restocked", "refunded")


def _give_back(t: Tables, p: Parameters, given: str, other: str) -> list[Row]:
    t.hear(p)
    order = t.orders.get(p["order_id"])
    if order is None or order.state != "CANCELLED" or getattr(order, given):
        return []
    setattr(order, given, True)
    if not getattr(order, other):
        return []
    t.become(order, "CLOSED", order.changes[-1]["reason"])
    return t.announce(p, order.version)


def get(t: Tables, p: Parameters) -> list[Row]:
    order = t.orders.get(p[0])
    return [_columns(order)] if order else []


def _columns(o: OrderRow) -> Row:
    return o.id, o.customer_id, o.payment_method_id, o.currency_code, o.total, o.lines, o.changes


STATEMENTS: Mapping[str, Statement] = {
    **chassis.STATEMENTS,
    store.PLACE: place,
    store.CONFIRM: confirm,
    store.REJECT: reject,
    store.TURN: turn,
    store.CLAIM: claim,
    store.EXTEND: extend,
    store.CANCEL: cancel,
    store.COMPLETE: complete,
    store.CANCEL_BY_EVENT: cancel_by_event,
    store.REFUNDED: refunded,
    store.RESTOCKED: restocked,
    store.GET: get,
}
