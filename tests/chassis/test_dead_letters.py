"""What cannot be handled is parked with all that is known of it, and is handled again when an operator says so."""

import asyncio
import re
from contextlib import asynccontextmanager

import psycopg
import pytest
from meshmart.order.v1.order_events_pb2 import OrderConfirmed
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptured
from nats.js.errors import NotFoundError

from services.chassis import dead_letters, handling, retries
from services.chassis.consumer import NotYet
from services.chassis.database import Database
from services.chassis.dead_letters import DeadLetters, count, redriven_headers
from tests.chassis.eventing import (
    HANDLE,
    consumer,
    effects,
    eventually,
    messages,
    outcomes,
    write,
    write_many,
)

LETTERS = DeadLetters.of("payment")
PARKED, REDRIVEN = "meshmart.dead.payment.OrderConfirmed", "meshmart.redriven.payment.OrderConfirmed"
TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-00"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Give up after the third failure, and do not wait long in between."""
    monkeypatch.setattr(retries, "FAILURES", 3)
    monkeypatch.setattr(retries, "FIRST_DELAY", 0.02)


@pytest.fixture
async def admin(nats):
    client = await nats.connect()
    yield client
    await client.close()


class Handler:
    """Has an effect, unless what a test puts before it fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.attempts: list[str] = []
        self.error: Exception | None = None
        self.broken: set[str] = set()
        """Orders that fail."""

    async def __call__(self, delivery) -> None:
        self.attempts.append(delivery.message.order_id)
        if self.error and delivery.message.order_id in self.broken:
            raise self.error
        await self._database.execute(HANDLE, {**delivery.inbox_parameters(), "aggregate_id": delivery.aggregate_id})


@pytest.fixture
def handler(database) -> Handler:
    handler = Handler(database)
    handler.error, handler.broken = RuntimeError("ann@example.com is unknown"), {"poison"}
    return handler


async def handled(database: Database, number: int) -> None:
    async def found() -> int:
        return len(await effects(database))

    await eventually(found, number)


async def parked(client, number: int = 1):
    """Return the parked messages once there are so many."""

    async def found() -> int:
        try:
            return await count(client, LETTERS)
        except NotFoundError:
            return -1

    await eventually(found, number)
    everything = [
        await client.jetstream().get_msg(LETTERS.stream_name, seq=n)
        for n in range(1, (await client.jetstream().stream_info(LETTERS.stream_name)).state.last_seq + 1)
        if await exists(client, n)
    ]
    return [message for message in everything if message.subject.startswith(LETTERS.parked)]


async def exists(client, sequence: int) -> bool:
    try:
        await client.jetstream().get_msg(LETTERS.stream_name, seq=sequence)
    except NotFoundError:
        return False
    return True


async def redrive(client, message) -> None:
    """Do what an operator does."""
    headers = redriven_headers(message.headers, message.seq)
    await client.jetstream().publish(REDRIVEN, message.data, headers=headers)
    await client.jetstream().delete_msg(LETTERS.stream_name, message.seq)


async def nothing_left(client, stream="meshmart_order_v1", durable="payment_OrderConfirmed") -> None:
    async def left() -> tuple[int, int]:
        info = await client.jetstream().consumer_info(stream, durable)
        return info.num_pending or 0, info.num_ack_pending or 0

    await eventually(left, (0, 0))


async def test_what_keeps_failing_is_parked_and_the_others_go_on(nats, admin, database, stream, handler):
    async with consumer(nats, handler) as metrics:
        poison = await write(database, OrderConfirmed(order_id="poison"), "one", version=7)
        others = await write_many(database, 5)
        await handled(database, 5)
        (letter,) = await parked(admin)
        await nothing_left(admin)
        assert outcomes(metrics) == {"done": 5, "failed": 3, "parked": 1}
    assert set(await effects(database)) == set(others)
    (original,) = [message for message in await messages(admin) if message.headers["ce-id"] == poison]
    assert (letter.subject, letter.data) == (PARKED, original.data)
    own = {name: value for name, value in original.headers.items() if not name.startswith("Nats-")}
    assert letter.headers.items() >= own.items()
    said = {name.removeprefix("Meshmart-Dead-"): value for name, value in letter.headers.items() if "-Dead-" in name}
    assert said.pop("Time").startswith("20")
    assert said.pop("Error").startswith("RuntimeError in __call__ (test_dead_letters.py:")
    assert said == {
        "Consumer": "payment_OrderConfirmed",
        "Reason": "FAILED",
        "Attempts": "3",
        "Subject": original.subject,
        "Stream": "meshmart_order_v1",
        "Sequence": str(original.seq),
    }


async def test_later_events_of_the_same_aggregate_do_not_wait_for_a_failed_one(nats, database, stream, handler):
    async with consumer(nats, handler):
        await write(database, OrderConfirmed(order_id="poison"), "one", version=1)
        after = await write(database, OrderConfirmed(order_id="fine"), "one", version=2)
        await handled(database, 1)
    assert await effects(database) == [after]


async def test_a_malformed_event_is_parked_at_its_first_delivery(nats, admin, database, stream, handler):
    await write(database, OrderConfirmed(order_id="fine"))
    async with consumer(nats, handler):
        await handled(database, 1)
        await admin.jetstream().publish(
            "meshmart.order.v1.OrderConfirmed.0", b"\xff", headers={"Nats-Expected-Last-Sequence": "1"}
        )
        (letter,) = await parked(admin)
    assert (letter.subject, letter.data) == (PARKED, b"\xff")
    assert letter.headers["Meshmart-Dead-Reason"] == "MALFORMED"
    assert letter.headers["Meshmart-Dead-Error"] == "MalformedEventError: it does not say what it is"
    assert letter.headers["Meshmart-Dead-Attempts"] == "1"


async def test_a_header_that_no_client_sends_does_not_keep_an_event_from_being_parked(
    nats, admin, stream, handler, monkeypatch
):
    async with consumer(nats, handler):
        await parked(admin, 0)
        with monkeypatch.context() as careless:
            careless.setattr("nats.aio.client._HEADER_KEY_RE", re.compile(".*"))
            await admin.publish("meshmart.order.v1.OrderConfirmed.1", headers={"from (whom)": "", "a/b": "1", "c": "2"})
        (letter,) = await parked(admin)
    assert letter.headers["Meshmart-Dead-Reason"] == "MALFORMED"
    assert letter.headers["c"] == "2"
    assert "a/b" not in letter.headers


async def test_an_event_that_is_never_complete_is_parked_at_last(nats, admin, database, stream, handler, monkeypatch):
    monkeypatch.setattr(retries, "WAITS", 5)
    handler.error = NotYet("version 2 is missing")
    async with consumer(nats, handler):
        await write(database, OrderConfirmed(order_id="poison"))
        (letter,) = await parked(admin)
    assert letter.headers["Meshmart-Dead-Reason"] == "NOT_YET"
    assert letter.headers["Meshmart-Dead-Error"] == "NotYet: version 2 is missing"
    assert handler.attempts == ["poison"] * 5


async def test_a_handler_without_end_is_parked(nats, admin, database, stream, monkeypatch):
    monkeypatch.setattr(handling, "HANDLER_TIMEOUT", 0.05)
    monkeypatch.setattr(retries, "FAILURES", 2)

    async def hang(delivery):
        await asyncio.Event().wait()

    async with consumer(nats, hang):
        await write(database, OrderConfirmed())
        (letter,) = await parked(admin)
    assert letter.headers["Meshmart-Dead-Error"].startswith("HandlerTimeoutError: no end after")


async def test_an_outage_parks_nothing(nats, admin, database, stream, handler):
    handler.error = psycopg.OperationalError("gone")
    async with consumer(nats, handler) as metrics:
        await write(database, OrderConfirmed(order_id="poison"))

        async def failed_often() -> bool:
            return outcomes(metrics).get("failed", 0) > 4

        await eventually(failed_often, wanted=True)
        handler.broken.clear()
        await handled(database, 1)
    assert await parked(admin, 0) == []


async def test_what_an_operator_redrives_has_its_effect_once(nats, admin, database, stream, handler):
    async with consumer(nats, handler) as metrics:
        event_id = await write(database, OrderConfirmed(order_id="poison"), "one")
        (letter,) = await parked(admin)
        handler.broken.clear()
        # Redriven twice, as by an operator whose command died before it deleted the letter, and much later again.
        await redrive(admin, letter)
        again = {**redriven_headers(letter.headers, letter.seq), "Nats-Msg-Id": "another"}
        await admin.jetstream().publish(REDRIVEN, letter.data, headers=again)
        await nothing_left(admin, LETTERS.stream_name, "payment_redriven")
        assert outcomes(metrics) == {"done": 1, "failed": 3, "parked": 1, "repeated": 1}
    assert await effects(database) == [event_id]
    row = await database.one("SELECT consumer FROM inbox")
    assert row == ("payment_OrderConfirmed",)
    assert await parked(admin, 0) == []


async def test_what_fails_again_is_parked_again_and_still_says_where_it_came_from(
    nats, admin, database, stream, handler
):
    async with consumer(nats, handler):
        await write(database, OrderConfirmed(order_id="poison"), "one")
        (first,) = await parked(admin)
        await redrive(admin, first)
        await nothing_left(admin, LETTERS.stream_name, "payment_redriven")
        (second,) = await parked(admin)
    assert second.seq > first.seq
    assert second.data == first.data
    for name in dead_letters.ORIGIN:
        assert second.headers[name] == first.headers[name]
    assert handler.attempts == ["poison"] * 6


async def test_a_redriven_message_that_nobody_handles_is_parked_again(nats, admin, database, stream, handler):
    async with consumer(nats, handler):
        await parked(admin, 0)
        await admin.jetstream().publish(REDRIVEN, b"", headers={"ce-type": PaymentCaptured.DESCRIPTOR.full_name})
        (letter,) = await parked(admin)
    assert letter.subject == PARKED
    assert letter.headers["Meshmart-Dead-Error"] == "MalformedEventError: it is a meshmart.payment.v1.PaymentCaptured"


@asynccontextmanager
async def no_room(client):
    """Refuse what is parked, for as long as the context lasts."""
    context = client.jetstream()
    config = (await context.stream_info(LETTERS.stream_name)).config
    await context.update_stream(config, max_msgs=0, max_bytes=1)
    yield
    await context.update_stream(config, max_msgs=-1, max_bytes=-1)


async def test_nothing_is_lost_while_nothing_can_be_parked(nats, admin, database, stream, handler, monkeypatch):
    monkeypatch.setattr("services.chassis.durable_consumer.SHORT_DELAY", 0.05)
    async with consumer(nats, handler) as metrics:
        await parked(admin, 0)
        async with no_room(admin):
            await write(database, OrderConfirmed(order_id="poison"))

            async def failed_often() -> bool:
                return outcomes(metrics).get("failed", 0) > 5

            await eventually(failed_often, wanted=True)
            assert outcomes(metrics).get("parked") is None
        await parked(admin, 1)


async def test_a_crash_between_parking_and_giving_up_leaves_one_letter(
    nats, admin, database, stream, handler, monkeypatch
):
    """The event is delivered again, and parked again: the stream knows it."""
    monkeypatch.setattr(retries, "FAILURES", 1)
    monkeypatch.setattr("services.chassis.event_streams.ACK_WAIT", 0.5)
    died = asyncio.Event()

    async def die(self):
        died.set()

    with monkeypatch.context() as dying:
        dying.setattr("nats.aio.msg.Msg.term", die)
        async with consumer(nats, handler):
            await write(database, OrderConfirmed(order_id="poison"))
            await died.wait()
    async with consumer(nats, handler) as metrics:

        async def given_up() -> int | None:
            return outcomes(metrics).get("parked")

        await eventually(given_up, 1)
        await nothing_left(admin)
    assert len(await parked(admin, 1)) == 1


async def test_dead_letters_are_counted(nats, admin, database, stream, handler, monkeypatch):
    monkeypatch.setattr("services.chassis.dead_letter_count.INTERVAL", 0.05)
    async with consumer(nats, handler) as metrics:
        await write(database, OrderConfirmed(order_id="poison"))

        async def shown() -> bool:
            return b'\ndead_letters{service="payment"} 1.0' in metrics.text()

        await eventually(shown, wanted=True)
