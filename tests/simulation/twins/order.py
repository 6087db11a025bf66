"""Questions to the order store."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from meshmart.order.v1.order_events_pb2 import OrderClosed

from services.chassis.database import Database
from services.chassis.money import Money
from services.order.domain import Change, Line, Order, State
from services.order.store import OrderStore, Saga
from tests.simulation.twins.pair import EPOCH, Ask, Questions, Twins


class OrderQuestions(Questions):
    def _store(self) -> Callable[[Database], OrderStore]:
        lease, within = self._span(), self._span()
        return lambda database: OrderStore(database, lease=lease, confirm_within=within)

    def _order(self) -> Order:
        line = Line(self._pool.products[0], "Tea", 1, Money("EUR", 450))
        placed = Change(1, State.PENDING, "", EPOCH)
        return Order(self._pool.order, self._pool.customer, UUID(int=1), (line,), line.unit_price, (placed,))

    def _saga(self, *, compensating: bool = False) -> Saga:
        return Saga(self._order(), self._random.randint(1, 3), compensating, "CARD_DECLINED")

    def _event(self, order_id: UUID) -> dict[str, Any]:
        return self._pool.event(OrderClosed(order_id=str(order_id)), order_id)

    def place(self) -> Ask:
        store, order, reply = self._store(), replace(self._order(), id=self._pool.new_order()), self._pool.reply()
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
        store, order, reply = self._store(), self._order(), self._pool.reply()
        change = Change(self._random.choice((2, 2, 3, 4)), State.CANCELLED, "CUSTOMER_CANCELLED", EPOCH)
        event, cancelled = self._event(order.id), replace(order, changes=(*order.changes, change))
        return lambda database: store(database).cancel(cancelled, event, reply)

    def complete(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        return lambda database: store(database).complete(order_id, heard)

    def cancel_by_event(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).cancel_by_event(order_id, "CARD_DECLINED", heard, event)

    def note_refunded(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).note_refunded(order_id, heard, event)

    def note_restocked(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        event = self._event(order_id)
        return lambda database: store(database).note_restocked(order_id, heard, event)

    def get(self) -> Ask:
        store, order_id = self._store(), self._pool.order
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
