"""Questions to the payment store."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from meshmart.payment.v1.payment_events_pb2 import PaymentRefunded

from services.chassis.database import Database
from services.chassis.money import Money
from services.payment.domain import Payment, State
from services.payment.store import PaymentStore
from tests.simulation.twins.pair import EPOCH, Ask, Questions, Twins


class PaymentQuestions(Questions):
    def _store(self) -> Callable[[Database], PaymentStore]:
        hold = self._span()
        return lambda database: PaymentStore(database, hold=hold)

    def _event(self, order_id: UUID) -> dict[str, Any]:
        return self._pool.event(PaymentRefunded(order_id=str(order_id)), order_id)

    def authorize(self) -> Ask:
        store, reply, amount = self._store(), self._pool.reply(), Money("EUR", 1999)
        held = Payment(self._pool.maybe_new_order, State.AUTHORIZED, self._pool.customer, UUID(int=1), amount, "token",
                       lapsed=False, create_time=EPOCH, update_time=EPOCH)  # fmt: skip
        return lambda database: store(database).authorize(held, amount, reply)

    def void(self) -> Ask:
        store, order_id, reply = self._store(), self._pool.order, self._pool.reply()
        return lambda database: store(database).void(order_id, reply)

    def expire(self) -> Ask:
        store = self._store()
        return lambda database: store(database).expire(100)

    def claim(self) -> Ask:
        store, order_id = self._store(), self._pool.order
        claim = self._random.choice((PaymentStore.claim_capture, PaymentStore.claim_give_back))
        return lambda database: claim(store(database), order_id)

    def end(self) -> Ask:
        store, order_id, heard = self._store(), self._pool.order, self._pool.heard()
        event = self._event(order_id)
        end = self._random.choice((PaymentStore.captured, PaymentStore.capture_failed, PaymentStore.given_back))
        return lambda database: end(store(database), order_id, heard, event)

    def hear(self) -> Ask:
        store, heard = self._store(), self._pool.heard()
        return lambda database: store(database).heard(heard)

    def get(self) -> Ask:
        store, order_id = self._store(), self._pool.order
        return lambda database: store(database).get(order_id)

    def method(self) -> Ask:
        store, customer = self._store(), self._random.choice((self._pool.customer, UUID(int=7)))
        return lambda database: store(database).method(UUID(int=1), customer)


async def look_at_payments(twins: Twins) -> None:
    t: Any = twins.tables
    await twins.look(
        """SELECT order_id, state, customer_id, payment_method_id, currency_code, amount, processor_token, version,
        expire_time < now() FROM payment ORDER BY order_id""",
        lambda: [
            (p.order_id, p.state, p.customer_id, p.payment_method_id, p.currency_code, p.amount, p.processor_token,
             p.version, p.expire_time < t.now()) for _, p in sorted(t.payment.items())],
    )  # fmt: skip
    await twins.look(
        "SELECT order_id, kind, amount FROM ledger ORDER BY order_id, kind",
        lambda: [(*key, amount) for key, amount in sorted(t.ledger.items())],
    )
