"""Sends what is pending, beside the consumers that record it.

A process that dies between the mail server's yes and the note of it leaves the notification pending, and it is sent
again: SMTP allows no more than at least once. The second mail is the same to the byte, Message-ID included (RFC 5322,
section 3.6.4), by which mail systems can tell that they have it.
"""

import asyncio
import contextlib
import contextvars
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import psycopg

from services.chassis.background import to_its_end
from services.chassis.changes import Changes
from services.chassis.metrics import ServiceMetrics
from services.chassis.outbox import Outbox
from services.chassis.tracing import ServiceTracing
from services.notification import messages
from services.notification.domain import NotNow, State, Transport, Undeliverable, retry_delay
from services.notification.pending import Claim, Pending

logger = logging.getLogger(__name__)

T = TypeVar("T")

GATHER: Final = 0.05
"""Seconds in which what is recorded, one after the other, is claimed by one statement."""
FINISH_WITHIN: Final = 5.0
"""Seconds that what is being sent gets when the process drains."""
BROKEN: Final = "INTERNAL"
OUTCOMES: Final = ("sent", "put_off", "failed")
_RETRY: Final = 0.5


class Sender:
    """Claims what is due and sends a few at once; woken when something was recorded here, and by the clock."""

    def __init__(  # noqa: PLR0913  # built in one place, each collaborator named
        self,
        pending: Pending,
        transport: Transport,
        *,
        outbox: Outbox,
        changes: Changes,
        metrics: ServiceMetrics,
        tracing: ServiceTracing,
        at_once: int,
        poll_interval: float,
    ) -> None:
        """Keep the collaborators, how many to send at once, and after how many seconds to look without being woken."""
        self._pending = pending
        self._transport = transport
        self._outbox = outbox
        self._changes = changes
        self._tracing = tracing
        self._at_once = at_once
        self._poll_interval = poll_interval
        name, text = "notifications", "Tries to send a notification, by outcome."
        self._outcomes = {outcome: metrics.counter(name, text, outcome=outcome) for outcome in OUTCOMES}
        self._due = asyncio.Event()
        self._full = False
        self._sending: dict[asyncio.Task[None], Claim] = {}

    def wake(self) -> None:
        """Say that there is something to send."""
        self._due.set()

    async def run(self) -> None:
        """Send until cancelled; then finish what is being sent, and give back the rest."""
        try:
            while True:
                self._due.clear()
                await self._begin_due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_interval):
                        await self._due.wait()
                        await asyncio.sleep(GATHER)
        finally:
            await to_its_end(self._finish())

    async def _begin_due(self) -> None:
        room = self._at_once - len(self._sending)
        if room == 0:
            return
        try:
            claims = await self._pending.claim(self._transport.channel, room)
        except psycopg.OperationalError:
            logger.warning("notifications cannot be claimed; trying again")
            return
        self._full = len(claims) == room
        for claim in claims:
            self._begin(claim)

    def _begin(self, claim: Claim) -> None:
        if claim.notification.state is State.SKIPPED:
            self._changes.announce(claim.notification.news.customer_id)
            self._due.set()
            return
        task = asyncio.get_running_loop().create_task(self._send(claim), context=contextvars.Context())
        self._sending[task] = claim
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._sending.pop(task, None)
        if self._full:
            self._due.set()

    async def _send(self, claim: Claim) -> None:
        """Send one and write what became of it. What cannot be written comes again when the claim lapses."""
        try:
            async with asyncio.timeout(self._pending.lease):
                with self._tracing.linked("send notification", [claim.traceparent]):
                    await self._send_and_settle(claim)
        except (TimeoutError, psycopg.Error) as error:
            logger.warning("notification is left for later", extra=_extra(claim, error=type(error).__name__))
        self._changes.announce(claim.notification.news.customer_id)

    async def _send_and_settle(self, claim: Claim) -> None:
        try:
            await self._transport.send(claim.notification)
        except Undeliverable as refusal:
            await self._failed(claim, refusal.reason)
        except NotNow as trouble:
            await self._put_off(claim, trouble.reason)
        except Exception as error:  # noqa: BLE001  # a bug; its text is not logged, for it may hold an address
            logger.error("notification broke its sender", extra=_extra(claim, error=place_of(error)))  # noqa: TRY400  # likewise
            await self._put_off(claim, BROKEN)
        else:
            await self._sent(claim)

    async def _sent(self, claim: Claim) -> None:
        event = self._outbox.parameters(messages.notification_sent(claim.notification), claim.notification.id)
        if await _written(lambda: self._pending.sent(claim, event)):
            self._outcomes["sent"].inc()
            self._outbox.wake()

    async def _failed(self, claim: Claim, reason: str) -> None:
        logger.warning("notification failed", extra=_extra(claim, reason=reason))
        await _written(lambda: self._pending.failed(claim, reason))
        self._outcomes["failed"].inc()

    async def _put_off(self, claim: Claim, reason: str) -> None:
        delay = retry_delay(claim.attempt)
        state = await _written(lambda: self._pending.put_off(claim, delay, reason))
        outcome = "failed" if state is State.FAILED else "put_off"
        logger.warning("notification %s", outcome, extra=_extra(claim, reason=reason, delay=delay))
        self._outcomes[outcome].inc()

    async def _finish(self) -> None:
        sending = dict(self._sending)
        if sending:
            await asyncio.wait(sending, timeout=FINISH_WITHIN)
        left = [(task, claim) for task, claim in sending.items() if not task.done()]
        for task, _ in left:
            task.cancel()
        await asyncio.gather(*(task for task, _ in left), return_exceptions=True)
        try:
            if left:
                await self._pending.give_back([claim for _, claim in left])
        except psycopg.OperationalError:  # raised from here, it would hide the cancellation
            logger.warning("notifications cannot be given back; their claims lapse")


async def _written(write: Callable[[], Awaitable[T]]) -> T:
    """Write, again and again while the database is away: that must not cost the customer a second mail."""
    while True:
        try:
            return await write()
        except psycopg.OperationalError:
            await asyncio.sleep(_RETRY)


def place_of(error: BaseException) -> str:
    """Return what an error is and where it came from, without its text."""
    places = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}{where}"


def _extra(claim: Claim, **fields: object) -> dict[str, object]:
    known = {"service": "notification", "notification_id": str(claim.notification.id), "attempt": claim.attempt}
    return {"fields": known | fields}
