"""The shop broken on purpose, one protection at a time. The simulation is worth as much as it finds of these."""

from typing import Any, Final

from services.inventory import statements as inventory_statements
from services.order import store as order_store
from services.order.domain import StepFailed
from services.order.saga import OrderSaga
from services.order.store import Saga
from services.payment import store as payment_store
from tests.simulation.parts import Mutant
from tests.simulation.tables import inventory, order, payment
from tests.simulation.tables.chassis import Parameters, Row


class _Heedless:
    """Tables that hear an event again as if it were new."""

    def hear(self, p: Parameters) -> None:
        """Note nothing."""


class _Forgetful:
    """Tables that take a repeated request for a new one."""

    def remember(self, p: Parameters) -> None:
        """Keep nothing."""


def _with(mixin: type) -> dict[str, Any]:
    modules = {"order": order, "payment": payment, "inventory": inventory}
    return {name: type("Tables", (mixin, module.Tables), {}) for name, module in modules.items()}


class _NoVoid(OrderSaga):
    async def _compensate(self, saga: Saga) -> None:
        await self._insist(self._inventory.release, saga.order)
        await self._log.reject(saga)


class _NoRelease(OrderSaga):
    async def _compensate(self, saga: Saga) -> None:
        await self._insist(self._payment.void, saga.order)
        await self._log.reject(saga)


class _Fainthearted(OrderSaga):
    async def _insist(self, step: Any, order: Any) -> None:
        try:
            await step(order)
        except StepFailed:
            return


def _confirm_unfenced(t: order.Tables, p: Parameters) -> list[Row]:
    found = t.orders.get(p["order_id"])
    if found is None or found.state != "PENDING":
        return []
    t.saga.pop(found.id, None)
    t.become(found, "CONFIRMED", p["reason"])
    return t.announce(p, found.version)


def _void_without_tombstone(t: payment.Tables, p: Parameters) -> list[Row]:
    return payment.void(t, p) if p["order_id"] in t.payment else [(p["idem_request_id"],)]


def _release_without_tombstone(t: inventory.Tables, p: Parameters) -> list[Row]:
    return inventory.release(t, p) if p["order_id"] in t.reservation else [([],)]


def _look_instead_of_claiming(t: payment.Tables, p: Parameters) -> list[Row]:
    found = t.payment.get(p[0])
    return payment.get(t, p) if found and found.state in payment.CAPTURABLE else []


def _captured_unclaimed(t: payment.Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    found = t.payment[p["order_id"]]
    t.become(found, "CAPTURED")
    t.book(found, "CAPTURE")
    return t.announce(p, found.version)


MUTANTS: Final = (
    Mutant("no inbox", tables=_with(_Heedless)),
    Mutant("no idempotency key", tables=_with(_Forgetful)),
    Mutant("no void in the compensation", parts={"order": {"OrderSaga": _NoVoid}}),
    Mutant("no release in the compensation", parts={"order": {"OrderSaga": _NoRelease}}),
    Mutant("a compensation that is tried once", parts={"order": {"OrderSaga": _Fainthearted}}),
    Mutant("no fence in confirm", statements={"order": {order_store.CONFIRM: _confirm_unfenced}}),
    Mutant("no tombstone in void", statements={"payment": {payment_store.VOID: _void_without_tombstone}}),
    Mutant(
        "no tombstone in release",
        statements={"inventory": {inventory_statements.RELEASE: _release_without_tombstone}},
    ),
    Mutant(
        "a capture without a claim",
        statements={
            "payment": {
                payment_store.CLAIM_CAPTURE: _look_instead_of_claiming,
                payment_store.CAPTURED: _captured_unclaimed,
            }
        },
    ),
)
