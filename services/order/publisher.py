"""Writes what the order service decides, with its event, and tells those who wait."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.changes import Changes
from services.chassis.outbox import Outbox
from services.order import messages
from services.order.domain import Order
from services.order.store import OrderStore, Saga


class OrderLog:
    """The saga's log and the calls' writes: each is one statement of the store, then a wake-up."""

    def __init__(self, store: OrderStore, outbox: Outbox, changes: Changes) -> None:
        """Keep the store, the outbox to wake and those who wait."""
        self._store = store
        self._outbox = outbox
        self._changes = changes

    async def place(self, order: Order, reply: Mapping[str, Any]) -> None:
        """Write a new order with its saga."""
        await self._store.place(order, self._event(order.id, messages.order_placed(order)), reply)
        self._outbox.wake()

    async def confirm(self, saga: Saga) -> bool:
        """Confirm the order in time."""
        event = self._event(saga.order.id, messages.order_confirmed(saga.order))
        return self._announce(saga.order.id, written=await self._store.confirm(saga, event))

    async def turn(self, saga: Saga, reason: str) -> Saga | None:
        """Turn to compensation."""
        return await self._store.turn(saga, reason)

    async def reject(self, saga: Saga) -> bool:
        """Reject the order once everything was given back."""
        event = self._event(saga.order.id, messages.order_rejected(saga.order, saga.reason))
        return self._announce(saga.order.id, written=await self._store.reject(saga, event))

    async def cancel(self, cancelled: Order, reply: Mapping[str, Any]) -> bool:
        """Write a cancellation; False when the order changed since it was read."""
        event = messages.order_cancelled(cancelled.id, cancelled.customer_id, cancelled.reason)
        written = await self._store.cancel(cancelled, self._event(cancelled.id, event), reply)
        return self._announce(cancelled.id, written=written)

    async def complete(self, order_id: UUID, heard: Mapping[str, Any]) -> None:
        """Complete an order whose payment was captured."""
        self._announce(order_id, written=await self._store.complete(order_id, heard))

    async def cancel_by_event(self, order: Order, reason: str, heard: Mapping[str, Any]) -> None:
        """Cancel a confirmed order that a neighbour could not keep."""
        event = self._event(order.id, messages.order_cancelled(order.id, order.customer_id, reason))
        self._announce(order.id, written=await self._store.cancel_by_event(order.id, reason, heard, event))

    async def note_refunded(self, order: Order, heard: Mapping[str, Any]) -> None:
        """Note that the money was given back, and close the order if the units were too."""
        self._announce(order.id, written=await self._store.note_refunded(order.id, heard, self._closed(order)))

    async def note_restocked(self, order: Order, heard: Mapping[str, Any]) -> None:
        """Note that the units were given back, and close the order if the money was too."""
        self._announce(order.id, written=await self._store.note_restocked(order.id, heard, self._closed(order)))

    def _closed(self, order: Order) -> Mapping[str, Any]:
        return self._event(order.id, messages.order_closed(order.id, order.customer_id))

    def _event(self, order_id: UUID, event: Message) -> Mapping[str, Any]:
        return self._outbox.parameters(event, order_id)

    def _announce(self, order_id: UUID, *, written: bool) -> bool:
        if written:
            self._outbox.wake()
            self._changes.announce(order_id)
        return written
