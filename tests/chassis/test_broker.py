"""The connection to the broker is kept, however it ends."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client

from services.chassis.broker import Broker


@pytest.fixture
async def broker(nats):
    async with Broker("order", nats.url, nats.password) as broker:
        yield broker


async def _subscribed(broker: Broker) -> Any:
    client = await broker.client()
    await client.subscribe("meshmart.order.v1.OrderPlaced.0", cb=_ignore)
    return client


async def _ignore(_: object) -> None:
    """Do nothing about a message."""


async def test_a_lost_connection_is_made_anew(nats, broker):
    client = await _subscribed(broker)
    nats.server.program.kill()
    while broker.connected:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.01)
    nats.server.start()
    assert await broker.client() is not client


async def test_a_connection_that_is_lost_with_something_left_to_send_is_closed_and_made_anew(broker, monkeypatch):
    """nats-py fails over it, half way through closing."""

    def closed(_: object) -> None:
        raise RuntimeError("the handler is closed")

    client = await _subscribed(broker)
    (listening,) = [subscription._wait_for_msgs_task for subscription in client._subs.values()]
    client._pending, client._pending_data_size = [b"PING\r\n"], 6
    monkeypatch.setattr(client._transport, "writelines", closed)
    await client._process_op_err(ConnectionResetError())

    assert await broker.client() is not client
    assert client._transport._io_writer.is_closing()
    await asyncio.wait({listening})


async def test_a_client_that_is_closed_and_tells_nobody_is_noticed(broker):
    client = await _subscribed(broker)
    await client._close(Client.CLOSED, do_cbs=False)
    assert await broker.client() is not client
