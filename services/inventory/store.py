"""Reservations in PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from services.chassis import inbox
from services.chassis.database import Database
from services.inventory import statements
from services.inventory.domain import Line, Reservation, State

Parameters = Mapping[str, Any]


class ReservationStore:
    """The queries on reservations.

    `reply`, `heard` and `event` are the chassis's parameters of what is written with a change. A change returns the
    products whose figures it changed, or None when there was nothing to do.
    """

    def __init__(self, database: Database, *, hold: float) -> None:
        """Keep the database and how long a reservation is held, in seconds."""
        self._database = database
        self._hold = f"{hold} s"

    async def reserve(self, wanted: Reservation, reply: Parameters) -> bool:
        """Hold all of the units; False if there are too few, or the order has a reservation."""
        parameters = {**_lines(wanted.lines), **reply, "order_id": wanted.order_id, "hold": self._hold}
        try:
            return await self._database.one(statements.RESERVE, parameters) is not None
        except psycopg.IntegrityError as error:
            if error.diag.constraint_name in ("stock_available", "reservation_pkey"):
                return False
            raise

    async def release(self, order_id: UUID, reply: Parameters, event: Parameters) -> list[UUID] | None:
        """Give held units back, or leave a tombstone."""
        return await self._change(statements.RELEASE, {**reply, **event, "order_id": order_id})

    async def commit(self, order_id: UUID, heard: Parameters) -> list[UUID] | None:
        """Sell held units."""
        return await self._change(statements.COMMIT, {**heard, "order_id": order_id})

    async def take_again(self, order_id: UUID, lines: Sequence[Line], heard: Parameters) -> list[UUID] | None:
        """Sell units that are not held any more, if all of them are available."""
        try:
            return await self._change(statements.TAKE_AGAIN, {**heard, **_lines(lines), "order_id": order_id})
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name == "stock_available":
                return None
            raise

    async def fail_commit(self, order_id: UUID, heard: Parameters, event: Parameters) -> bool:
        """Note that the units could not be had again; False if the reservation changed meanwhile."""
        parameters = {**heard, **event, "order_id": order_id}
        return await self._database.one(statements.FAIL_COMMIT, parameters) is not None

    async def heard(self, heard: Parameters) -> None:
        """Note an event that changes nothing."""
        await self._database.execute(inbox.INSERT, heard)

    async def cancel(self, order_id: UUID, heard: Parameters, event: Parameters) -> list[UUID] | None:
        """Give held or sold units back, or leave a tombstone; once."""
        return await self._change(statements.CANCEL, {**heard, **event, "order_id": order_id})

    async def expire(self, order_id: UUID, event: Parameters) -> list[UUID] | None:
        """Give units back that were held for too long."""
        return await self._change(statements.EXPIRE, {**event, "order_id": order_id})

    async def expired(self, limit: int) -> list[UUID]:
        """Return orders whose units were held for too long."""
        return [row[0] for row in await self._database.all(statements.EXPIRED, {"limit": limit})]

    async def find(self, order_id: UUID) -> Reservation | None:
        """Return an order's reservation."""
        row = await self._database.one(statements.FIND, {"order_id": order_id})
        if row is None:
            return None
        state, product_ids, quantities, cancelled = row
        return Reservation(order_id, State(state), tuple(map(Line, product_ids, quantities)), cancelled)

    async def short_of(self, lines: Sequence[Line]) -> list[UUID]:
        """Return the products of which there are too few units."""
        return [row[0] for row in await self._database.all(statements.SHORT, _lines(lines))]

    async def _change(self, statement: str, parameters: Parameters) -> list[UUID] | None:
        row = await self._database.one(statement, parameters)
        return None if row is None else row[0]


def _lines(lines: Sequence[Line]) -> dict[str, Any]:
    return {"product_ids": [line.product_id for line in lines], "quantities": [line.quantity for line in lines]}
