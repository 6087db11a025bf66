"""What is recorded of the events of others, and how often."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from meshmart.common.v1.money_pb2 import Money
from meshmart.notification.v1.notification_events_pb2 import NotificationSent
from meshmart.notification.v1.notification_pb2 import Notification

from services.chassis import inbox
from services.chassis.events import Envelope, subject
from services.chassis.ids import new_id
from tests.notification.conftest import ORDER_ID, TOTAL, Desk
from tests.support.events import outbox_of


@pytest.mark.parametrize(
    ("happening", "shown"),
    [
        pytest.param("registered", {"kind": Notification.KIND_WELCOME}, id="registered"),
        pytest.param(
            "confirmed",
            {"kind": Notification.KIND_ORDER_CONFIRMED, "order_id": str(ORDER_ID), "amount": TOTAL},
            id="confirmed",
        ),
        pytest.param(
            "rejected",
            {"kind": Notification.KIND_ORDER_REJECTED, "order_id": str(ORDER_ID), "reason": "CARD_DECLINED"},
            id="rejected",
        ),
        pytest.param(
            "cancelled",
            {"kind": Notification.KIND_ORDER_CANCELLED, "order_id": str(ORDER_ID), "reason": "CUSTOMER_CANCELLED"},
            id="cancelled",
        ),
        pytest.param(
            "refunded",
            {"kind": Notification.KIND_PAYMENT_REFUNDED, "order_id": str(ORDER_ID), "amount": TOTAL},
            id="refunded",
        ),
    ],
)
async def test_an_event_becomes_a_notification(desk: Desk, happening, shown):
    await desk.hear(getattr(desk, happening)())

    [known] = await desk.settled()

    assert known.state == Notification.STATE_SENT
    assert known == Notification(
        id=known.id,
        customer_id=str(desk.customer_id),
        channel=Notification.CHANNEL_LOG,
        state=Notification.STATE_SENT,
        create_time=known.create_time,
        send_time=known.send_time,
        **shown,
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"amount": None}, id="nothing had been captured"),
        pytest.param({"customer_id": ""}, id="an event of before it said to whom"),
    ],
)
async def test_a_refund_of_nothing_or_to_nobody_is_heard_and_not_told(desk: Desk, changes):
    await desk.hear(event := desk.refunded(**changes))
    assert await desk.notifications() == []
    assert await desk.database.all("SELECT event_id FROM inbox") == [(event.event_id,)]


async def test_an_event_that_comes_again_is_known(desk: Desk):
    event = desk.confirmed()
    await desk.hear(event)
    with pytest.raises(psycopg.errors.UniqueViolation) as repeat:
        await desk.hear(event)
    assert inbox.is_repeat(repeat.value)


async def test_an_event_that_the_inbox_has_forgotten_is_known_still(desk: Desk):
    event = desk.confirmed()
    await desk.hear(event)
    await desk.database.execute("DELETE FROM inbox")
    await desk.hear(event)
    assert len(await desk.settled()) == 1
    assert await desk.database.one("SELECT count(*) FROM inbox") == (1,)


async def test_nobody_is_asked_while_an_event_is_recorded(post: Desk):
    post.directory.away = True
    await post.hear(post.confirmed())
    assert len(await post.notifications()) == 1


async def test_what_was_sent_is_published_without_anything_personal(desk: Desk):
    await desk.hear(desk.confirmed())
    [sent] = await desk.settled()

    assert await outbox_of(desk.database, sent.id) == [("NotificationSent", 1)]
    [[payload]] = await desk.database.all("SELECT payload FROM outbox")
    event = NotificationSent.FromString(payload)
    assert event == NotificationSent(
        notification_id=sent.id,
        customer_id=str(desk.customer_id),
        kind=Notification.KIND_ORDER_CONFIRMED,
        channel=Notification.CHANNEL_LOG,
        order_id=str(ORDER_ID),
        send_time=event.send_time,
    )


async def test_an_event_from_the_broker_is_told_once_though_it_comes_twice(nats, open_desk):
    client = await nats.connect()
    stream = client.jetstream()
    await stream.add_stream(name="meshmart_order_v1", subjects=["meshmart.order.v1.>"])
    desk = await open_desk()
    order = desk.confirmed().message
    kind, event_id = order.DESCRIPTOR.full_name, str(new_id())
    told = await client.subscribe("meshmart.notification.v1.NotificationSent.*")

    for _ in range(2):  # as after a crash of the relay long ago: the stream has forgotten the first
        headers = Envelope(event_id, kind, str(ORDER_ID), 2, datetime.now(UTC)).headers("")
        headers["Nats-Msg-Id"] = str(new_id())
        await stream.publish(subject(kind, str(ORDER_ID)), order.SerializeToString(), headers=headers)
    message = await told.next_msg(timeout=20)

    handled = partial(stream.consumer_info, "meshmart_order_v1", "notification_OrderConfirmed")
    while (await handled()).ack_floor.stream_seq < 2:  # noqa: ASYNC110  # the broker decides when
        await asyncio.sleep(0.01)
    [known] = await desk.settled()
    assert NotificationSent.FromString(message.data).notification_id == known.id
    await client.close()


async def test_amounts_without_a_minor_unit_are_kept_as_they_are(desk: Desk):
    yen = Money(currency_code="JPY", minor_units=0)
    await desk.hear(desk.confirmed(total=yen))
    [known] = await desk.settled()
    assert known.amount == yen


@pytest.mark.parametrize(
    ("days", "state"),
    [pytest.param(6, "SENT", id="after a long outage"), pytest.param(8, "SKIPPED", id="a shop's history")],
)
async def test_nobody_is_told_of_what_happened_long_ago(desk: Desk, days, state):
    confirmed = desk.confirmed()
    confirmed.message.confirm_time.FromDatetime(datetime.now(UTC) - timedelta(days=days))

    await desk.hear(confirmed)
    await desk.settled()

    assert await desk.states() == [("ORDER_CONFIRMED", state, "")]
