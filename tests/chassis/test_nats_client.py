"""Our way to read headers finds what the client's own finds."""

import pytest
from nats.aio.client import Client

from services.chassis.nats_client import NatsClient

HEADERS = {
    "of an event": b"ce-id: 1\r\nce-type: meshmart.order.v1.OrderPlaced\r\nce-time: 2026-11-21T10:00:00Z\r\n\r\n",
    "without a space": b"Nats-Msg-Id:1\r\n\r\n",
    "with a colon in it": b"traceparent: a:b\r\n\r\n",
    "with letters of all kinds": "error: größer\r\n\r\n".encode(),
    "with bytes that are no text": b"error: \xff\r\n\r\n",
    "with a name that is none": "größe: 1\r\nb c: 2\r\nd: 3\r\n\r\n".encode(),
    "empty": b"a:\r\n: b\r\n\r\n",
    "no header": b"nothing\r\n\r\n",
}


@pytest.mark.parametrize("raw", HEADERS.values(), ids=HEADERS)
def test_headers_are_read_as_the_client_reads_them(raw):
    assert NatsClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


async def test_the_client_reads_headers_our_way(nats, monkeypatch):
    monkeypatch.setattr(NatsClient, "_parse_header_lines", staticmethod(lambda raw: {"ours": "1"}))
    client = NatsClient()
    await client.connect(nats.url, user="admin", password=nats.password)
    subscription = await client.subscribe("anything")
    await client.publish("anything", headers={"theirs": "1"})
    message = await subscription.next_msg()
    assert message.headers == {"ours": "1"}
    await client.close()
