"""The stream of what a customer is told."""

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from meshmart.notification.v1 import notification_service_pb2 as pb
from meshmart.notification.v1.notification_pb2 import Notification

from services.chassis.ids import new_id
from services.notification.store import Place
from services.notification.tokens import resume_token
from tests.notification.conftest import Desk, OpenDesk
from tests.support.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable

Response = pb.WatchNotificationsResponse
PENDING, SENT = Notification.STATE_PENDING, Notification.STATE_SENT


class Watch:
    """An open stream, and what it has said."""

    def __init__(self, desk: Desk, token: str = "") -> None:
        request = pb.WatchNotificationsRequest(resume_token=token)
        self.stream: Any = desk.stub.WatchNotifications(request, metadata=desk.headers)
        self.seen: list[tuple[str, int]] = []
        self.token = token

    async def __aenter__(self):
        if not self.token:
            first = await self.read()
            assert not first.HasField("notification")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stream.cancel()

    async def read(self) -> Response:
        message: Response = await self.stream.read()
        self.token = message.resume_token
        if message.HasField("notification"):
            self.seen.append((message.notification.id, message.notification.state))
        return message

    async def until(self, enough: "Callable[[list[tuple[str, int]]], bool]") -> None:
        """Read until what was seen is enough; the test's own timeout is the limit."""
        while not enough(self.seen):
            await self.read()


async def test_a_watch_shows_what_comes_and_what_becomes_of_it(desk: Desk):
    await desk.hear(desk.registered())
    await desk.settled()
    async with Watch(desk) as watch:
        await desk.hear(desk.confirmed())
        await watch.until(lambda seen: SENT in [state for _, state in seen])

    [newest, _] = await desk.notifications()
    assert watch.seen[-1] == (newest.id, SENT)
    assert {identity for identity, _ in watch.seen} == {newest.id}


async def test_a_watch_shows_nothing_of_others(desk: Desk):
    async with Watch(desk) as watch:
        own, desk.customer_id = desk.customer_id, new_id()
        await desk.hear(desk.confirmed())
        desk.customer_id = own
        await desk.hear(desk.confirmed())
        await watch.until(bool)
        [known] = await desk.notifications()
    assert watch.seen[0][0] == known.id


async def test_a_resumed_watch_misses_nothing_and_repeats_nothing(desk: Desk):
    async with Watch(desk) as watch:
        await desk.hear(desk.confirmed())
        await watch.until(lambda seen: SENT in [state for _, state in seen])
    await desk.hear(desk.confirmed(), desk.confirmed())
    await desk.settled()

    async with Watch(desk, watch.token) as resumed:
        await resumed.until(lambda seen: len(seen) == 2)

    newest = [known.id for known in await desk.notifications()][:2]
    assert sorted(resumed.seen) == sorted((identity, SENT) for identity in newest)


async def test_a_backlog_larger_than_a_batch_comes_whole(desk: Desk, monkeypatch):
    monkeypatch.setattr("services.notification.watch.BATCH", 2)
    async with Watch(desk) as watch:
        token = watch.token
    await desk.hear(*(desk.confirmed() for _ in range(5)))
    await desk.settled()
    async with Watch(desk, token) as resumed:
        await resumed.until(lambda seen: len(seen) == 5)
    assert len(set(resumed.seen)) == 5


async def test_a_watch_hears_of_what_another_process_recorded(desk: Desk, open_desk: OpenDesk):
    other = await open_desk(like=desk)
    async with Watch(desk) as watch:
        await other.hear(other.confirmed())
        await watch.until(lambda seen: SENT in [state for _, state in seen])


async def test_nothing_is_missed_however_many_transactions_overlap(desk: Desk, open_desk: OpenDesk):
    other = await open_desk(like=desk)
    async with Watch(desk) as watch:
        await asyncio.gather(*(each.hear(each.confirmed()) for each in (desk, other) for _ in range(25)))
        await watch.until(lambda seen: sum(state == SENT for _, state in seen) == 50)


async def test_a_quiet_watch_says_that_it_lives(desk: Desk, monkeypatch):
    monkeypatch.setattr("services.notification.watch.SILENCE", 0.0)
    async with Watch(desk) as watch:
        message = await watch.read()
    assert (message.HasField("notification"), bool(message.resume_token)) == (False, True)


async def test_a_watch_ends_with_a_token_when_the_process_drains(desk: Desk):
    async with Watch(desk) as watch:
        desk.served.host.process.draining.set()
        message = await watch.read()
        assert (message.end_reason, bool(message.resume_token)) == (Response.END_REASON_RESUME, True)
        assert await watch.stream.read() == grpc.aio.EOF
        assert (await watch.stream.code()).name == "OK"


CUSTOMER = new_id()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("?", id="not base64"),
        pytest.param("AAAA", id="too short"),
        pytest.param(resume_token(Place(1), new_id()), id="of another customer"),
        pytest.param(resume_token(Place(1 << 60), CUSTOMER), id="of another database"),
        pytest.param("é", id="not ASCII"),
    ],
)
async def test_a_token_that_was_not_given_out_is_refused(desk: Desk, token):
    desk.customer_id = CUSTOMER
    with refused("INVALID_ARGUMENT", "RESUME_TOKEN_INVALID"):
        await Watch(desk, token).stream.read()
