"""Captures and refunds follow the events of an order, in whichever order and however often they come."""

import asyncio

import psycopg
import pytest
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptureFailed, PaymentRefunded
from meshmart.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.chassis import inbox
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.chassis.retries import is_outage
from services.payment.consumers import PaymentBusyError, PaymentConsumers
from services.payment.domain import PaymentNotFound, ProcessorUnavailable
from services.payment.processor import SimulatedProcessor
from services.payment.service import SERVICE
from services.payment.store import PaymentStore
from tests.payment.conftest import WORKS, Till
from tests.support.events import delivery, outbox_of
from tests.support.serving import refusal_of

UNCAPTURABLE, TWICE = "4000000000000341", "4000000000003220"


@pytest.fixture
def consumers(till: Till) -> PaymentConsumers:
    return PaymentConsumers(PaymentStore(till.served.database), SimulatedProcessor(), Outbox())


async def deliver(consumers, happenings, order_id):
    for happening in happenings:
        if happening == "confirmed":
            await consumers.confirmed(delivery(OrderConfirmed(order_id=str(order_id)), consumer="confirmed"))
        else:
            await consumers.cancelled(delivery(OrderCancelled(order_id=str(order_id)), consumer="cancelled"))


@pytest.mark.parametrize(
    ("number", "happenings", "state", "ledger", "events"),
    [
        pytest.param(WORKS, ["confirmed"], "CAPTURED", {"CAPTURE": 1999}, ["PaymentCaptured"], id="captured"),
        pytest.param(TWICE, ["confirmed"], "CAPTURED", {"CAPTURE": 1999}, ["PaymentCaptured"], id="answered twice"),
        pytest.param(
            WORKS, ["confirmed"] * 2, "CAPTURED", {"CAPTURE": 1999}, ["PaymentCaptured"], id="confirmed by two events"
        ),
        pytest.param(UNCAPTURABLE, ["confirmed"], "CAPTURE_FAILED", {}, ["PaymentCaptureFailed"], id="not captured"),
        pytest.param(
            WORKS,
            ["confirmed", "cancelled"],
            "REFUNDED",
            {"CAPTURE": 1999, "REFUND": 1999},
            ["PaymentCaptured", "PaymentRefunded"],
            id="refunded",
        ),
        pytest.param(
            UNCAPTURABLE,
            ["confirmed", "cancelled"],
            "VOIDED",
            {},
            ["PaymentCaptureFailed", "PaymentRefunded"],
            id="voided after the capture failed",
        ),
        pytest.param(
            WORKS,
            ["cancelled", "confirmed"],
            "VOIDED",
            {},
            ["PaymentRefunded"],
            id="cancelled before confirmed is heard",
        ),
    ],
)
async def test_a_payment_ends(till, consumers, number, happenings, state, ledger, events):
    order_id = new_id()
    await till.authorize(order_id, number)

    await deliver(consumers, happenings, order_id)

    assert await till.state(order_id) == state
    assert await till.ledger(order_id) == ledger
    assert [name for name, _ in await outbox_of(till.served.database, order_id)] == events


async def test_a_redelivered_event_changes_nothing(till, consumers):
    order_id = new_id()
    await till.authorize(order_id)
    for event, handle in ((OrderConfirmed, consumers.confirmed), (OrderCancelled, consumers.cancelled)):
        heard = delivery(event(order_id=str(order_id)))
        await handle(heard)
        with pytest.raises(psycopg.errors.UniqueViolation) as repeat:
            await handle(heard)
        assert inbox.is_repeat(repeat.value)

    assert await till.ledger(order_id) == {"CAPTURE": 1999, "REFUND": 1999}


async def test_a_hold_past_its_time_is_taken_again_before_the_capture(till, consumers):
    order_id = new_id()
    await till.authorize(order_id)
    await lapse(till)

    await deliver(consumers, ["confirmed"], order_id)

    assert await till.state(order_id) == "CAPTURED"


@pytest.mark.parametrize(
    ("happenings", "state", "events"),
    [
        pytest.param([], "EXPIRED", [], id="never confirmed"),
        pytest.param(["confirmed"], "CAPTURED", ["PaymentCaptured"], id="confirmed late: held again"),
        pytest.param(["cancelled"], "VOIDED", ["PaymentRefunded"], id="cancelled"),
        pytest.param(["cancelled", "confirmed"], "VOIDED", ["PaymentRefunded"], id="cancelled, then confirmed late"),
    ],
)
async def test_a_hold_past_its_time_expires_by_itself(till, consumers, happenings, state, events):
    order_id, held = new_id(), new_id()
    await till.authorize(order_id)
    await lapse(till)
    await till.authorize(held)

    counts = [await consumers._store.expire(10) for _ in range(2)]
    await deliver(consumers, happenings, order_id)

    assert counts == [1, 0]
    assert await till.state(order_id) == state
    assert await till.state(held) == "AUTHORIZED"
    assert [name for name, _ in await outbox_of(till.served.database, order_id)] == events


async def test_an_expired_hold_is_voided_by_the_saga(till, consumers):
    order_id = new_id()
    await till.authorize(order_id)
    await lapse(till)
    await consumers._store.expire(10)

    await till.void(order_id)

    assert await till.state(order_id) == "VOIDED"


async def test_a_service_expires_holds_without_being_asked(serve):
    served = await serve(SERVICE, hold=0.01, expiry_interval=0.02)
    till, order_id = Till(served, served.stub(PaymentServiceStub)), new_id()
    await till.authorize(order_id)

    async with asyncio.timeout(10):
        while await till.state(order_id) != "EXPIRED":  # noqa: ASYNC110  # the service works beside
            await asyncio.sleep(0.01)


async def test_a_refund_says_who_paid(till, consumers):
    order_id = new_id()
    await till.authorize(order_id)
    await deliver(consumers, ["confirmed", "cancelled"], order_id)

    statement = "SELECT payload FROM outbox WHERE aggregate_id = %s AND event_type LIKE '%%Refunded'"
    [[payload]] = await till.served.database.all(statement, (str(order_id),))
    refund = PaymentRefunded.FromString(payload)
    assert (refund.customer_id, refund.amount.minor_units) == (str(till.customer_id), 1999)


async def processor_away(*_):
    raise ProcessorUnavailable("the processor is away")


async def test_a_capture_is_tried_again_while_the_hold_lives_and_fails_when_it_has_lapsed(till, consumers, monkeypatch):
    order_id = new_id()
    await till.authorize(order_id)
    monkeypatch.setattr(consumers._processor, "capture", processor_away)

    with pytest.raises(ProcessorUnavailable):
        await deliver(consumers, ["confirmed"], order_id)
    while_it_lives = await till.state(order_id)
    await lapse(till)
    await deliver(consumers, ["confirmed", "cancelled"], order_id)

    assert while_it_lives == "CAPTURING"
    assert await till.state(order_id) == "VOIDED"
    events = await outbox_of(till.served.database, order_id)
    assert [name for name, _ in events] == ["PaymentCaptureFailed", "PaymentRefunded"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param("sim_declined_0", "CARD_DECLINED", id="the card is declined by now"),
        pytest.param("sim_unavailable_0", "PROCESSOR_UNAVAILABLE", id="the processor is away"),
    ],
)
async def test_a_hold_past_its_time_that_cannot_be_taken_again_fails_the_capture(till, consumers, token, reason):
    order_id = new_id()
    await till.authorize(order_id)
    await till.served.database.execute("UPDATE payment SET processor_token = %s", (token,))
    await lapse(till)

    await deliver(consumers, ["confirmed"], order_id)

    [[payload]] = await till.served.database.all("SELECT payload FROM outbox WHERE aggregate_id = %s", (str(order_id),))
    assert PaymentCaptureFailed.FromString(payload).reason == reason
    assert await till.state(order_id) == "CAPTURE_FAILED"


async def lapse(till: Till) -> None:
    """Let the time of every hold be over."""
    await till.served.database.execute("UPDATE payment SET expire_time = now() - interval '1 s'")


async def test_an_order_that_is_cancelled_before_it_is_authorized_leaves_a_tombstone(till, consumers):
    order_id = new_id()
    await deliver(consumers, ["cancelled"], order_id)

    refusal = await refusal_of(till.authorize(order_id))

    assert refusal.reason == "PAYMENT_VOIDED"
    assert [name for name, _ in await outbox_of(till.served.database, order_id)] == ["PaymentRefunded"]


async def test_a_capture_that_was_begun_is_finished_before_the_payment_is_given_back(till, consumers):
    order_id = new_id()
    await till.authorize(order_id)
    await PaymentStore(till.served.database).claim_capture(order_id)

    with pytest.raises(PaymentBusyError) as busy:
        await deliver(consumers, ["cancelled"], order_id)
    await deliver(consumers, ["confirmed", "cancelled"], order_id)

    assert await till.state(order_id) == "REFUNDED"
    assert is_outage(busy.value)


async def test_a_capture_that_ends_while_the_cancellation_is_heard_is_given_back(till, consumers, monkeypatch):
    order_id, claim = new_id(), consumers._store.claim_give_back
    await till.authorize(order_id)
    await consumers._store.claim_capture(order_id)

    async def claim_while_the_capture_ends(of_order):
        claimed = await claim(of_order)
        await deliver(consumers, ["confirmed"], of_order)
        return claimed

    monkeypatch.setattr(consumers._store, "claim_give_back", claim_while_the_capture_ends)
    with pytest.raises(PaymentBusyError):
        await deliver(consumers, ["cancelled"], order_id)
    await deliver(consumers, ["cancelled"], order_id)

    assert await till.state(order_id) == "REFUNDED"


async def test_a_captured_payment_is_not_voided(till, consumers):
    order_id = new_id()
    await till.authorize(order_id)
    await deliver(consumers, ["confirmed"], order_id)

    refusal = await refusal_of(till.void(order_id))

    assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "PAYMENT_CAPTURED")


async def test_a_confirmed_order_without_a_payment_is_tried_again(consumers):
    with pytest.raises(PaymentNotFound):
        await deliver(consumers, ["confirmed"], new_id())
