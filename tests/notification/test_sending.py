"""Each notification is sent once, whatever fails, dies or comes back; or it says why not."""

import asyncio

import psycopg
import pytest
from meshmart.notification.v1.notification_pb2 import Notification

from services.notification.domain import Channel
from services.notification.pending import Pending
from services.notification.store import NotificationStore
from tests.notification.catcher import MailCatcher
from tests.notification.conftest import Desk, OpenDesk, smtp


@pytest.mark.parametrize("at", ["RCPT", "DATA"])
async def test_what_the_mail_server_refuses_for_good_has_failed(post: Desk, catcher: MailCatcher, at):
    catcher.refusals[at].append("550 no such mailbox: ann@example.com")
    await post.hear(post.registered())
    await post.settled()
    assert await post.states() == [("WELCOME", "FAILED", "SMTP_550")]
    assert (catcher.tries, catcher.caught) == (1, [])


@pytest.mark.parametrize("at", ["RCPT", "DATA"])
async def test_what_the_mail_server_refuses_for_now_is_tried_again(post: Desk, catcher: MailCatcher, at):
    catcher.refusals[at] += ["450 busy", "451 busy still"]
    await post.hear(post.registered())
    await post.put_off(1)
    await post.put_off(2)
    await post.settled()
    assert await post.states() == [("WELCOME", "SENT", "")]
    assert (catcher.tries, len(catcher.caught)) == (3, 1)


async def test_a_mail_server_that_was_away_gets_everything_when_it_is_back(post: Desk, catcher: MailCatcher):
    await catcher.stop()
    await post.hear(post.registered(), post.confirmed())
    await post.put_off()
    await catcher.start()
    await post.settled()
    assert len(catcher.caught) == 2


async def test_a_mail_that_the_server_looks_through_for_long_is_sent_once(post: Desk, catcher, monkeypatch):
    monkeypatch.setattr("services.notification.smtp_transport.PATIENCE", 0.2)
    catcher.gate = asyncio.Event()
    await post.hear(post.registered())
    await catcher.reached.wait()
    asyncio.get_running_loop().call_later(0.6, catcher.gate.set)
    await post.settled()
    assert await post.states() == [("WELCOME", "SENT", "")]
    assert (catcher.tries, len(catcher.caught)) == (1, 1)


async def test_a_customer_is_told_when_identity_is_back(post: Desk, catcher: MailCatcher):
    post.directory.away = True
    await post.hear(post.registered())
    await post.put_off()
    post.directory.away = False
    await post.settled()
    assert len(catcher.caught) == 1


@pytest.mark.parametrize(
    ("contact", "reason"),
    [
        pytest.param(None, "CUSTOMER_NOT_FOUND", id="no customer"),
        pytest.param(("ann", "Ann"), "ADDRESS_INVALID", id="no address"),
        pytest.param(("ann@example.com\r\nRCPT TO:<eve@example.com>", "Ann"), "ADDRESS_INVALID", id="two lines"),
        pytest.param(("änn@example.com", "Ann"), "ADDRESS_INVALID", id="beyond ASCII"),
    ],
)
async def test_who_cannot_be_reached_is_not_tried_again(post: Desk, catcher: MailCatcher, contact, reason):
    post.directory.contacts.clear()
    if contact:
        post.directory.contacts[str(post.customer_id)] = contact
    await post.hear(post.registered())
    await post.settled()
    assert await post.states() == [("WELCOME", "FAILED", reason)]
    assert catcher.tries == 0


async def test_after_a_day_it_is_given_up_with_the_last_reason(post: Desk, catcher: MailCatcher):
    catcher.refusals["RCPT"] += ["450 busy"] * 2 + ["452 full"] * 9
    await post.hear(post.registered())
    await post.put_off(1)
    await post.put_off(2)
    assert await post.states() == [("WELCOME", "PENDING", "")]

    await post.database.execute("UPDATE notification SET create_time = create_time - interval '25 h'")
    await post.lapse()
    await post.settled()

    assert await post.states() == [("WELCOME", "FAILED", "SMTP_452")]


async def test_a_bug_costs_one_notification_its_turn_and_tells_nobody_the_address(
    post: Desk, catcher, caplog, monkeypatch
):
    def break_once(*_):
        monkeypatch.undo()
        raise RuntimeError("ann@example.com")

    monkeypatch.setattr("services.notification.rendering.Renderer.render", break_once)
    await post.hear(post.registered())
    await post.put_off()
    await post.settled()

    [error] = [record.fields["error"] for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith("RuntimeError at test_sending.py:")
    assert "ann@example.com" not in caplog.text
    assert len(catcher.caught) == 1


async def test_a_claim_that_lapses_is_sent_again_to_the_byte(post: Desk, open_desk: OpenDesk, catcher: MailCatcher):
    """As when a process dies after the mail server took the mail: nobody can know, but mail systems can tell."""
    catcher.gate = asyncio.Event()
    await post.hear(post.registered())
    await catcher.reached.wait()

    await open_desk(like=post, **smtp(catcher))
    catcher.reached.clear()
    await post.lapse()
    await catcher.reached.wait()
    catcher.gate.set()
    await post.settled()

    first, second = catcher.caught
    assert first.data == second.data
    assert await post.database.one("SELECT count(*) FROM outbox") == (1,)


async def test_a_database_that_is_away_when_a_mail_was_taken_does_not_cost_a_second(post: Desk, catcher, monkeypatch):
    write, failures = Pending.sent, iter([psycopg.OperationalError("gone")] * 2)

    async def sent(*arguments):
        if failure := next(failures, None):
            raise failure
        return await write(*arguments)

    monkeypatch.setattr(Pending, "sent", sent)
    monkeypatch.setattr("services.notification.sender._RETRY", 0.01)
    await post.hear(post.registered())
    await post.settled()
    assert len(catcher.caught) == 1


async def test_two_processes_send_each_notification_once(post: Desk, open_desk: OpenDesk, catcher: MailCatcher):
    other = await open_desk(like=post, **smtp(catcher))
    events = [post.confirmed() for _ in range(20)]

    handled = await asyncio.gather(
        *(desk.hear(event) for event in events for desk in (post, other)), return_exceptions=True
    )
    await post.settled()

    assert sum(isinstance(outcome, Exception) for outcome in handled) == 20
    assert len({caught.mail["Message-ID"] for caught in catcher.caught}) == len(catcher.caught) == 20


async def test_what_was_recorded_before_a_restart_is_sent_after_it(
    post: Desk, open_desk: OpenDesk, catcher: MailCatcher
):
    await catcher.stop()
    await post.hear(post.registered())
    await post.put_off()
    await post.served.host.__aexit__(None, None, None)

    await catcher.start()
    await post.lapse()
    again = await open_desk(like=post, **smtp(catcher))
    await again.settled()

    assert len(catcher.caught) == 1


async def test_a_process_that_drains_finishes_what_it_sends(post: Desk, open_desk: OpenDesk, catcher: MailCatcher):
    catcher.gate = asyncio.Event()
    await post.hear(post.registered())
    await catcher.reached.wait()

    leaving = asyncio.create_task(post.served.host.__aexit__(None, None, None))
    await asyncio.sleep(0)
    catcher.gate.set()
    await leaving

    assert await post.database.one("SELECT state FROM notification") == ("SENT",)
    assert len(catcher.caught) == 1


async def test_a_process_that_drains_gives_back_what_takes_too_long(post: Desk, catcher: MailCatcher, monkeypatch):
    monkeypatch.setattr("services.notification.sender.FINISH_WITHIN", 0.05)
    catcher.gate = asyncio.Event()
    await post.hear(post.registered())
    await catcher.reached.wait()

    await post.served.host.__aexit__(None, None, None)

    assert await post.database.one("SELECT state, due_time <= now() FROM notification") == ("PENDING", True)
    catcher.gate.set()


async def test_what_is_unwanted_by_the_time_it_would_be_sent_is_skipped(post: Desk, catcher: MailCatcher):
    catcher.refusals["RCPT"].append("450 busy")
    await post.hear(post.registered())
    while catcher.tries == 0:  # noqa: ASYNC110  # the sender decides when
        await asyncio.sleep(0.01)
    await post.prefer("mail_enabled", mail_enabled=False)
    await post.put_off()
    await post.settled()
    assert await post.states() == [("WELCOME", "SKIPPED", "")]
    assert catcher.caught == []


async def test_more_than_is_sent_at_once_is_sent_too(open_desk: OpenDesk, catcher: MailCatcher):
    post = await open_desk(**smtp(catcher, send_at_once=2, poll_interval=3600.0))
    await post.hear(*(post.confirmed() for _ in range(9)))
    await post.settled()
    assert len(catcher.caught) == 9


async def test_what_waits_for_a_mail_server_is_not_taken_for_a_line_in_the_log(post: Desk, open_desk, catcher):
    await catcher.stop()
    await post.hear(post.registered())
    await post.put_off()
    await post.served.host.__aexit__(None, None, None)

    desk = await open_desk(like=post)
    await desk.hear(desk.confirmed())
    while (await desk.notifications())[0].state != Notification.STATE_SENT:  # noqa: ASYNC110  # the sender decides when
        await asyncio.sleep(0.01)

    assert await desk.states() == [("ORDER_CONFIRMED", "SENT", ""), ("WELCOME", "PENDING", "")]


async def test_without_a_mail_server_nobody_is_asked_for_an_address(desk: Desk, caplog):
    await desk.hear(desk.confirmed())
    [known] = await desk.settled()
    [line] = [record.fields for record in caplog.records if record.message == "notification sent"]
    assert line == {
        "service": "notification",
        "notification_id": known.id,
        "kind": "ORDER_CONFIRMED",
        "order_id": known.order_id,
    }
    assert desk.directory.asked == 0


async def test_notifications_are_kept_for_90_days(desk: Desk):
    await desk.hear(desk.registered(), desk.confirmed(), desk.refunded())
    await desk.settled()
    age = "UPDATE notification SET create_time = create_time - interval '90 days' WHERE kind = 'WELCOME'"
    await desk.database.execute(age)
    store = NotificationStore(desk.database, Channel.LOG)

    assert [await store.forget(2), await store.forget(2)] == [1, 0]
    assert [kind for kind, *_ in await desk.states()] == ["PAYMENT_REFUNDED", "ORDER_CONFIRMED"]
