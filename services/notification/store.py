"""Notifications in PostgreSQL, as they are recorded and shown. Each use case is one statement."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from services.chassis import inbox
from services.chassis.database import Database
from services.chassis.ids import new_id
from services.chassis.money import Money
from services.notification.domain import Channel, Kind, News, Notification, State

Parameters = Mapping[str, Any]

COLUMNS: Final = (
    "notification.id, notification.customer_id, kind, order_id, currency_code, minor_units, reason, channel, state, "
    "failure_reason, create_time, send_time"
)
UNWANTED: Final = "(NOT preferences.mail_enabled OR notification.kind = ANY(preferences.muted_kinds))"

# An event that an inbox has forgotten is still known by its notification.
RECORD = f"""
WITH heard AS ({inbox.INSERT})
INSERT INTO notification
    (id, event_id, customer_id, kind, order_id, currency_code, minor_units, reason, channel, traceparent, state)
SELECT notification.*, CASE WHEN %(old)s OR {UNWANTED} THEN 'SKIPPED' ELSE 'PENDING' END
FROM (VALUES (
    %(id)s::uuid, %(inbox_event_id)s::uuid, %(customer_id)s::uuid, %(kind)s, %(order_id)s::uuid, %(currency_code)s,
    %(minor_units)s::bigint, %(reason)s, %(channel)s, %(traceparent)s
)) AS notification (
    id, event_id, customer_id, kind, order_id, currency_code, minor_units, reason, channel, traceparent
) LEFT JOIN preferences ON preferences.customer_id = notification.customer_id
ON CONFLICT (event_id) DO NOTHING
RETURNING state
"""  # noqa: S608  # only constants of this module are put in

# A watermark is a transaction that had not ended when the rows were read, while all before it had: whoever asks for
# changes from there on misses none. Waits for the oldest transaction that writes, in any database of the server.
NOW = "(SELECT pg_snapshot_xmin(pg_current_snapshot()) AS watermark) AS now"
WATERMARK = f"SELECT watermark::text::bigint FROM {NOW}"  # noqa: S608  # a constant
CHANGES = f"""
SELECT watermark::text::bigint, changed.* FROM {NOW} LEFT JOIN LATERAL (
    SELECT change_xid::text::bigint AS xid, {COLUMNS} FROM notification
    WHERE customer_id = %(customer_id)s AND (change_xid, id) > (%(xid)s::text::xid8, %(id)s) AND change_xid < watermark
    ORDER BY change_xid, id LIMIT %(limit)s
) AS changed ON true
ORDER BY xid, id
"""  # noqa: S608  # constants of this module

FORGET = """
DELETE FROM notification USING (SELECT id FROM notification ORDER BY id LIMIT %s) AS oldest
WHERE notification.id = oldest.id AND create_time < now() - interval '90 days'
"""


@cache
def _search(*filters: str) -> str:
    """Return the search by some columns. Each has a statement, so that each is planned for what it asks."""
    conditions = "".join(f"{column} = %({column})s AND " for column in filters)
    return f"""
SELECT {COLUMNS} FROM notification WHERE {conditions} id < %(before)s ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608  # constants of this module


class Place(NamedTuple):
    """A place among all changes: after that of a notification in a transaction, or before a transaction."""

    xid: int
    id: UUID = UUID(int=0)


class Change(NamedTuple):
    """A notification as it now is, and where its last change is."""

    place: Place
    notification: Notification


class NotificationStore:
    """The queries on notifications, but for those of the sender."""

    def __init__(self, database: Database, channel: Channel) -> None:
        """Keep the database, and what is sent over from here."""
        self._database = database
        self._channel = channel

    async def record(self, news: News, heard: Parameters, traceparent: str, *, old: bool = False) -> State | None:
        """Record news as pending, or skipped if they are old or unwanted; None if they were before."""
        amount = news.amount
        row = await self._database.one(
            RECORD,
            {
                **heard,
                "id": new_id(),
                "customer_id": news.customer_id,
                "kind": news.kind.value,
                "order_id": news.order_id,
                "currency_code": amount.currency_code if amount else None,
                "minor_units": amount.minor_units if amount else None,
                "reason": news.reason,
                "channel": self._channel.value,
                "traceparent": traceparent,
                "old": old,
            },
        )
        return State(row[0]) if row else None

    async def heard(self, heard: Parameters) -> None:
        """Note an event of which nothing is told."""
        await self._database.execute(inbox.INSERT, heard)

    async def search(self, filters: Parameters, before: UUID, limit: int) -> list[Notification]:
        """Return the notifications older than one whose columns have some values, newest first."""
        parameters = {**filters, "before": before, "limit": limit}
        return [notification_of(row) for row in await self._database.all(_search(*sorted(filters)), parameters)]

    async def now(self) -> Place:
        """Return the place of what changes from now on."""
        [[watermark]] = await self._database.all(WATERMARK)
        return Place(watermark)

    async def changes(self, customer_id: UUID, after: Place, limit: int) -> tuple[Place, list[Change]]:
        """Return the first changes of a customer's notifications after a place, and the place to go on from."""
        parameters = {"customer_id": customer_id, "xid": str(after.xid), "id": after.id, "limit": limit}
        rows = await self._database.all(CHANGES, parameters)
        found = [Change(Place(row[1], row[2]), notification_of(row[2:])) for row in rows if row[1] is not None]
        return (found[-1].place if len(found) == limit else Place(rows[0][0])), found

    async def forget(self, batch: int) -> int:
        """Delete some of those that were recorded 90 days ago, and return how many."""
        return await self._database.execute(FORGET, (batch,))


def notification_of(row: Sequence[Any]) -> Notification:
    """Return the notification in `COLUMNS` of a row."""
    identity, customer_id, kind, order_id, currency_code, minor_units, reason, channel, state, *rest = row
    amount = Money(currency_code, minor_units) if currency_code is not None else None
    news = News(customer_id, Kind(kind), order_id, amount, reason)
    return Notification(identity, news, Channel(channel), State(state), *rest)
