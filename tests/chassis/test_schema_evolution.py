"""A consumer of an older schema reads a newer event, and the other way round, over outbox, broker and inbox."""

import asyncio
from collections.abc import Callable

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from meshmart.common.v1.money_pb2 import Money
from meshmart.order.v1 import order_events_pb2
from meshmart.order.v1.order_events_pb2 import OrderConfirmed, OrderedLine
from nats.js.errors import NotFoundError

from services.chassis.dead_letters import DeadLetters, count, redriven_headers
from tests.chassis.eventing import HANDLE, consumer, effects, eventually, relay, write

NAME = "OrderConfirmed"
KNOWN = OrderConfirmed(
    order_id="one",
    lines=[OrderedLine(product_id="kettle", quantity=2)],
    total=Money(currency_code="EUR", minor_units=5998),
)


def schema(change: Callable[[DescriptorProto], None]) -> type[Message]:
    """Return the class of OrderConfirmed from a contract that was changed and compiled on its own."""
    pool = descriptor_pool.DescriptorPool()
    _add(pool, order_events_pb2.DESCRIPTOR, change)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(OrderConfirmed.DESCRIPTOR.full_name))


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, change: Callable[[DescriptorProto], None]) -> None:
    for dependency in file.dependencies:
        _add(pool, dependency, change)
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    for message in copy.message_type:
        if message.name == NAME:
            change(message)
    pool.Add(copy)


def field(
    name: str, number: int, kind: "FieldDescriptorProto.Type.ValueType", type_name: str | None = None
) -> FieldDescriptorProto:
    optional = FieldDescriptorProto.LABEL_OPTIONAL
    return FieldDescriptorProto(name=name, number=number, type=kind, type_name=type_name, label=optional)


def with_more(message: DescriptorProto) -> None:
    """Add a text, a message and an enum, as a newer contract may."""
    message.enum_type.add(name="Channel").value.add(name="CHANNEL_UNSPECIFIED", number=0)
    message.enum_type[0].value.add(name="CHANNEL_APP", number=1)
    message.field.append(field("note", 100, FieldDescriptorProto.TYPE_STRING))
    message.field.append(field("shipping", 101, FieldDescriptorProto.TYPE_MESSAGE, ".meshmart.common.v1.Money"))
    channel = f".meshmart.order.v1.{NAME}.Channel"
    message.field.append(field("channel", 102, FieldDescriptorProto.TYPE_ENUM, channel))


def without_lines(message: DescriptorProto) -> None:
    """Remove a field and keep its number and name from being used again, as a contract must."""
    (gone,) = [each for each in message.field if each.name == "lines"]
    message.field.remove(gone)
    message.reserved_name.append("lines")
    message.reserved_range.add(start=gone.number, end=gone.number + 1)


NEWER = schema(with_more)
SMALLER = schema(without_lines)


@pytest.fixture
def deliver(nats, url, database):
    """Return a function that sends an event and returns what a consumer of a schema makes of it."""

    async def deliver(event: Message, schema: type[Message]) -> Message:
        heard: asyncio.Queue[Message] = asyncio.Queue()

        async def handle(delivery) -> None:
            await database.execute(HANDLE, {**delivery.inbox_parameters(), "aggregate_id": delivery.aggregate_id})
            await heard.put(delivery.message)

        async with relay(nats, url), consumer(nats, handle, schema):
            event_id = await write(database, event, "one")
            message = await heard.get()
        assert await effects(database) == [event_id]
        return message

    return deliver


async def test_a_consumer_of_the_older_schema_reads_a_newer_event_and_keeps_what_it_does_not_know(deliver):
    newer = NEWER(note="ring twice", shipping={"currency_code": "EUR", "minor_units": 490}, channel=1)
    newer.MergeFromString(KNOWN.SerializeToString())
    heard = await deliver(newer, OrderConfirmed)
    again = NEWER.FromString(heard.SerializeToString())
    assert again == newer
    heard.DiscardUnknownFields()
    assert heard == KNOWN


async def test_a_consumer_of_the_newer_schema_reads_an_older_event_with_defaults(deliver):
    heard = await deliver(KNOWN, NEWER)
    assert (heard.note, heard.HasField("shipping"), heard.channel) == ("", False, 0)
    assert heard.SerializeToString(deterministic=True) == KNOWN.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("event", "reader"), [(KNOWN, SMALLER), (SMALLER(order_id="one"), OrderConfirmed)], ids=["removed", "gone"]
)
async def test_a_removed_field_is_kept_as_unknown_and_missed_as_empty(deliver, event, reader):
    heard = await deliver(event, reader)
    assert heard.order_id == "one"
    assert type(event).FromString(heard.SerializeToString()) == event


async def test_a_newer_event_that_was_parked_and_redriven_has_lost_nothing(nats, url, database, monkeypatch):
    """It was redriven because a newer consumer can handle it."""
    monkeypatch.setattr("services.chassis.retries.FAILURES", 1)
    letters, client = DeadLetters.of("payment"), await nats.connect()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    newer = NEWER(order_id="one", note="ring twice")

    async def fail(delivery) -> None:
        raise RuntimeError("a bug of the older one")

    async def handle(delivery) -> None:
        await heard.put(delivery.message)

    async def parked() -> int:
        try:
            return await count(client, letters)
        except NotFoundError:
            return 0

    async with relay(nats, url), consumer(nats, fail):
        await write(database, newer, "one")
        await eventually(parked, 1)
    letter = await client.jetstream().get_msg(letters.stream_name, seq=1)
    headers = redriven_headers(letter.headers, letter.seq)
    await client.jetstream().publish(f"{letters.redriven}.{NAME}", letter.data, headers=headers)
    async with consumer(nats, handle, NEWER):
        assert await heard.get() == newer
    await client.close()
