"""What customers and staff see of notifications, and what they are refused."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from meshmart.notification.v1 import notification_service_pb2 as pb
from meshmart.notification.v1.notification_pb2 import Notification, Preferences

from services.chassis.ids import new_id
from services.notification.tokens import Unsubscribing
from tests.notification.conftest import SECRET, Desk, OpenDesk
from tests.support.refusals import refused

FAILED, SENT = Notification.STATE_FAILED, Notification.STATE_SENT


async def search(desk: Desk, **fields: Any) -> pb.SearchNotificationsResponse:
    return await desk.stub.SearchNotifications(pb.SearchNotificationsRequest(**fields), metadata=desk.staff)


async def unsubscribe(desk: Desk, token: str) -> None:
    await desk.stub.Unsubscribe(pb.UnsubscribeRequest(token=token))


async def test_notifications_are_listed_newest_first_a_page_at_a_time(desk: Desk):
    orders = [new_id() for _ in range(3)]
    for order_id in orders:
        await desk.hear(desk.confirmed(order_id))
        await desk.settled()  # takes a millisecond, in which ids are not in order

    first = await desk.page(page_size=2)
    second = await desk.page(page_size=2, page_token=first.next_page_token)

    shown = [known.order_id for page in (first, second) for known in page.notifications]
    assert shown == [str(order_id) for order_id in reversed(orders)]
    assert second.next_page_token == ""


async def test_customers_see_their_own_notifications_only(desk: Desk):
    await desk.hear(desk.confirmed())
    desk.customer_id = new_id()
    assert await desk.notifications() == []


async def test_staff_find_notifications_by_what_they_know(desk: Desk):
    ann = desk.customer_id
    await desk.hear(desk.registered(), desk.confirmed())
    desk.customer_id = bob = new_id()
    await desk.hear(desk.confirmed())
    await desk.settled()
    await desk.database.execute(
        "UPDATE notification SET state = 'FAILED', send_time = NULL, failure_reason = 'SMTP_550' WHERE customer_id = %s",
        (bob,),
    )

    async def found(**fields: Any) -> list[tuple[UUID, str]]:
        page = await search(desk, **fields)
        return [(UUID(one.customer_id), Notification.Kind.Name(one.kind)) for one in page.notifications]

    confirmed, welcome = "KIND_ORDER_CONFIRMED", "KIND_WELCOME"
    assert await found() == [(bob, confirmed), (ann, confirmed), (ann, welcome)]
    assert await found(customer_id=str(ann)) == [(ann, confirmed), (ann, welcome)]
    assert await found(kind=Notification.KIND_ORDER_CONFIRMED) == [(bob, confirmed), (ann, confirmed)]
    assert await found(state=FAILED) == [(bob, confirmed)]
    assert await found(customer_id=str(ann), kind=Notification.KIND_WELCOME, state=SENT) == [(ann, welcome)]
    assert await found(customer_id=str(ann), state=FAILED) == []


async def test_a_search_goes_on_where_its_page_ended(desk: Desk):
    await desk.hear(desk.registered(), desk.confirmed(), desk.confirmed())
    first = await search(desk, page_size=1, kind=Notification.KIND_ORDER_CONFIRMED)
    second = await search(desk, page_size=1, page_token=first.next_page_token, kind=Notification.KIND_ORDER_CONFIRMED)
    assert first.notifications[0].id > second.notifications[0].id
    assert second.next_page_token == ""


async def test_who_never_changed_a_preference_wants_everything(desk: Desk):
    answer = await desk.stub.GetPreferences(pb.GetPreferencesRequest(), metadata=desk.headers)
    assert answer.preferences == Preferences(customer_id=str(desk.customer_id), mail_enabled=True, etag="0")


async def test_preferences_change_where_the_mask_says_so(desk: Desk):
    muted = [Notification.KIND_ORDER_CANCELLED, Notification.KIND_WELCOME]
    first = await desk.prefer("muted_kinds", muted_kinds=muted, mail_enabled=False)
    second = await desk.prefer("mail_enabled", mail_enabled=False, etag=first.etag)

    assert (first.mail_enabled, list(first.muted_kinds), first.etag) == (True, sorted(muted), "1")
    assert (second.mail_enabled, list(second.muted_kinds), second.etag) == (False, sorted(muted), "2")
    answer = await desk.stub.GetPreferences(pb.GetPreferencesRequest(), metadata=desk.headers)
    assert answer.preferences == second


async def test_what_is_muted_shows_but_is_not_sent(desk: Desk):
    await desk.prefer("muted_kinds", muted_kinds=[Notification.KIND_WELCOME])
    await desk.hear(desk.registered(), desk.confirmed())
    await desk.settled()
    assert await desk.states() == [("ORDER_CONFIRMED", "SENT", ""), ("WELCOME", "SKIPPED", "")]


async def test_a_repeated_change_is_made_once(desk: Desk):
    request_id = str(new_id())
    answers = await asyncio.gather(
        *(desk.prefer("mail_enabled", mail_enabled=False, request_id=request_id) for _ in range(20))
    )
    assert {answer.etag for answer in answers} == {"1"}


async def test_changes_at_once_are_all_made(desk: Desk):
    answers = await asyncio.gather(*(desk.prefer("mail_enabled", mail_enabled=False) for _ in range(10)))
    assert sorted(int(answer.etag) for answer in answers) == list(range(1, 11))


async def test_a_mails_token_turns_mails_off_as_often_as_it_comes(desk: Desk):
    token = Unsubscribing(SECRET).token(desk.customer_id)
    await unsubscribe(desk, token)
    await unsubscribe(desk, token)
    await desk.hear(desk.confirmed())

    answer = await desk.stub.GetPreferences(pb.GetPreferencesRequest(), metadata=desk.headers)
    assert (answer.preferences.mail_enabled, answer.preferences.etag) == (False, "1")
    assert await desk.states() == [("ORDER_CONFIRMED", "SKIPPED", "")]


async def test_who_unsubscribed_may_subscribe_again(desk: Desk):
    await unsubscribe(desk, Unsubscribing(SECRET).token(desk.customer_id))
    await desk.prefer("mail_enabled", mail_enabled=True)
    await desk.hear(desk.confirmed())
    await desk.settled()
    assert await desk.states() == [("ORDER_CONFIRMED", "SENT", "")]


OWN, OTHER = new_id(), new_id()
TOKEN = Unsubscribing(SECRET).token(OWN)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("x", id="too short"),
        pytest.param("?" * 64, id="not base64"),
        pytest.param("é" * 64, id="not ASCII"),
        pytest.param(TOKEN[:-1], id="cut off"),
        pytest.param(TOKEN[:-2] + ("A" if TOKEN[-2] != "A" else "B") + TOKEN[-1], id="another signature"),
        pytest.param(Unsubscribing(SECRET).token(OTHER)[:20] + TOKEN[20:], id="another customer"),
        pytest.param(Unsubscribing("another secret of the tests, long").token(OWN), id="another secret"),
    ],
)
async def test_a_token_that_is_not_ours_turns_nothing_off(desk: Desk, token):
    with refused("INVALID_ARGUMENT", "UNSUBSCRIBE_TOKEN_INVALID"):
        await unsubscribe(desk, token)
    assert await desk.database.one("SELECT count(*) FROM preferences") == (0,)


METHODS = {
    "ListNotifications": pb.ListNotificationsRequest,
    "WatchNotifications": pb.WatchNotificationsRequest,
    "SearchNotifications": pb.SearchNotificationsRequest,
    "GetPreferences": pb.GetPreferencesRequest,
    "UpdatePreferences": pb.UpdatePreferencesRequest,
    "Unsubscribe": pb.UnsubscribeRequest,
}
CUSTOMER, STAFF = "customer", "staff"
INVALID = ("INVALID_ARGUMENT", "REQUEST_INVALID")
MASK = {"update_mask": {"paths": ["mail_enabled"]}, "request_id": str(new_id())}


@pytest.mark.parametrize(
    ("method", "fields", "role", "code", "reason"),
    [
        pytest.param("ListNotifications", {}, "", "UNAUTHENTICATED", "TOKEN_MISSING", id="list: nobody"),
        pytest.param("ListNotifications", {"page_size": -1}, CUSTOMER, *INVALID, id="list: negative size"),
        pytest.param(
            "ListNotifications",
            {"page_token": "x"},
            CUSTOMER,
            "INVALID_ARGUMENT",
            "PAGE_TOKEN_INVALID",
            id="list: token",
        ),
        pytest.param("WatchNotifications", {}, "", "UNAUTHENTICATED", "TOKEN_MISSING", id="watch: nobody"),
        pytest.param(
            "WatchNotifications",
            {"resume_token": "x"},
            CUSTOMER,
            "INVALID_ARGUMENT",
            "RESUME_TOKEN_INVALID",
            id="watch: token",
        ),
        pytest.param("WatchNotifications", {"resume_token": "x" * 513}, CUSTOMER, *INVALID, id="watch: long token"),
        pytest.param("SearchNotifications", {}, "", "UNAUTHENTICATED", "TOKEN_MISSING", id="search: nobody"),
        pytest.param("SearchNotifications", {}, CUSTOMER, "PERMISSION_DENIED", "STAFF_REQUIRED", id="search: customer"),
        pytest.param("SearchNotifications", {"customer_id": "7"}, STAFF, *INVALID, id="search: no id"),
        pytest.param("SearchNotifications", {"kind": 99}, STAFF, *INVALID, id="search: no kind"),
        pytest.param("SearchNotifications", {"state": 99}, STAFF, *INVALID, id="search: no state"),
        pytest.param(
            "SearchNotifications",
            {"page_token": "x"},
            STAFF,
            "INVALID_ARGUMENT",
            "PAGE_TOKEN_INVALID",
            id="search: token",
        ),
        pytest.param("GetPreferences", {}, "", "UNAUTHENTICATED", "TOKEN_MISSING", id="preferences: nobody"),
        pytest.param("UpdatePreferences", {}, "", "UNAUTHENTICATED", "TOKEN_MISSING", id="update: nobody"),
        pytest.param("UpdatePreferences", MASK, CUSTOMER, *INVALID, id="update: nothing told"),
        pytest.param(
            "UpdatePreferences",
            {**MASK, "preferences": {"muted_kinds": [Notification.KIND_WELCOME] * 2}},
            CUSTOMER,
            *INVALID,
            id="update: a kind twice",
        ),
        pytest.param(
            "UpdatePreferences", {**MASK, "preferences": {"muted_kinds": [0]}}, CUSTOMER, *INVALID, id="update: no kind"
        ),
        pytest.param(
            "UpdatePreferences",
            {**MASK, "preferences": {}, "update_mask": {}},
            CUSTOMER,
            "INVALID_ARGUMENT",
            "UPDATE_MASK_INVALID",
            id="update: empty mask",
        ),
        pytest.param(
            "UpdatePreferences",
            {**MASK, "preferences": {}, "update_mask": {"paths": ["customer_id"]}},
            CUSTOMER,
            "INVALID_ARGUMENT",
            "UPDATE_MASK_INVALID",
            id="update: what cannot change",
        ),
        pytest.param(
            "UpdatePreferences",
            {**MASK, "preferences": {"etag": "7"}},
            CUSTOMER,
            "ABORTED",
            "ETAG_STALE",
            id="update: stale",
        ),
        pytest.param("Unsubscribe", {}, "", *INVALID, id="unsubscribe: no token"),
        pytest.param("Unsubscribe", {"token": "x" * 129}, "", *INVALID, id="unsubscribe: long token"),
    ],
)
async def test_what_is_refused(desk: Desk, method, fields, role, code, reason):
    headers = desk.directory.headers(desk.customer_id, role=role) if role else ()
    call = getattr(desk.stub, method)(METHODS[method](**fields), metadata=headers)
    with refused(code, reason):
        await (call.read() if method == "WatchNotifications" else call)


async def test_a_request_id_is_not_reused_for_another_change(desk: Desk):
    request_id = str(new_id())
    await desk.prefer("mail_enabled", mail_enabled=False, request_id=request_id)
    with refused("ABORTED", "REQUEST_ID_REUSED"):
        await desk.prefer("mail_enabled", mail_enabled=True, request_id=request_id)


async def test_a_page_token_belongs_to_its_search(desk: Desk):
    await desk.hear(desk.confirmed(), desk.confirmed())
    first = await search(desk, page_size=1)
    with refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"):
        await search(desk, page_size=1, page_token=first.next_page_token, state=SENT)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("unsubscribe_secret", "short", id="a short secret"),
        pytest.param("mail_from", "meshmart", id="a sender without an address"),
        pytest.param("smtp_security", "maybe", id="a security that there is not"),
    ],
)
async def test_a_wrong_setting_stops_the_start(open_desk: OpenDesk, setting, value):
    with pytest.raises(ValueError, match=setting):
        await open_desk(**{setting: value})
