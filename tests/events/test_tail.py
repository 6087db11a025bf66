"""An operator follows events as they are published."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest
from meshmart.order.v1.order_events_pb2 import OrderClosed, OrderConfirmed, OrderPlaced
from meshmart.payment.v1.payment_events_pb2 import PaymentCaptured

from services.chassis.event_streams import ensure_stream, streams_of
from services.chassis.tracing import following
from services.events.reader import READERS, Reader
from services.events.trouble import CommandError
from tests.chassis.eventing import STREAM, eventually, relay, unpublished, write

TRACE_ID = "a" * 32


async def published(database) -> None:
    await eventually(lambda: unpublished(database), 0)


async def test_an_event_is_one_line(command, database, stream):
    with following(f"00-{TRACE_ID}-{'b' * 16}-00"):
        event_id = await write(database, OrderPlaced(order_id="one"), "one", version=1)
    await published(database)
    answer = await command("tail", "--since", "1h", "--limit", "1")
    time, *rest = answer.out.split(maxsplit=6)
    assert answer.code == 0
    assert time.startswith("20")
    assert rest == ["meshmart.order.v1.OrderPlaced", "one", "1", event_id, TRACE_ID, '{"order_id": "one"}\n']


async def test_events_of_all_streams_come_by_their_time(command, nats, database, stream):
    client = await nats.connect()
    await ensure_stream(client, streams_of("payment")[0])
    await client.close()
    await write(database, OrderPlaced(order_id="one"), "one", version=1)
    await write(database, PaymentCaptured(order_id="one"), "one", version=1)
    await write(database, OrderClosed(order_id="one"), "one", version=2)
    await write(database, OrderClosed(order_id="two"), "two", version=1)
    await published(database)
    answer = await command("tail", "--since", "1h", "--no-follow", "--json", "--aggregate", "one")
    assert [record["event"].rpartition(".")[2] for record in answer.records] == [
        "OrderPlaced",
        "PaymentCaptured",
        "OrderClosed",
    ]


async def test_a_stream_that_is_made_later_is_waited_for(command, nats, url, database):
    async def open_late() -> None:
        await asyncio.sleep(0.3)  # so that the command is there first; where it is not, it shows the same
        await write(database, OrderPlaced(order_id="first"))
        async with relay(nats, url):
            await asyncio.Event().wait()

    late = asyncio.create_task(open_late())
    (record,) = (await command("tail", "--since", "1h", "--limit", "1", "--json")).records
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert record["payload"] == {"order_id": "first"}


@pytest.mark.parametrize("name", ["OrderConfirmed", "meshmart.order.v1.OrderConfirmed"])
async def test_one_event_can_be_asked_for(command, database, stream, name):
    await write(database, OrderPlaced(order_id="one"))
    await write(database, OrderConfirmed(order_id="two"))
    await published(database)
    (record,) = (await command("tail", "--since", "1h", "--no-follow", "--json", "--event", name)).records
    assert record["payload"] == {"order_id": "two"}


async def test_what_comes_later_is_shown_as_it_comes(command, database, stream):
    await write(database, OrderPlaced(order_id="before"))
    await published(database)

    async def keep_writing() -> None:
        while True:
            await write(database, OrderConfirmed(order_id="after"))
            await asyncio.sleep(0.05)

    writing = asyncio.create_task(keep_writing())
    answer = await command("tail", "--limit", "3", "--json")
    writing.cancel()
    assert [record["payload"] for record in answer.records] == [{"order_id": "after"}] * 3


async def test_a_message_that_is_no_event_is_shown_without_payload(command, nats, stream, database):
    await write(database, OrderPlaced(order_id="one"))
    await published(database)
    client = await nats.connect()
    await client.jetstream().publish("meshmart.order.v1.OrderPlaced.0", b"\xff")
    await client.close()
    records = (await command("tail", "--since", "1h", "--no-follow", "--json")).records
    assert [record["payload"] for record in records] == [{"order_id": "one"}, None]


REFUSED = {
    "an event that the contracts do not know": (
        ["--event", "OrderEaten"],
        2,
        "the contracts know no event `OrderEaten`",
    ),
    "events of nobody": (["--no-follow"], 1, "there are no events: no service has made its stream yet"),
}


@pytest.mark.parametrize(("arguments", "code", "text"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_shown_is_refused(command, arguments, code, text):
    answer = await command("tail", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert text in answer.err


async def test_a_stream_has_only_so_many_readers(nats, stream, database):
    await write(database, OrderPlaced(order_id="one"))
    await published(database)
    client = await nats.connect("operator")
    async with AsyncExitStack() as stack:
        for _ in range(READERS):
            await stack.enter_async_context(Reader.open(client, STREAM, "meshmart.order.v1.>"))
        with pytest.raises(CommandError, match="8 commands read meshmart_order_v1 already"):
            await stack.enter_async_context(Reader.open(client, STREAM, "meshmart.order.v1.>"))
    async with Reader.open(client, STREAM, "meshmart.order.v1.>") as reader:
        assert [message.subject async for message in reader.present()]
    await client.close()


async def test_ctrl_c_ends_it_quietly(nats, url, database, environment):
    async with relay(nats, url):
        await write(database, OrderPlaced(order_id="one"))
        await published(database)
    command = [sys.executable, "-m", "services", "events", "tail", "--since", "1h", "--json"]
    with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:  # noqa: ASYNC220  # it is what is tested
        assert tail.stdout
        line = await asyncio.to_thread(tail.stdout.readline)
        tail.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(tail.communicate)
    assert json.loads(line)["payload"] == {"order_id": "one"}
    assert (tail.returncode, out, err) == (0, "", "")
