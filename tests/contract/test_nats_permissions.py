"""The broker's permissions, held by a real server: a service can do what the contract says, and nothing else."""

import asyncio
import json
import os
import re

import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamConfig

from scripts.local_run.program import Program
from scripts.local_run.wheels import find_binary
from scripts.protoc_gen_mesh.targets.nats import generate
from services.chassis.event_streams import Durable
from services.chassis.history import History
from tests.contract.compiling import our_contract

MADE = generate(our_contract())
STREAMS = {entry["publisher"]: entry for entry in json.loads(MADE["streams.json"])["streams"]}
CONSUMERS = {entry["config"]["name"]: entry for entry in json.loads(MADE["consumers.json"])["consumers"]}
DEAD = {entry["service"]: entry for entry in json.loads(MADE["dead_letters.json"])["dead_letters"]}
USERS = list(json.loads(MADE["nats_permissions.json"])["permissions"])
ORDER_STREAM, CONFIRMED = "meshmart_order_v1", "meshmart.order.v1.OrderConfirmed"
RESTOCKED = "meshmart.inventory.v1.OrderRestocked"
DURABLE = "payment_OrderConfirmed"
DEAD_STREAM, REDRIVEN = "meshmart_dead_payment", "meshmart.redriven.payment.OrderConfirmed"

# What each user may not send, by what they would gain from it.
FORBIDDEN = {
    "payment publishes an event of order": ("payment", f"{CONFIRMED}.0"),
    "order publishes an event that its contract does not have": ("order", "meshmart.order.v1.OrderInvented.0"),
    "payment makes a stream for order": ("payment", f"$JS.API.STREAM.CREATE.{ORDER_STREAM}"),
    "order deletes its own stream": ("order", f"$JS.API.STREAM.DELETE.{ORDER_STREAM}"),
    "order empties its own stream": ("order", f"$JS.API.STREAM.PURGE.{ORDER_STREAM}"),
    "payment reads a message of the stream": ("payment", f"$JS.API.STREAM.MSG.GET.{ORDER_STREAM}"),
    "payment reads a message directly": ("payment", f"$JS.API.DIRECT.GET.{ORDER_STREAM}"),
    "payment hears another event through its durable": (
        "payment",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}.meshmart.order.v1.OrderPlaced.*",
    ),
    "payment hears everything through its durable": ("payment", f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}.>"),
    "payment leaves the filter out": ("payment", f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}"),
    "payment takes the old way without a filter": (
        "payment",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{ORDER_STREAM}.{DURABLE}",
    ),
    "payment makes a durable in the name of inventory": (
        "payment",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.inventory_OrderConfirmed.{CONFIRMED}.*",
    ),
    "payment takes messages from inventory": (
        "payment",
        f"$JS.API.CONSUMER.MSG.NEXT.{ORDER_STREAM}.inventory_OrderConfirmed",
    ),
    "payment acknowledges for inventory": ("payment", f"$JS.ACK.{ORDER_STREAM}.inventory_OrderConfirmed.1.1.1.1.1"),
    "catalog hears of orders": ("catalog", f"$JS.API.STREAM.INFO.{ORDER_STREAM}"),
    "payment parks in the name of order": ("payment", "meshmart.dead.order.PaymentCaptured"),
    "payment makes the dead letters of order": ("payment", "$JS.API.STREAM.CREATE.meshmart_dead_order"),
    "payment redrives itself": ("payment", REDRIVEN),
    "order redrives payment": ("order", REDRIVEN),
    "payment reads its dead letters": ("payment", f"$JS.API.STREAM.MSG.GET.{DEAD_STREAM}"),
    "payment deletes its dead letters": ("payment", f"$JS.API.STREAM.MSG.DELETE.{DEAD_STREAM}"),
    "payment hears its dead letters through its durable": (
        "payment",
        f"$JS.API.CONSUMER.CREATE.{DEAD_STREAM}.payment_redriven.meshmart.dead.payment.*",
    ),
    "order takes what was given back to payment": (
        "order",
        f"$JS.API.CONSUMER.MSG.NEXT.{DEAD_STREAM}.payment_redriven",
    ),
    "order replays an event that is not replayable": (
        "order",
        f"$JS.API.CONSUMER.CREATE.meshmart_inventory_v1.order_OrderRestocked_replay.{RESTOCKED}.*",
    ),
    "catalog replays an event that it does not hear": (
        "catalog",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.catalog_OrderConfirmed_replay.{CONFIRMED}.*",
    ),
    "payment replays another event": (
        "payment",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}_replay.meshmart.order.v1.OrderPlaced.*",
    ),
    "payment replays everything": ("payment", f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}_replay.>"),
    "payment replays as analytics": (
        "payment",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.analytics_OrderConfirmed_replay.{CONFIRMED}.*",
    ),
    "payment deletes its durable": ("payment", f"$JS.API.CONSUMER.DELETE.{ORDER_STREAM}.{DURABLE}"),
    "catalog, which consumes nothing, parks": ("catalog", "meshmart.dead.catalog.Anything"),
    "the operator publishes an event": ("operator", f"{CONFIRMED}.0"),
    "the operator parks": ("operator", "meshmart.dead.payment.OrderConfirmed"),
    "the operator redrives a service that consumes nothing": ("operator", "meshmart.redriven.catalog.Anything"),
    "the operator deletes an event": ("operator", f"$JS.API.STREAM.MSG.DELETE.{ORDER_STREAM}"),
    "the operator empties dead letters": ("operator", f"$JS.API.STREAM.PURGE.{DEAD_STREAM}"),
    "the operator makes a stream": ("operator", "$JS.API.STREAM.CREATE.anything"),
    "the operator changes a durable": (
        "operator",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}.{CONFIRMED}.*",
    ),
    "the operator changes a durable that only the request names": (
        "operator",
        f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}",
    ),
    "the operator deletes a durable": ("operator", f"$JS.API.CONSUMER.DELETE.{ORDER_STREAM}.{DURABLE}"),
    "the operator takes messages from payment": ("operator", f"$JS.API.CONSUMER.MSG.NEXT.{ORDER_STREAM}.{DURABLE}"),
    "the operator acknowledges for payment": ("operator", f"$JS.ACK.{ORDER_STREAM}.{DURABLE}.1.1.1.1.1"),
    "storefront, which neither publishes nor consumes, says anything": ("storefront", "anything"),
}
UNHEARD = {
    "another's inbox": ("payment", "_INBOX_order.>"),
    "an event past the stream": ("payment", f"{CONFIRMED}.*"),
    "everything": ("order", ">"),
    "what the server says": ("order", "$JS.EVENT.>"),
    "the inbox of a service, by the operator": ("operator", "_INBOX_payment.>"),
    "events past their streams, by the operator": ("operator", "meshmart.>"),
}


class User:
    """A connection, and the refusals that the server sent it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refusals: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self, url: str) -> "User":
        self.client = await nats.connect(
            url,
            user=self.name,
            password=password(self.name),
            inbox_prefix=f"_INBOX_{self.name}",
            error_cb=self._refused,
        )
        self.jetstream = self.client.jetstream(timeout=5)
        return self

    async def _refused(self, error: Exception) -> None:
        await self.refusals.put(str(error))

    async def refusal(self) -> str:
        return (await asyncio.wait_for(self.refusals.get(), 5)).lower()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Return the address of a server whose users and permissions are what the compiler made."""
    folder = tmp_path_factory.mktemp("nats")
    (folder / "authorization.conf").write_text(MADE["nats_authorization.conf"])
    configuration = folder / "server.conf"
    configuration.write_text(
        f'listen: "127.0.0.1:-1"\njetstream: {{store_dir: "{folder}"}}\ninclude ./authorization.conf\n'
    )
    passwords = {f"MESHMART_{name.upper()}_NATS_PASSWORD": password(name) for name in USERS}
    server = Program("nats", [], folder / "nats.log", environment={**os.environ, **passwords})
    server.arguments = [find_binary("nats-server"), "--config", configuration]
    server.start(lambda program: "Server is ready" in program.output())
    port = re.search(r"client connections on 127\.0\.0\.1:(\d+)", server.output())
    assert port
    yield f"nats://127.0.0.1:{port[1]}"
    server.stop()


@pytest.fixture
async def users(url):
    """Return a connection for each service."""
    connected = {name: await User(name).connect(url) for name in USERS}
    yield connected
    for user in connected.values():
        await user.client.close()


async def test_a_service_publishes_and_consumes_what_the_contract_says(users):
    order, payment = users["order"], users["payment"]
    stream = await order.jetstream.add_stream(StreamConfig.from_response(dict(STREAMS["order"]["config"])))
    assert (stream.config.name, stream.config.duplicate_window) == (ORDER_STREAM, 120)
    await order.jetstream.update_stream(stream.config)

    assert (await payment.jetstream.stream_info(ORDER_STREAM)).config.subjects == ["meshmart.order.v1.>"]
    durable = ConsumerConfig.from_response(dict(CONSUMERS[DURABLE]["config"]))
    consumer = await payment.jetstream.add_consumer(ORDER_STREAM, durable)
    assert (consumer.name, consumer.config.ack_wait) == (DURABLE, 5)
    await payment.jetstream.add_consumer(ORDER_STREAM, durable)

    for event in ("OrderPlaced", "OrderConfirmed"):
        await order.jetstream.publish(f"meshmart.order.v1.{event}.7", event.encode())
    subscription = await payment.jetstream.pull_subscribe_bind(DURABLE, ORDER_STREAM)
    (message,) = await subscription.fetch(10, timeout=1)
    assert message.data == b"OrderConfirmed"
    await message.ack_sync(timeout=5)
    assert (await payment.jetstream.consumer_info(ORDER_STREAM, DURABLE)).num_ack_pending == 0
    assert order.refusals.empty()
    assert payment.refusals.empty()


async def test_a_service_parks_and_an_operator_gives_back(users):
    payment, operator = users["payment"], users["operator"]
    await payment.jetstream.add_stream(StreamConfig.from_response(dict(DEAD["payment"]["stream"])))
    durable = ConsumerConfig.from_response(dict(DEAD["payment"]["consumer"]))
    await payment.jetstream.add_consumer(DEAD_STREAM, durable)
    parked = await payment.jetstream.publish("meshmart.dead.payment.OrderConfirmed", b"poison")

    found = await operator.jetstream.get_msg(DEAD_STREAM, parked.seq)
    await operator.jetstream.publish(REDRIVEN, found.data)
    await operator.jetstream.delete_msg(DEAD_STREAM, parked.seq)

    subscription = await payment.jetstream.pull_subscribe_bind("payment_redriven", DEAD_STREAM)
    (message,) = await subscription.fetch(10, timeout=1)
    assert message.data == b"poison"
    await message.ack_sync(timeout=5)
    assert (await operator.jetstream.consumer_info(DEAD_STREAM, "payment_redriven")).num_pending == 0
    assert operator.refusals.empty()
    assert payment.refusals.empty()


async def test_an_operator_reads_any_stream_through_a_consumer_of_its_own(users):
    order, operator = users["order"], users["operator"]
    await order.jetstream.add_stream(StreamConfig.from_response(dict(STREAMS["order"]["config"])))
    acknowledged = await order.jetstream.publish(f"{CONFIRMED}.7", b"one")
    reader = ConsumerConfig(
        name="operator_0",
        filter_subject="meshmart.>",
        opt_start_seq=acknowledged.seq,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
    )
    await operator.jetstream.add_consumer(ORDER_STREAM, reader)
    subscription = await operator.jetstream.pull_subscribe_bind("operator_0", ORDER_STREAM)
    (message,) = await subscription.fetch(1, timeout=5)
    assert message.data == b"one"
    await operator.jetstream.delete_consumer(ORDER_STREAM, "operator_0")
    assert operator.refusals.empty()


async def test_a_service_reads_the_history_of_a_replayable_event_that_it_hears(users):
    order, analytics = users["order"], users["analytics"]
    await order.jetstream.add_stream(StreamConfig.from_response(dict(STREAMS["order"]["config"])))
    await order.jetstream.publish(f"{CONFIRMED}.7", b"told before")

    durable = Durable(ORDER_STREAM, "analytics_OrderConfirmed", f"{CONFIRMED}.*")
    async with History(analytics.client, durable) as history:
        read = [message.data async for batch in history.batches() for message in batch]

    assert read[-1] == b"told before"
    assert analytics.refusals.empty()


@pytest.mark.parametrize(("name", "subject"), FORBIDDEN.values(), ids=FORBIDDEN)
async def test_what_the_contract_does_not_say_cannot_be_sent(users, name, subject):
    await users[name].client.publish(subject, b"{}", reply=f"_INBOX_{name}.reply")
    refusal = await users[name].refusal()
    assert "permissions violation for publish" in refusal
    assert subject.lower() in refusal


@pytest.mark.parametrize(("name", "subject"), UNHEARD.values(), ids=UNHEARD)
async def test_what_the_contract_does_not_say_cannot_be_heard(users, name, subject):
    await users[name].client.subscribe(subject)
    assert "permissions violation for subscription" in await users[name].refusal()


async def test_a_filter_in_the_body_that_differs_from_the_subject_is_refused(users):
    stream = StreamConfig.from_response(dict(STREAMS["order"]["config"]))
    await users["order"].jetstream.add_stream(stream)
    wide = {**CONSUMERS[DURABLE]["config"], "filter_subject": "meshmart.order.v1.>"}
    subject = f"$JS.API.CONSUMER.CREATE.{ORDER_STREAM}.{DURABLE}.{CONFIRMED}.*"
    body = json.dumps({"stream_name": ORDER_STREAM, "config": wide}).encode()
    answer = await users["payment"].client.request(subject, body, timeout=5)
    assert "filter" in json.loads(answer.data)["error"]["description"]


def password(name: str) -> str:
    """Return a password that begins with a letter, because the server reads it as configuration."""
    return f"p{name}0e1"
