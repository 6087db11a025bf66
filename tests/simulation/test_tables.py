"""Tables in memory answer and hold what PostgreSQL does, whatever is asked in whichever order."""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from services.chassis import idempotency, inbox
from services.chassis.database import Database
from services.payment.domain import Brand, PaymentMethod
from services.payment.store import PaymentStore
from tests.simulation.parts import TABLES
from tests.simulation.tables.payment import MethodRow
from tests.simulation.twins import inventory, order, payment
from tests.simulation.twins.pair import EPOCH, Pool, Twins, empty

SEQUENCES = 200
STEPS = 30
LOOK_EVERY = 5
CASES: dict[str, Any] = {
    "order": (order.OrderQuestions, order.look_at_orders, ("orders", "saga")),
    "payment": (payment.PaymentQuestions, payment.look_at_payments, ("payment", "ledger", "payment_method")),
    "inventory": (inventory.InventoryQuestions, inventory.look_at_stock, ("stock", "movement", "reservation")),
}

NOT_ASKED = {
    "order": {idempotency._LOOK_UP, inbox.INSERT},
    "payment": {idempotency._LOOK_UP},
    "inventory": {idempotency._LOOK_UP},
}
"""Statements that no store has."""


@pytest.mark.parametrize("service", CASES)
async def test_tables_in_memory_answer_and_hold_what_postgresql_does(database_url, service):
    questions, look, names = CASES[service]
    statements = dict(TABLES[service].STATEMENTS)
    effective: set[str] = set()
    async with Database(await database_url(service)) as database:
        for seed in range(SEQUENCES):
            await empty(database, *names)
            random = Random(seed)  # noqa: S311  # not a secret
            twins, pool = Twins(database, TABLES[service].Tables, statements), Pool(random)
            if service == "payment":
                await add_method(twins, pool)
            asked, said = questions(random, pool), []
            try:
                for step in range(STEPS):
                    said.append(random.choice(questions.kinds()))
                    await twins.ask(getattr(asked, said[-1])())
                    if step % LOOK_EVERY == 0:
                        await look(twins)
                await look(twins)
                await twins.look_at_chassis()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, after {' '.join(said)}: {error}") from error
            effective |= twins.effective
    assert effective == statements.keys() - NOT_ASKED[service]


async def add_method(twins: Twins, pool: Pool) -> None:
    """Let a customer have a payment method in both."""
    method = PaymentMethod(UUID(int=1), pool.customer, Brand.VISA, "4242", 12, 2099, "token", EPOCH)
    await PaymentStore(twins.real).create_method(method, pool.reply())
    await twins.real.execute("DELETE FROM idempotency")
    tables: Any = twins.tables
    tables.payment_method[method.id] = MethodRow(method.id, pool.customer, "token")
