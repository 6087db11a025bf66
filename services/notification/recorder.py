"""Records news, and tells those who wait for them: the sender and the streams of this process."""

from collections.abc import Mapping
from typing import Any

from services.chassis.changes import Changes
from services.chassis.tracing import outgoing
from services.notification.domain import News, State
from services.notification.sender import Sender
from services.notification.store import NotificationStore


class Recorder:
    """Writes what is to be told. Nobody is asked for anything meanwhile, so that it is known at once."""

    def __init__(self, store: NotificationStore, sender: Sender, changes: Changes) -> None:
        """Keep where it is written and who is told."""
        self._store = store
        self._sender = sender
        self._changes = changes

    async def heard(self, heard: Mapping[str, Any]) -> None:
        """Note an event that is no news."""
        await self._store.heard(heard)

    async def record(self, news: News, heard: Mapping[str, Any], *, old: bool = False) -> None:
        """Record news with the event that was heard."""
        state = await self._store.record(news, heard, outgoing(), old=old)
        if state is State.PENDING:
            self._sender.wake()
        self._changes.announce(news.customer_id)
