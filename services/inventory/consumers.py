"""What inventory does about the events of orders."""

from typing import Any
from uuid import UUID

from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed

from services.chassis.consumer import Delivery
from services.chassis.service import Consumer
from services.inventory import messages
from services.inventory.reservations import Reservations


class InventoryConsumers:
    """Handlers, one per event. Each is insensitive to order and repeats: the reservation's state decides."""

    def __init__(self, reservations: Reservations) -> None:
        """Keep what changes reservations."""
        self._reservations = reservations

    def all(self) -> tuple[Consumer[Any], ...]:
        """Return the declarations."""
        return Consumer(OrderConfirmed, self.confirmed), Consumer(OrderCancelled, self.cancelled)

    async def confirmed(self, delivery: Delivery[OrderConfirmed]) -> None:
        """Sell the order's units."""
        order = delivery.message
        await self._reservations.confirm(
            UUID(order.order_id), messages.lines_of(order.lines), delivery.inbox_parameters()
        )

    async def cancelled(self, delivery: Delivery[OrderCancelled]) -> None:
        """Put the order's units back."""
        await self._reservations.cancel(UUID(delivery.message.order_id), delivery.inbox_parameters())
