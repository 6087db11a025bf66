"""Orders in PostgreSQL. Each use case is one statement, so that a crash leaves all of it or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from services.chassis import idempotency, inbox, outbox
from services.chassis.database import Database
from services.chassis.money import Money
from services.order.domain import Change, Line, Order, State

Parameters = Mapping[str, Any]

ORDER_COLUMNS = "id, customer_id, payment_method_id, currency_code, total, lines, changes"


def _becomes(state: State, time: str = "now()") -> str:
    """Return the assignments that put an order into a state, with its change."""
    return f"""
        state = '{state.value}', version = orders.version + 1,
        changes = orders.changes || jsonb_build_object(
            'version', orders.version + 1, 'state', '{state.value}', 'reason', %(reason)s::text, 'time', {time})"""


PLACE = f"""
WITH placed AS (
    INSERT INTO orders (id, customer_id, payment_method_id, state, version, currency_code, total, lines, changes)
    VALUES (%(order_id)s, %(customer_id)s, %(payment_method_id)s, 'PENDING', 1, %(currency_code)s, %(total)s,
            %(lines)s, %(changes)s)
), begun AS (
    INSERT INTO saga (order_id, state, lease_until, confirm_before)
    VALUES (%(order_id)s, 'FORWARD', now() + %(lease)s, now() + %(confirm_within)s)
), remembered AS ({idempotency.INSERT} VALUES ({idempotency.VALUES}))
{outbox.INSERT} VALUES ({outbox.VALUES}, 1)
"""  # noqa: S608  # only constants of this module are put in

# Every statement that ends a saga locks the order before the saga, so that none waits for another in a circle.
CONFIRM = f"""
WITH pending AS (
    SELECT id FROM orders WHERE id = %(order_id)s AND state = 'PENDING' FOR UPDATE
), done AS (
    DELETE FROM saga USING pending
    WHERE order_id = pending.id AND saga.version = %(saga_version)s AND saga.state = 'FORWARD'
      AND now() < saga.confirm_before
    RETURNING order_id
), confirmed AS (
    UPDATE orders SET {_becomes(State.CONFIRMED)} FROM done WHERE id = done.order_id RETURNING orders.version
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM confirmed RETURNING aggregate_version
"""  # noqa: S608  # only constants of this module are put in

REJECT = f"""
WITH pending AS (
    SELECT id FROM orders WHERE id = %(order_id)s AND state = 'PENDING' FOR UPDATE
), done AS (
    DELETE FROM saga USING pending
    WHERE order_id = pending.id AND saga.version = %(saga_version)s AND saga.state = 'COMPENSATING'
    RETURNING order_id
), rejected AS (
    UPDATE orders SET {_becomes(State.REJECTED)} FROM done WHERE id = done.order_id RETURNING orders.version
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM rejected RETURNING aggregate_version
"""  # noqa: S608  # only constants of this module are put in

TURN = """
UPDATE saga SET state = 'COMPENSATING', reason = %(reason)s, version = version + 1, lease_until = now() + %(lease)s
WHERE order_id = %(order_id)s AND version = %(saga_version)s AND state = 'FORWARD'
RETURNING version
"""

CLAIM = f"""
WITH lapsed AS (
    SELECT order_id FROM saga WHERE lease_until < now() ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE saga SET version = version + 1, lease_until = now() + %(lease)s
    FROM lapsed WHERE saga.order_id = lapsed.order_id
    RETURNING saga.order_id, saga.version, saga.state, saga.reason
)
SELECT claimed.version, claimed.state, claimed.reason, {", ".join(f"orders.{c}" for c in ORDER_COLUMNS.split(", "))}
FROM claimed JOIN orders ON orders.id = claimed.order_id
"""  # noqa: S608  # only constants of this module are put in

EXTEND = """
UPDATE saga SET lease_until = now() + %(lease)s
FROM unnest(%(order_ids)s::uuid[], %(versions)s::bigint[]) AS held (order_id, version)
WHERE saga.order_id = held.order_id AND saga.version = held.version
RETURNING saga.order_id
"""

CANCEL = f"""
WITH cancelled AS (
    UPDATE orders SET {_becomes(State.CANCELLED, "%(time)s::timestamptz")}
    WHERE id = %(order_id)s AND version = %(version)s - 1
    RETURNING id, orders.version
), ended AS (
    DELETE FROM saga USING cancelled WHERE order_id = cancelled.id
), remembered AS ({idempotency.INSERT} SELECT {idempotency.VALUES} FROM cancelled)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM cancelled RETURNING aggregate_version
"""  # noqa: S608  # only constants of this module are put in

COMPLETE = f"""
WITH heard AS ({inbox.INSERT})
UPDATE orders SET {_becomes(State.COMPLETED)} WHERE id = %(order_id)s AND state = 'CONFIRMED'
RETURNING orders.version
"""  # noqa: S608  # only constants of this module are put in

CANCEL_BY_EVENT = f"""
WITH heard AS ({inbox.INSERT}), cancelled AS (
    UPDATE orders SET {_becomes(State.CANCELLED)}
    WHERE id = %(order_id)s AND state IN ('CONFIRMED', 'COMPLETED')
    RETURNING orders.version
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM cancelled RETURNING aggregate_version
"""  # noqa: S608  # only constants of this module are put in


def _give_back(given: str, other: str) -> str:
    """Return the statement that notes what was given back, and closes the order when the other half was too."""
    return f"""
WITH heard AS ({inbox.INSERT}), given AS (
    UPDATE orders SET {given} = true,
        state = CASE WHEN {other} THEN 'CLOSED' ELSE state END,
        version = CASE WHEN {other} THEN version + 1 ELSE version END,
        changes = CASE WHEN {other} THEN changes || jsonb_build_object(
            'version', version + 1, 'state', 'CLOSED', 'reason', changes -> -1 ->> 'reason', 'time', now())
            ELSE changes END
    WHERE id = %(order_id)s AND state = 'CANCELLED' AND NOT {given}
    RETURNING state, version
)
{outbox.INSERT} SELECT {outbox.VALUES}, version FROM given WHERE state = 'CLOSED' RETURNING aggregate_version
"""  # noqa: S608  # only constants of this module are put in


REFUNDED = _give_back("refunded", "restocked")
RESTOCKED = _give_back("restocked", "refunded")

GET = f"SELECT {ORDER_COLUMNS} FROM orders WHERE id = %s"  # noqa: S608  # a constant of this module
LIST = f"""
SELECT {ORDER_COLUMNS} FROM orders WHERE customer_id = %s AND id < %s ORDER BY id DESC LIMIT %s
"""  # noqa: S608  # a constant of this module


@dataclass(frozen=True, slots=True)
class Saga:
    """An order on its way, as this process holds it."""

    order: Order
    version: int
    compensating: bool
    reason: str


def saga_of(order: Order) -> Saga:
    """Return the saga that `place` began."""
    return Saga(order, version=1, compensating=False, reason="")


class OrderStore:
    """The queries of the order service. `event` and `reply` are parameters of the outbox and of idempotency."""

    def __init__(self, database: Database, *, lease: float, confirm_within: float) -> None:
        """Keep the database and how long a lease and a confirmation may last, in seconds."""
        self._database = database
        self._lease = f"{lease} s"
        self._confirm_within = f"{confirm_within} s"

    async def place(self, order: Order, event: Parameters, reply: Parameters) -> None:
        """Write a new order with its saga, held by this process."""
        await self._database.execute(
            PLACE,
            {
                **event,
                **reply,
                "order_id": order.id,
                "customer_id": order.customer_id,
                "payment_method_id": order.payment_method_id,
                "currency_code": order.total.currency_code,
                "total": order.total.minor_units,
                "lines": Jsonb([_line_to_json(line) for line in order.lines]),
                "changes": Jsonb([_change_to_json(change) for change in order.changes]),
                "lease": self._lease,
                "confirm_within": self._confirm_within,
            },
        )

    async def confirm(self, saga: Saga, event: Parameters) -> bool:
        """Confirm an order, unless this process lost its saga, it was cancelled, or it took too long."""
        return await self._end(CONFIRM, saga, event)

    async def reject(self, saga: Saga, event: Parameters) -> bool:
        """Reject an order whose compensations are done, unless this process lost its saga."""
        return await self._end(REJECT, saga, event)

    async def _end(self, statement: str, saga: Saga, event: Parameters) -> bool:
        parameters = {**event, "order_id": saga.order.id, "saga_version": saga.version, "reason": saga.reason}
        return await self._database.one(statement, parameters) is not None

    async def turn(self, saga: Saga, reason: str) -> Saga | None:
        """Turn a saga to compensation; None when this process lost it."""
        row = await self._database.one(
            TURN,
            {"order_id": saga.order.id, "saga_version": saga.version, "reason": reason, "lease": self._lease},
        )
        return Saga(saga.order, row[0], compensating=True, reason=reason) if row else None

    async def claim(self, limit: int) -> list[Saga]:
        """Take over sagas whose lease lapsed."""
        rows = await self._database.all(CLAIM, {"limit": limit, "lease": self._lease})
        return [Saga(_order(row[3:]), row[0], row[1] == "COMPENSATING", row[2]) for row in rows]

    async def extend(self, sagas: Sequence[Saga]) -> set[UUID]:
        """Renew the leases of sagas and return the orders of those still held."""
        return {row[0] for row in await self._database.all(EXTEND, self._held(sagas, self._lease))}

    async def give_back(self, sagas: Sequence[Saga]) -> None:
        """End the leases of sagas, so that another process takes them over at once."""
        await self._database.all(EXTEND, self._held(sagas, "0 s"))

    def _held(self, sagas: Sequence[Saga], lease: str) -> dict[str, Any]:
        order_ids = [saga.order.id for saga in sagas]
        return {"order_ids": order_ids, "versions": [saga.version for saga in sagas], "lease": lease}

    async def cancel(self, cancelled: Order, event: Parameters, reply: Parameters) -> bool:
        """Write a cancellation, unless the order has changed since it was read."""
        change = cancelled.changes[-1]
        own = {"order_id": cancelled.id, "version": change.version, "reason": change.reason, "time": change.time}
        parameters = {**event, **reply, **own}
        return await self._database.one(CANCEL, parameters) is not None

    async def complete(self, order_id: UUID, heard: Parameters) -> bool:
        """Complete an order whose payment was captured."""
        return await self._database.one(COMPLETE, {**heard, "order_id": order_id, "reason": ""}) is not None

    async def cancel_by_event(self, order_id: UUID, reason: str, heard: Parameters, event: Parameters) -> bool:
        """Cancel a confirmed order that a neighbour could not keep."""
        parameters = {**heard, **event, "order_id": order_id, "reason": reason}
        return await self._database.one(CANCEL_BY_EVENT, parameters) is not None

    async def note_refunded(self, order_id: UUID, heard: Parameters, event: Parameters) -> bool:
        """Note that the money was given back; return whether that closed the order."""
        return await self._database.one(REFUNDED, {**heard, **event, "order_id": order_id}) is not None

    async def note_restocked(self, order_id: UUID, heard: Parameters, event: Parameters) -> bool:
        """Note that the units were given back; return whether that closed the order."""
        return await self._database.one(RESTOCKED, {**heard, **event, "order_id": order_id}) is not None

    async def get(self, order_id: UUID) -> Order | None:
        """Return an order."""
        row = await self._database.one(GET, (order_id,))
        return _order(row) if row else None

    async def list_of_customer(self, customer_id: UUID, before: UUID, limit: int) -> list[Order]:
        """Return a customer's orders older than one, newest first."""
        return [_order(row) for row in await self._database.all(LIST, (customer_id, before, limit))]


def _order(row: Sequence[Any]) -> Order:
    order_id, customer_id, payment_method_id, currency, total, lines, changes = row
    return Order(
        order_id,
        customer_id,
        payment_method_id,
        tuple(_line_of_json(line, currency) for line in lines),
        Money(currency, total),
        tuple(_change_of_json(change) for change in changes),
    )


def _line_to_json(line: Line) -> dict[str, Any]:
    return {
        "product_id": str(line.product_id),
        "display_name": line.display_name,
        "quantity": line.quantity,
        "unit_price": line.unit_price.minor_units,
    }


def _line_of_json(line: Mapping[str, Any], currency: str) -> Line:
    price = Money(currency, line["unit_price"])
    return Line(UUID(line["product_id"]), line["display_name"], line["quantity"], price)


def _change_to_json(change: Change) -> dict[str, Any]:
    return {
        "version": change.version,
        "state": change.state.value,
        "reason": change.reason,
        "time": change.time.isoformat(),
    }


def _change_of_json(change: Mapping[str, Any]) -> Change:
    time = datetime.fromisoformat(change["time"])
    return Change(change["version"], State(change["state"]), change["reason"], time)
