"""Streams and durables are those that the contract compiler wrote, and the broker's permissions suffice for them."""

import json
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, message_factory

from services.chassis.event_streams import durable_of, ensure_durable, ensure_stream, streams_of
from services.chassis.events import PARTITIONS, partition, subject
from services.chassis.run import declaration, names

MESH = Path("gen/mesh")
CONSUMERS = json.loads((MESH / "consumers.json").read_text())["consumers"]


def event(full_name: str):
    """Return the class of an event; the declarations import them all."""
    for name in names():
        declaration(name)
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer["config"]["name"])
def test_a_durable_is_the_compiled_one(consumer):
    durable = durable_of(consumer["service"], event(consumer["event"]))
    assert (durable.stream, durable.config) == (consumer["stream"], consumer["config"])


async def test_a_stream_is_made_once_and_then_given_the_configuration_of_the_contract(nats):
    (stream,) = streams_of("order")
    client = await nats.connect("order")
    durable = durable_of("payment", event("meshmart.order.v1.OrderConfirmed"))
    for _ in range(2):
        await ensure_stream(client, stream)
        await ensure_durable(client, durable)
    context = client.jetstream()
    await context.update_stream((await context.stream_info(stream["name"])).config, max_msgs=5)
    await ensure_stream(client, stream)
    config = (await context.stream_info(stream["name"])).config
    await client.close()
    assert (config.subjects, config.max_msgs, config.duplicate_window) == (["meshmart.order.v1.>"], -1, 120)


def test_an_aggregate_keeps_its_partition_for_ever():
    assert subject("meshmart.order.v1.OrderPlaced", "order") == "meshmart.order.v1.OrderPlaced.8"
    assert {partition(str(number)) for number in range(200)} == set(range(PARTITIONS))
