"""Questions to the inventory store."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from meshmart.inventory.v1.stock_events_pb2 import OrderRestocked

from services.chassis.database import Database
from services.inventory.domain import Line, Reservation, State, in_order
from services.inventory.stock_store import RESTOCK
from services.inventory.store import ReservationStore
from tests.simulation.twins.pair import Ask, Questions, Twins


class InventoryQuestions(Questions):
    def _store(self) -> Callable[[Database], ReservationStore]:
        hold = self._span()
        return lambda database: ReservationStore(database, hold=hold)

    def _event(self, order_id: UUID) -> dict[str, Any]:
        return self._pool.event(OrderRestocked(order_id=str(order_id)), order_id)

    def _lines(self) -> tuple[Line, ...]:
        products = self._random.sample([*self._pool.products, UUID(int=9)], self._random.choice((1, 1, 2)))
        return in_order(Line(product, self._random.randint(1, 3)) for product in products)

    def restock(self) -> Ask:
        product_id, quantity = self._random.choice(self._pool.products), self._random.randint(1, 4)
        return lambda database: database.one(RESTOCK, {"product_id": product_id, "quantity": quantity})

    def reserve(self) -> Ask:
        store, reply = self._store(), self._pool.reply()
        wanted = Reservation(self._pool.maybe_new_order, State.HELD, self._lines())
        return lambda database: store(database).reserve(wanted, reply)

    def release(self) -> Ask:
        store, order_id, reply = self._store(), self._pool.order, self._pool.reply()
        event = self._event(order_id)
        return lambda database: store(database).release(order_id, reply, event)

    def commit(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        return lambda database: store(database).commit(order_id, heard)

    def take_again(self) -> Ask:
        store, order_id, lines, heard = self._store(), self._pool.order, self._lines(), self._pool.heard()
        return lambda database: store(database).take_again(order_id, lines, heard)

    def fail_commit(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).fail_commit(order_id, heard, event)

    def cancel(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).cancel(order_id, heard, event)

    def expire(self) -> Ask:
        store, order_id = self._store(), self._pool.order
        event = self._event(order_id)
        return lambda database: store(database).expire(order_id, event)

    def hear(self) -> Ask:
        store, heard = self._store(), self._pool.heard()
        return lambda database: store(database).heard(heard)

    def read(self) -> Ask:
        store, order_id, lines = self._store(), self._pool.order, self._lines()

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
