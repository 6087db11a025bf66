"""What is yet to be sent, in PostgreSQL. Who sends claims it for a while, by the clock of the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.chassis import outbox
from services.chassis.database import Database
from services.notification.domain import Channel, Notification, State
from services.notification.store import COLUMNS, UNWANTED, notification_of

Parameters = Mapping[str, Any]

GIVE_UP_AFTER: Final = "1 day"

# What the customer does not want any more is settled in the same breath.
CLAIM = f"""
WITH due AS (
    SELECT id FROM notification WHERE state = 'PENDING' AND channel = %(channel)s AND due_time <= now()
    ORDER BY due_time LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT due.id, {UNWANTED} AS unwanted
    FROM due JOIN notification ON notification.id = due.id
    LEFT JOIN preferences ON preferences.customer_id = notification.customer_id
)
UPDATE notification SET
    state = CASE WHEN unwanted THEN 'SKIPPED' ELSE state END,
    change_xid = CASE WHEN unwanted THEN pg_current_xact_id() ELSE change_xid END,
    attempt = attempt + 1, due_time = now() + %(lease)s::interval
FROM judged WHERE notification.id = judged.id
RETURNING attempt, traceparent, {COLUMNS}
"""  # noqa: S608  # constants

# Whoever lost the lease to another writes nothing.
HELD = "id = %(id)s AND attempt = %(attempt)s AND state = 'PENDING'"

SENT = f"""
WITH sent AS (
    UPDATE notification SET state = 'SENT', send_time = now(), change_xid = pg_current_xact_id() WHERE {HELD}
    RETURNING id
)
{outbox.INSERT} SELECT {outbox.VALUES}, 1 FROM sent RETURNING aggregate_version
"""  # noqa: S608  # constants

FAILED = f"""
UPDATE notification SET state = 'FAILED', failure_reason = %(reason)s, change_xid = pg_current_xact_id() WHERE {HELD}
"""  # noqa: S608  # constants

LATE = f"create_time < now() - interval '{GIVE_UP_AFTER}'"
PUT_OFF = f"""
UPDATE notification SET
    state = CASE WHEN {LATE} THEN 'FAILED' ELSE state END,
    failure_reason = CASE WHEN {LATE} THEN %(reason)s ELSE '' END,
    change_xid = CASE WHEN {LATE} THEN pg_current_xact_id() ELSE change_xid END,
    due_time = now() + %(delay)s::interval
WHERE {HELD} RETURNING state
"""  # noqa: S608  # constants

GIVE_BACK = """
UPDATE notification SET due_time = now()
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS held (id, attempt)
WHERE notification.id = held.id AND notification.attempt = held.attempt AND state = 'PENDING'
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification that this process may send now."""

    notification: Notification
    attempt: int
    """Counts the tries, from 1."""
    traceparent: str
    """Where its event was handled."""


class Pending:
    """The queries of the sender."""

    def __init__(self, database: Database, *, lease: float) -> None:
        """Keep the database, and for how many seconds a claim holds."""
        self._database = database
        self.lease = lease

    async def claim(self, channel: Channel, limit: int) -> list[Claim]:
        """Claim what is due, longest due first; what is returned SKIPPED is settled already."""
        rows = await self._database.all(CLAIM, {"channel": channel.value, "limit": limit, "lease": f"{self.lease} s"})
        return [Claim(notification_of(row[2:]), row[0], row[1]) for row in rows]

    async def sent(self, claim: Claim, event: Parameters) -> bool:
        """Note that it was sent, with its event."""
        return await self._database.one(SENT, {**event, **_held(claim)}) is not None

    async def failed(self, claim: Claim, reason: str) -> bool:
        """Note that it can never be sent."""
        return await self._database.execute(FAILED, {**_held(claim), "reason": reason}) > 0

    async def put_off(self, claim: Claim, delay: float, reason: str) -> State | None:
        """Have it tried again after some seconds, unless that went on for a day: then it has failed."""
        row = await self._database.one(PUT_OFF, {**_held(claim), "delay": f"{delay} s", "reason": reason})
        return State(row[0]) if row else None

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """End claims, so that others may take them at once."""
        ids, attempts = [claim.notification.id for claim in claims], [claim.attempt for claim in claims]
        await self._database.execute(GIVE_BACK, {"ids": ids, "attempts": attempts})


def _held(claim: Claim) -> dict[str, Any]:
    return {"id": claim.notification.id, "attempt": claim.attempt}
