"""A history of sales: realistic events of any number of orders, and a fast way to bring them into their streams."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.catalog.v1.product_events_pb2 import ProductChanged
from meshmart.common.v1.money_pb2 import Money
from meshmart.order.v1.order_events_pb2 import (
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderedLine,
    OrderPlaced,
    OrderRejected,
)
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentCaptureFailed, PaymentRefunded
from nats.aio.client import Client

from services.chassis.event_streams import ensure_stream, streams_of
from services.chassis.events import Envelope, subject
from services.chassis.publisher import Message as Outgoing
from services.chassis.publisher import Publisher

BEGIN: Final = datetime(2026, 9, 1, tzinfo=UTC)
SPAN: Final = timedelta(days=60)
CATEGORIES: Final = ("coffee-and-tea", "garden", "kitchen", "books", "outdoors")
CURRENCIES: Final = ("EUR",) * 9 + ("USD",)
PUBLISHED_AT_ONCE: Final = 1000

PAID, REFUNDED, REJECTED, VOIDED, UNPAID = (
    ("placed", "confirmed", "captured"),
    ("placed", "confirmed", "captured", "cancelled", "refunded", "closed"),
    ("placed", "rejected"),
    ("placed", "cancelled", "voided", "closed"),
    ("placed", "confirmed", "capture_failed", "cancelled", "voided", "closed"),
)
FATES: Final = (PAID,) * 86 + (REFUNDED,) * 5 + (REJECTED,) * 6 + (VOIDED,) * 2 + (UNPAID,)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, with what its envelope says."""

    event_id: UUID
    event: Any
    aggregate_id: str
    aggregate_version: int
    time: datetime

    @property
    def message(self) -> Outgoing:
        """The event as it is published."""
        event_type = self.event.DESCRIPTOR.full_name
        envelope = Envelope(str(self.event_id), event_type, self.aggregate_id, self.aggregate_version, self.time)
        where = subject(event_type, self.aggregate_id)
        return Outgoing(where, self.event.SerializeToString(), envelope.headers(""), key=self.aggregate_id)


class History:
    """A shop's past, the same for the same seed."""

    def __init__(self, *, seed: int = 1, products: int = 200, customers: int = 5000) -> None:
        """Say how much there is to buy, and how many do."""
        self._random = random.Random(seed)  # noqa: S311  # not a secret
        self._products = [(self._id(), self._random.randint(100, 20_000)) for _ in range(products)]
        self._customers = [self._id() for _ in range(customers)]

    def products(self) -> Iterator[Happening]:
        """Return a change of each product."""
        for number, (product_id, price) in enumerate(self._products):
            event = ProductChanged(
                product_id=str(product_id),
                sku=f"SKU-{number}",
                display_name=f"Thing {number}",
                category=CATEGORIES[number % len(CATEGORIES)],
                price=Money(currency_code="EUR", minor_units=price),
                change_time=_timestamp(BEGIN),
            )
            yield Happening(self._id(), event, str(product_id), 1, BEGIN)

    def orders(self, events: int) -> Iterator[Happening]:
        """Return so many events of orders, order by order."""
        return islice((happening for _ in count() for happening in self._order()), events)

    def _order(self) -> Iterator[Happening]:
        order_id, customer_id = str(self._id()), str(self._random.choice(self._customers))
        time, currency = BEGIN + self._random.random() * SPAN, self._random.choice(CURRENCIES)
        lines = [
            OrderedLine(
                product_id=str(product_id),
                quantity=self._random.randint(1, 3),
                unit_price=Money(currency_code=currency, minor_units=price),
            )
            for product_id, price in self._random.sample(self._products, min(len(self._products), self._lines()))
        ]
        total = Money(currency_code=currency, minor_units=sum(_amount(line) for line in lines))
        order = Bought(order_id, customer_id, lines, total)
        for version, step in enumerate(self._random.choice(FATES), start=1):
            yield Happening(self._id(), order.event(step, _timestamp(time)), order_id, version, time)
            time += timedelta(hours=self._random.random() * 30)

    def _lines(self) -> int:
        return self._random.choice((1, 1, 1, 2, 2, 3, 5))

    def _id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


@dataclass(frozen=True, slots=True)
class Bought:
    """What the events of one order speak of."""

    order_id: str
    customer_id: str
    lines: Sequence[OrderedLine]
    total: Money

    def event(self, step: str, time: Timestamp) -> Message:
        """Return the event of a step."""
        return EVENTS[step](self, time)


EVENTS: Final[dict[str, Callable[[Bought, Timestamp], Message]]] = {
    "placed": lambda order, time: OrderPlaced(
        order_id=order.order_id,
        customer_id=order.customer_id,
        lines=order.lines,
        total=order.total,
        place_time=time,
    ),
    "confirmed": lambda order, time: OrderConfirmed(
        order_id=order.order_id,
        customer_id=order.customer_id,
        lines=order.lines,
        total=order.total,
        confirm_time=time,
    ),
    "rejected": lambda order, time: OrderRejected(
        order_id=order.order_id, customer_id=order.customer_id, reject_time=time
    ),
    "cancelled": lambda order, time: OrderCancelled(
        order_id=order.order_id, customer_id=order.customer_id, cancel_time=time
    ),
    "closed": lambda order, time: OrderClosed(order_id=order.order_id, customer_id=order.customer_id, close_time=time),
    "captured": lambda order, time: PaymentCaptured(order_id=order.order_id, amount=order.total, capture_time=time),
    "capture_failed": lambda order, time: PaymentCaptureFailed(
        order_id=order.order_id, reason="CARD_DECLINED", fail_time=time
    ),
    "refunded": lambda order, time: PaymentRefunded(
        order_id=order.order_id, amount=order.total, refund_time=time, customer_id=order.customer_id
    ),
    "voided": lambda order, time: PaymentRefunded(
        order_id=order.order_id, refund_time=time, customer_id=order.customer_id
    ),
}


def _amount(line: OrderedLine) -> int:
    return line.quantity * line.unit_price.minor_units


def _timestamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message


async def fill(client: Client, happenings: Iterator[Happening]) -> None:
    """Publish a history as user `client`, who may write every stream. Raises RuntimeError if a stream refuses."""
    for service in ("catalog", "order", "payment"):
        for stream in streams_of(service):
            await ensure_stream(client, stream)
    publisher = Publisher(client)
    await publisher.start()
    while part := [happening.message for happening in islice(happenings, PUBLISHED_AT_ONCE)]:
        if refusals := list(filter(None, await publisher.publish(part))):
            raise RuntimeError(f"{len(refusals)} events were not taken: {refusals[0]}")
    await publisher.stop()
