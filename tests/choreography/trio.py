"""Order, payment and inventory, joined by nothing but the events in their outboxes: no calls, no broker, no clock."""

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from google.protobuf.message import Message

from services.chassis import inbox
from services.chassis.changes import Changes
from services.chassis.consumer import NotYet
from services.chassis.database import Database
from services.chassis.delivery import Delivery
from services.chassis.errors import DomainError
from services.chassis.ids import new_id
from services.chassis.money import Money
from services.chassis.outbox import Outbox
from services.chassis.service import Consumer
from services.inventory.consumers import InventoryConsumers
from services.inventory.domain import Line as Units
from services.inventory.domain import Reservation
from services.inventory.domain import State as Held
from services.inventory.feed import StockFeed
from services.inventory.reservations import ReservationChangedError, Reservations
from services.inventory.stock_store import StockStore
from services.inventory.store import ReservationStore
from services.order import domain
from services.order.consumers import OrderConsumers
from services.order.publisher import OrderLog
from services.order.store import OrderStore, saga_of
from services.payment.consumers import PaymentConsumers
from services.payment.domain import Payment
from services.payment.domain import State as Paid
from services.payment.processor import SimulatedProcessor
from services.payment.store import PaymentStore

PRICE = Money("EUR", 450)
COMES_AGAIN = (NotYet, DomainError, ReservationChangedError, psycopg.errors.UniqueViolation)
WRITTEN = """
SELECT event_id, event_type, payload, aggregate_version FROM outbox WHERE aggregate_id = %s ORDER BY position"""


@dataclass(frozen=True)
class OnItsWay:
    """An event on its way to one consumer."""

    consumer: str
    handle: Any
    delivery: Delivery[Any]


class Trio:
    """The three services on databases of their own."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        """Build their stores and consumers as their declarations do."""
        self.databases = databases
        self.orders = OrderStore(databases["order"], lease=5, confirm_within=300)
        self.log = OrderLog(self.orders, Outbox(), Changes())
        self.payments = PaymentStore(databases["payment"])
        self.stock = StockStore(databases["inventory"])
        feed = StockFeed(self.stock, Outbox(), interval=1, sweep_interval=1)
        self.reserved = ReservationStore(databases["inventory"], hold=86_400)
        self.reservations = Reservations(self.reserved, feed, Outbox())
        self._hears: defaultdict[str, list[tuple[str, Consumer[Any]]]] = defaultdict(list)
        for service, consumers in {
            "order": OrderConsumers(self.orders, self.log).all(),
            "payment": PaymentConsumers(self.payments, SimulatedProcessor(), Outbox()).all(),
            "inventory": InventoryConsumers(self.reservations).all(),
        }.items():
            for consumer in consumers:
                self._hears[consumer.event.DESCRIPTOR.full_name].append((service, consumer))

    async def product(self, units: int) -> UUID:
        """Return a new product with so many units."""
        product_id = new_id()
        await self.stock.restock(product_id, units, lambda _: _reply())
        return product_id

    async def confirmed(self, product_id: UUID, card: str = "works") -> domain.Order:
        """Return an order of one unit that the saga has just confirmed."""
        line = domain.Line(product_id, "A thing", 1, PRICE)
        order = domain.place(
            new_id(),
            customer_id=new_id(),
            payment_method_id=new_id(),
            lines=(line,),
            expected_total=PRICE,
            now=datetime.now(UTC),
        )
        await self.log.place(order, _reply())
        await self.reservations.reserve(Reservation(order.id, Held.HELD, (Units(product_id, 1),)), _reply())
        await self.payments.authorize(_authorized(order, card), PRICE, _reply())
        assert await self.log.confirm(saga_of(order))
        return order

    async def cancel(self, order_id: UUID) -> None:
        """Cancel an order as its customer does, if it can be cancelled."""
        order = await self.orders.get(order_id)
        assert order
        if order.state in domain.CANCELLABLE:
            assert await self.log.cancel(domain.cancel(order, "CUSTOMER_CANCELLED", datetime.now(UTC)), _reply())

    async def messages(self, order_id: UUID) -> list[OnItsWay]:
        """Return what was written of an order so far, once for each consumer that hears it."""
        found = []
        for database in self.databases.values():
            for event_id, event_type, payload, version in await database.all(WRITTEN, (str(order_id),)):
                found += [
                    OnItsWay(f"{service}_{event_type}", consumer.handle, _delivery(event, event_id, service, version))
                    for service, consumer in self._hears[event_type]
                    for event in [consumer.event.FromString(payload)]
                ]
        return found


async def exchange(trio: Trio, order_id: UUID, chance: random.Random, *, cancel_after: int) -> list[str]:
    """Deliver all messages of an order in a random order, some of them again, and cancel it after so many.

    Return what happened, for whoever has to understand a failure.
    """
    done: set[tuple[str, UUID]] = set()
    trail: list[str] = []
    for step in range(200):
        if step == cancel_after:
            await trio.cancel(order_id)
            trail.append("cancel")
        known = await trio.messages(order_id)
        waiting = [message for message in known if (message.consumer, message.delivery.event_id) not in done]
        if not waiting and step > cancel_after:
            return trail
        chosen = chance.choice(known if chance.random() < 0.3 or not waiting else waiting)
        trail.append(f"{chosen.consumer}: {await _deliver(chosen)}")
        if not trail[-1].endswith("comes again"):
            done.add((chosen.consumer, chosen.delivery.event_id))
    raise AssertionError(f"messages still wait after 200 steps: {trail}")


async def _deliver(message: OnItsWay) -> str:
    try:
        await message.handle(message.delivery)
    except COMES_AGAIN as error:
        return "heard before" if inbox.is_repeat(error) else f"{type(error).__name__}, comes again"
    return "handled"


def _delivery(event: Message, event_id: UUID, service: str, version: int) -> Delivery[Any]:
    name = f"{service}_{event.DESCRIPTOR.name}"
    return Delivery(event, event_id, "", version, traceparent="", attempt=1, consumer=name)


def _authorized(order: domain.Order, card: str) -> Payment:
    now = datetime.now(UTC)
    token = f"sim_{card}_0"
    method = order.payment_method_id
    return Payment(
        order.id,
        Paid.AUTHORIZED,
        order.customer_id,
        method,
        PRICE,
        token,
        lapsed=False,
        create_time=now,
        update_time=now,
    )


def _reply() -> dict[str, Any]:
    """Return the parameters of a stored reply, as the chassis makes them of a call."""
    return {
        "idem_principal": "test",
        "idem_method": "test",
        "idem_request_id": new_id(),
        "idem_request_hash": bytes(32),
        "idem_reply": b"",
    }
