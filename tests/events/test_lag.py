"""An operator sees what waits."""

import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed

from tests.chassis.eventing import consumer, effects, eventually, relay, unpublished, write, write_many


def columns(line: str) -> list[str]:
    return line.split()


async def test_before_anything_ran_nothing_is_known(command):
    answer = await command("lag")
    assert answer.code == 0
    assert columns(answer.lines[0]) == ["SERVICE", "OUTBOX", "OLDEST", "DEAD", "LETTERS"]
    assert ["payment", "-", "-", "0"] in [columns(line) for line in answer.lines]
    assert ["payment_OrderConfirmed", "-", "-", "-"] in [columns(line) for line in answer.lines]
    assert "MESHMART_PAYMENT_DATABASE_URL: expected the PostgreSQL URL of that service, found nothing" in answer.err


async def test_what_was_written_and_not_published_waits(command, database):
    await write_many(database, 3)
    (found,) = (await command("lag", "--json")).records
    (order,) = [each for each in found["services"] if each["service"] == "order"]
    assert order["rows"] == 3
    assert order["seconds"] >= 0


async def test_what_was_published_and_not_handled_waits(command, nats, url, database, handler):
    async with consumer(nats, handler), relay(nats, url):
        await write(database, OrderConfirmed(order_id="poison"))
        await write_many(database, 1)

        async def handled() -> int:
            return len(await effects(database))

        await eventually(handled, 1)
    async with relay(nats, url):
        await write_many(database, 2)
        await eventually(lambda: unpublished(database), 0)

    async def waiting() -> dict:
        (found,) = (await command("lag", "--json")).records
        return next(each for each in found["consumers"] if each["consumer"] == "payment_OrderConfirmed")

    await eventually(
        waiting,
        {"consumer": "payment_OrderConfirmed", "num_pending": 2, "num_ack_pending": 0, "num_redelivered": 0},
    )
    (found,) = (await command("lag", "--json")).records
    assert {"service": "payment", "rows": None, "seconds": None, "dead_letters": 1} in found["services"]


async def test_a_database_that_does_not_answer_is_named(command, monkeypatch):
    monkeypatch.setenv("MESHMART_ORDER_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/nothing")
    answer = await command("lag")
    assert answer.code == 1
    assert "the database of order does not answer: OperationalError" in answer.err
    assert "secret" not in answer.err


@pytest.mark.parametrize("arguments", [["lag"], ["dead", "list"], ["tail"]], ids=" ".join)
async def test_a_broker_that_is_missing_is_named(command, monkeypatch, arguments):
    monkeypatch.setenv("MESHMART_NATS_URL", "nats://127.0.0.1:1")
    answer = await command(*arguments)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("no broker at nats://127.0.0.1:1: ")


async def test_a_wrong_password_is_told_from_a_missing_broker(command, monkeypatch):
    monkeypatch.setenv("MESHMART_OPERATOR_NATS_PASSWORD", "guess")
    answer = await command("dead", "list")
    assert answer.code == 1
    assert "Authorization Violation" in answer.err


async def test_a_password_that_is_missing_is_named(command, monkeypatch):
    monkeypatch.delenv("MESHMART_OPERATOR_NATS_PASSWORD")
    answer = await command("lag")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("MESHMART_OPERATOR_NATS_PASSWORD: expected the operator's password")
