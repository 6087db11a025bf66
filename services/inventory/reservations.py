"""What happens to reservations: the use cases that calls, events and time bring about."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.outbox import Outbox
from services.inventory import domain, messages
from services.inventory.domain import Line, Reservation
from services.inventory.feed import StockFeed
from services.inventory.store import ReservationStore

logger = logging.getLogger(__name__)

Parameters = Mapping[str, Any]

EXPIRY_BATCH = 100
"""Most reservations that are looked up at once to be released."""


class ReservationChangedError(Exception):
    """A reservation changed while an event was handled. The event is to be heard again."""


class Reservations:
    """Changes reservations; the store does each change in one statement, and this tells those who wait."""

    def __init__(self, store: ReservationStore, feed: StockFeed, outbox: Outbox) -> None:
        """Keep the collaborators."""
        self._store = store
        self._feed = feed
        self._outbox = outbox

    async def reserve(self, wanted: Reservation, reply: Parameters) -> Reservation:
        """Hold units for an order. Raises StockInsufficient, ReservationReleased or ReservationExists."""
        if not await self._store.reserve(wanted, reply):
            return await self._found_instead(wanted)
        self._feed.mark([line.product_id for line in wanted.lines])
        return wanted

    async def _found_instead(self, wanted: Reservation) -> Reservation:
        found = await self._store.find(wanted.order_id)
        if found is not None:
            return domain.hold_again(found, wanted)
        # Units that came back since the refusal make nothing short; then any of the products may have been.
        short = await self._store.short_of(wanted.lines) or [line.product_id for line in wanted.lines]
        raise domain.insufficient(wanted.order_id, short)

    async def release(self, order_id: UUID, reply: Parameters) -> None:
        """Give an order's units back, now or before they are held. Raises ReservationCommitted."""
        event = self._event(order_id, messages.reservation_released(order_id, "REQUESTED"))
        released = await self._store.release(order_id, reply, event)
        if released is None:
            domain.require_given_back(await self._store.find(order_id))
        self._announce(released)

    async def confirm(self, order_id: UUID, lines: Sequence[Line], heard: Parameters) -> None:
        """Sell what is held for an order. What is not held any more is taken again, or else the commit fails."""
        committed = await self._store.commit(order_id, heard)
        if committed is None:
            await self._confirm_late(order_id, lines, heard)
        else:
            self._feed.mark(committed)

    async def _confirm_late(self, order_id: UUID, lines: Sequence[Line], heard: Parameters) -> None:
        if domain.confirmation_is_settled(await self._store.find(order_id)):
            await self._store.heard(heard)
            return
        taken = await self._store.take_again(order_id, domain.in_order(lines), heard)
        if taken is not None:
            logger.warning("units were taken again, their reservation had ended", extra=_of(order_id))
            self._feed.mark(taken)
            return
        event = self._event(order_id, messages.stock_commit_failed(order_id))
        if not await self._store.fail_commit(order_id, heard, event):
            raise ReservationChangedError(f"the reservation of order {order_id} changed meanwhile")
        logger.error("a confirmed order's units are gone", extra=_of(order_id))
        self._outbox.wake()

    async def cancel(self, order_id: UUID, heard: Parameters) -> None:
        """Put the units of a cancelled order back, once, and refuse it any others."""
        event = self._event(order_id, messages.order_restocked(order_id))
        self._announce(await self._store.cancel(order_id, heard, event))

    async def expire(self) -> bool:
        """Release reservations that were held for too long; return whether there may be more of them."""
        expired = await self._store.expired(EXPIRY_BATCH)
        for order_id in expired:
            event = self._event(order_id, messages.reservation_released(order_id, "EXPIRED"))
            self._announce(await self._store.expire(order_id, event))
        return len(expired) == EXPIRY_BATCH

    def _event(self, order_id: UUID, event: Message) -> Parameters:
        return self._outbox.parameters(event, order_id)

    def _announce(self, changed: Sequence[UUID] | None) -> None:
        if changed is not None:
            self._outbox.wake()
            self._feed.mark(changed)


def _of(order_id: UUID) -> dict[str, Any]:
    return {"fields": {"service": "inventory", "order_id": str(order_id)}}
