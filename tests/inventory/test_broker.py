"""Events come from the broker and go there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from google.protobuf.message import Message
from meshmart.inventory.v1.stock_events_pb2 import OrderRestocked
from meshmart.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderedLine

from services.chassis.events import Envelope, subject
from services.chassis.ids import new_id


class Orders:
    """The order service, as far as its events go."""

    def __init__(self, client) -> None:
        self._client = client

    async def publish(self, event: Message, order_id: UUID, *, message_id: str = "", event_id: str = "") -> None:
        event_type = event.DESCRIPTOR.full_name
        envelope = Envelope(event_id or str(new_id()), event_type, str(order_id), 1, datetime.now(UTC))
        headers = envelope.headers("")
        headers["Nats-Msg-Id"] = message_id or envelope.event_id
        stream = self._client.jetstream()
        await stream.publish(subject(event_type, str(order_id)), event.SerializeToString(), headers=headers)


@pytest.fixture
async def orders(nats) -> AsyncIterator[Orders]:
    """Return an order service whose stream is there before inventory is served."""
    client = await nats.connect()
    await client.jetstream().add_stream(name="meshmart_order_v1", subjects=["meshmart.order.v1.>"])
    yield Orders(client)
    await client.close()


async def figures_become(depot, product_id: UUID, wanted: tuple[int, int, int]) -> None:
    while await depot.figures(product_id) != wanted:  # noqa: ASYNC110  # the broker decides when
        await asyncio.sleep(0.01)


async def test_orders_are_confirmed_and_cancelled_through_the_broker(orders, depot, nats):
    client = await nats.connect()
    heard = await client.subscribe("meshmart.inventory.v1.OrderRestocked.*")
    order_id, product_id, event_id = new_id(), await depot.product(5), str(new_id())
    await depot.reserve(order_id, (product_id, 3))
    confirmed = OrderConfirmed(order_id=str(order_id), lines=[OrderedLine(product_id=str(product_id), quantity=3)])

    # The same event twice, as after a crash of the relay long ago: only the inbox can tell.
    for _ in range(2):
        await orders.publish(confirmed, order_id, message_id=str(new_id()), event_id=event_id)
    await figures_become(depot, product_id, (2, 0, 3))
    await orders.publish(OrderCancelled(order_id=str(order_id)), order_id)
    message = await heard.next_msg(timeout=20)

    assert OrderRestocked.FromString(message.data).order_id == str(order_id)
    assert await depot.figures(product_id) == (5, 0, 0)
    await client.close()
