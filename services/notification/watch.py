"""The stream of what a customer is told."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from meshmart.notification.v1 import notification_service_pb2 as pb

from services.chassis.changes import Changes
from services.notification import messages
from services.notification.store import Change, NotificationStore, Place
from services.notification.tokens import place_of, resume_token, resume_token_invalid

SILENCE: Final = 20.0
"""Seconds after which a message without a notification says that the stream lives, and renews the token."""
BATCH: Final = 100
"""Most changes that are read at once."""

Response = pb.WatchNotificationsResponse
_GOES_ON: Final = Response.END_REASON_UNSPECIFIED


class NotificationWatch:
    """Streams what it finds in the database, where it looks when this process changed something, and now and then."""

    def __init__(self, store: NotificationStore, changes: Changes, draining: asyncio.Event) -> None:
        """Keep where to look, who says that there is something, and when to stop."""
        self._store = store
        self._changes = changes
        self._draining = draining

    async def watch(self, customer_id: UUID, token: str, until: float) -> AsyncIterator[Response]:
        """Yield what changes after the token, or from now on, until draining or `until` by `time.monotonic()`."""
        with self._changes.subscribe(customer_id) as subscription:
            place = await self._begin(customer_id, token)
            if not token:
                yield _token(place, customer_id)
            spoke_at = time.monotonic()
            while not self._draining.is_set() and time.monotonic() < until:
                place, changes = await self._store.changes(customer_id, place, BATCH)
                silent = not changes and time.monotonic() - spoke_at > SILENCE
                for message in [_token(place, customer_id)] if silent else map(_shown, changes):
                    yield message
                    spoke_at = time.monotonic()
                if len(changes) < BATCH:
                    await subscription.wait()
            yield _token(place, customer_id, end_reason=Response.END_REASON_RESUME)

    async def _begin(self, customer_id: UUID, token: str) -> Place:
        now = await self._store.now()
        if not token:
            return now
        place = place_of(token, customer_id)
        if place.xid > now.xid:
            raise resume_token_invalid()
        return place


def _shown(change: Change) -> Response:
    shown, customer_id = messages.notification(change.notification), change.notification.news.customer_id
    return Response(notification=shown, resume_token=resume_token(change.place, customer_id))


def _token(place: Place, customer_id: UUID, *, end_reason: "Response.EndReason.ValueType" = _GOES_ON) -> Response:
    return Response(resume_token=resume_token(place, customer_id), end_reason=end_reason)
