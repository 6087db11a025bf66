"""The connection to the broker is kept, however it ends."""

import asyncio
from contextlib import suppress
from typing import Any

from nats.aio.client import Client

from services.chassis.broker import Broker


async def _subscribed(broker: Broker) -> Any:
    client = await broker.client()
    await client.subscribe("meshmart.order.v1.OrderPlaced.0", cb=_ignore)
    return client


async def _ignore(_: object) -> None:
    """Do nothing about a message."""


async def test_a_connection_that_breaks_with_something_left_to_send_is_made_anew(nats, monkeypatch):
    """nats-py then stops half way through closing it, and calls nobody back."""

    async def reset() -> None:
        raise ConnectionResetError

    async with Broker("order", nats.url, nats.password) as broker:
        client = await _subscribed(broker)
        (listening,) = [subscription._wait_for_msgs_task for subscription in client._subs.values()]
        monkeypatch.setattr(client._transport, "drain", reset)
        client._pending, client._pending_data_size = [b"PING\r\n"], 6
        with suppress(ConnectionResetError):
            await client._close(Client.CLOSED)
        assert client.is_closed

        assert await broker.client() is not client
        assert client._transport._io_writer.is_closing()
        await asyncio.wait({listening})


async def test_a_lost_connection_is_made_anew(nats):
    async with Broker("order", nats.url, nats.password) as broker:
        client = await _subscribed(broker)
        nats.server.program.kill()
        while broker.connected:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        nats.server.start()
        assert await broker.client() is not client
