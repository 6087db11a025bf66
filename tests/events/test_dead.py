"""An operator sees what could not be handled, and has it handled again."""

import json

import pytest
from meshmart.identity.v1.customer_pb2 import Customer
from meshmart.order.v1.order_events_pb2 import OrderConfirmed
from nats.js.errors import NotFoundError

from services.chassis.dead_letters import DeadLetters, count
from services.chassis.event_streams import ensure_stream
from services.events.payloads import as_json, unknown_fields
from tests.chassis.eventing import consumer, effects, eventually, write

LETTERS = DeadLetters.of("payment")
NEWER = b"\xf2\x3f\x05later"  # field 1022, which our contract does not have


@pytest.fixture
async def admin(nats):
    client = await nats.connect()
    yield client
    await client.close()


@pytest.fixture
async def payment(nats, stream, handler):
    async with consumer(nats, handler):
        yield handler


@pytest.fixture
def park(admin, database, payment):
    """Return a function that has so many events parked, and returns their ids."""

    async def park(number: int = 1) -> list[str]:
        written = [
            await write(database, OrderConfirmed(order_id="poison", customer_id="ann"), f"order-{n}", version=n + 1)
            for n in range(number)
        ]
        await eventually(parked(admin), number)
        return written

    return park


def parked(client):
    """Return a function that counts dead letters."""

    async def found() -> int:
        try:
            return await count(client, LETTERS)
        except NotFoundError:
            return 0

    return found


async def handled(database, number: int) -> None:
    async def found() -> int:
        return len(await effects(database))

    await eventually(found, number)


async def test_nothing_is_listed_where_nothing_was_parked(command):
    assert await command("dead", "list") == (0, "no dead letters\n", "")
    assert (await command("dead", "list", "--json")).out == ""


async def test_a_list_has_a_line_for_each_letter(command, park):
    await park(2)
    answer = await command("dead", "list")
    head, *lines = [line.split(maxsplit=5) for line in answer.lines]
    assert head == ["ID", "TIME", "CONSUMER", "ATTEMPTS", "REASON", "ERROR"]
    assert [(line[0], line[2], line[3], line[4]) for line in lines] == [
        ("payment:1", "payment_OrderConfirmed", "1", "FAILED"),
        ("payment:2", "payment_OrderConfirmed", "1", "FAILED"),
    ]
    assert lines[0][5].startswith("RuntimeError in __call__ (conftest.py:")


async def test_a_list_for_programs_says_all_that_is_known(command, park):
    (event_id,) = await park()
    (record,) = (await command("dead", "list", "--service", "payment", "--json")).records
    assert record.pop("time").startswith("20")
    assert record.pop("error").startswith("RuntimeError")
    assert record == {
        "id": "payment:1",
        "service": "payment",
        "consumer": "payment_OrderConfirmed",
        "event": "OrderConfirmed",
        "event_id": event_id,
        "aggregate_id": "order-0",
        "aggregate_version": "1",
        "reason": "FAILED",
        "attempts": 1,
        "subject": record["subject"],
        "stream": "meshmart_order_v1",
        "sequence": 1,
    }
    assert (await command("dead", "list", "--service", "order", "--json")).records == []


async def test_a_letter_is_shown_with_headers_and_payload(command, park):
    (event_id,) = await park()
    answer = await command("dead", "show", "payment:1")
    found = json.loads(answer.out)
    assert found["payload"] == {"order_id": "poison", "customer_id": "ann"}
    assert found["headers"]["ce-id"] == event_id
    assert "unknown_fields" not in found


async def test_a_letter_that_is_no_event_is_shown_as_bytes(command, admin, payment, park):
    await park()
    await admin.jetstream().publish("meshmart.order.v1.OrderConfirmed.0", b"\xff", headers={"ce-type": "a.Letter"})
    await eventually(parked(admin), 2)
    found = json.loads((await command("dead", "show", "payment:2")).out)
    assert (found["reason"], found["payload"], found["payload_base64"]) == ("MALFORMED", None, "/w==")


def test_what_is_redacted_in_logs_is_not_shown():
    customer = Customer(id="1", email="ann@example.com", display_name="Ann")
    assert as_json("meshmart.identity.v1.Customer", customer.SerializeToString()) == {"id": "1"}


def test_fields_of_a_newer_contract_are_noticed():
    payload = OrderConfirmed(order_id="one").SerializeToString() + NEWER
    assert unknown_fields("meshmart.order.v1.OrderConfirmed", payload) == [1022]
    assert as_json("meshmart.order.v1.OrderConfirmed", payload) == {"order_id": "one"}


REDRIVES = {
    "one by its id": (["payment:2"], 1),
    "some by their ids": (["payment:1", "payment:3", "payment:1"], 2),
    "all of a consumer": (["--consumer", "payment_OrderConfirmed"], 3),
    "all of a consumer that parked nothing": (["--consumer", "payment_OrderCancelled"], 0),
    "all": (["--all"], 3),
}


@pytest.mark.parametrize(("arguments", "number"), REDRIVES.values(), ids=REDRIVES)
async def test_what_is_redriven_is_handled_and_no_dead_letter_any_more(
    command, admin, database, payment, park, arguments, number
):
    written = await park(3)
    payment.broken = False
    answer = await command("dead", "redrive", *arguments)
    assert (answer.code, answer.lines[-1]) == (0, f"redrove {number}")
    await handled(database, number)
    assert set(await effects(database)) <= set(written)
    assert await parked(admin)() == 3 - number


async def test_a_letter_that_fails_again_is_a_dead_letter_again_and_not_for_ever_redriven(command, admin, park):
    (event_id,) = await park()
    assert (await command("dead", "redrive", "--all")).lines[-1] == "redrove 1"
    await eventually(parked(admin), 1)
    (record,) = (await command("dead", "list", "--json")).records
    assert (record["event_id"], record["subject"].rpartition(".")[0]) == (event_id, "meshmart.order.v1.OrderConfirmed")
    assert record["id"] != "payment:1"


async def test_a_redriven_event_keeps_what_only_a_newer_contract_knows(command, admin, database, payment, park):
    await park()
    headers = {
        "ce-type": "meshmart.order.v1.OrderConfirmed", "ce-id": "0198c0de-0000-7000-8000-000000000000",
        "ce-subject": "one", "ce-aggregateversion": "1",
    }  # fmt: skip
    payload = OrderConfirmed(order_id="poison").SerializeToString() + NEWER
    await admin.jetstream().publish("meshmart.order.v1.OrderConfirmed.0", payload, headers=headers)
    await eventually(parked(admin), 2)
    assert json.loads((await command("dead", "show", "payment:2")).out)["unknown_fields"] == [1022]
    await command("dead", "redrive", "payment:2")
    await eventually(parked(admin), 2)
    again = await admin.jetstream().get_last_msg(LETTERS.stream_name, "meshmart.dead.payment.OrderConfirmed")
    assert (again.seq, again.data) == (4, payload)


async def test_what_was_redriven_and_handled_is_deleted_at_last(command, admin, database, payment, park):
    await park(2)
    payment.broken = False
    await command("dead", "redrive", "payment:1")
    await handled(database, 1)

    async def acknowledged() -> int:
        info = await admin.jetstream().consumer_info(LETTERS.stream_name, LETTERS.durable.name)
        return info.ack_floor.stream_seq

    await eventually(acknowledged, 3)
    await command("dead", "redrive", "payment:2")
    await handled(database, 2)
    state = (await admin.jetstream().stream_info(LETTERS.stream_name)).state
    assert (state.messages <= 1, state.last_seq) == (True, 4)


REFUSED = {
    "an id of none": (["show", "payment:99"], 1, "there is no dead letter payment:99"),
    "an id without a number": (["show", "payment:x"], 2, "`payment:x` is no id of a dead letter"),
    "an id without a service": (["redrive", "12"], 2, "`12` consumes no events; these do: analytics,"),
    "a service that consumes nothing": (["list", "--service", "catalog"], 2, "`catalog` consumes no events"),
    "nothing to redrive": (["redrive"], 2, "say what to redrive"),
    "a durable that there is not": (
        ["redrive", "--consumer", "payment_Paid"],
        2,
        "`payment_Paid` is no durable; payment",
    ),
    "two things to redrive": (["redrive", "payment:1", "--all"], 2, "say what to redrive"),
}


@pytest.mark.parametrize(("arguments", "code", "text"), REFUSED.values(), ids=REFUSED)
async def test_what_makes_no_sense_is_refused_with_a_reason(command, payment, arguments, code, text):
    answer = await command("dead", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert text in answer.err


async def test_a_redriven_message_is_no_dead_letter(command, admin):
    await ensure_stream(admin, LETTERS.stream)
    await admin.jetstream().publish("meshmart.redriven.payment.OrderConfirmed", b"")
    answer = await command("dead", "show", "payment:1")
    assert (answer.code, answer.err) == (1, "payment:1 is no dead letter: it was redriven\n")
