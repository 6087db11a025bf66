"""How PostgreSQL runs the saga's statements, whose table is full in a rush and empty, and vacuumed, after it."""

import asyncio

import psycopg
import pytest

from services.chassis import outbox
from services.chassis.database import Database
from services.chassis.ids import new_id
from services.order import messages, store
from services.order.domain import Order
from tests.order.test_recovery import an_order


def parameters(order: Order) -> dict[str, object]:
    event = outbox.parameters(messages.order_rejected(order, ""), order.id)
    own = {
        "order_id": order.id,
        "saga_version": 1,
        "version": 2,
        "reason": "",
        "time": None,
        "lease": "5 s",
        "limit": 9,
    }
    reply = {f"idem_{name}": None for name in ("principal", "method", "request_id", "request_hash", "reply")}
    return {**event, **reply, **own, "order_ids": [order.id], "versions": [1]}


@pytest.mark.parametrize("name", ["CONFIRM", "REJECT", "TURN", "CLAIM", "EXTEND", "CANCEL", "COMPLETE"])
async def test_a_plan_made_while_there_was_nothing_does_not_read_all_that_comes_later(database_url, name):
    url = await database_url("order")
    await asyncio.to_thread(_vacuum, url)

    async with Database(url) as database:
        heard = {"inbox_consumer": "test", "inbox_generation": 1, "inbox_event_id": new_id()}
        plan = await database.all(f"EXPLAIN {getattr(store, name)}", {**parameters(an_order()), **heard})

    assert not [line for (line,) in plan if "Seq Scan" in line]


def _vacuum(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
