"""Where events have got to: each that was written is published, in its stream, and in the inbox of each consumer."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import partial

import nats
import psycopg
from nats.aio.client import Client

from scripts.local_run.ports import SERVICES, STATELESS
from scripts.local_run.process import ROOT
from scripts.local_run.supervisor import Shop
from services.chassis import events
from services.chassis.events import stream_name
from tests.system.waiting import eventually

PUBLISHERS = tuple(name for name in SERVICES if name not in STATELESS)
DURABLES = tuple(
    each
    for each in json.loads((ROOT / "gen" / "mesh" / "consumers.json").read_text())["consumers"]
    if (ROOT / "services" / each["service"] / "consumers.py").exists()  # the others hear nothing yet
)
READ_AT_ONCE = 64

Ids = dict[str, set[str]]
"""Events by their type, or by a durable consumer's name."""


async def every_event_arrives(shop: Shop, within: float = 30.0) -> Ids:
    """Wait until all events that were written are where they belong; return them. Fails with those that are not."""
    await eventually(partial(asyncio.to_thread, _waiting, shop), {}, within)
    written = await asyncio.to_thread(_written, shop)
    stored = await _stored(shop, {stream_name(event_type.rpartition(".")[0]) for event_type in written})
    lost = {event_type: ids - stored[event_type] for event_type, ids in written.items()}
    assert {event_type: ids for event_type, ids in lost.items() if ids} == {}
    await eventually(partial(asyncio.to_thread, _unheard, shop, written), {}, within)
    return written


def _waiting(shop: Shop) -> dict[str, int]:
    """Return how many events wait to be published, by service."""
    found = {name: _rows(shop, name, "SELECT event_id FROM outbox WHERE publish_time IS NULL") for name in PUBLISHERS}
    return {name: len(rows) for name, rows in found.items() if rows}


def _written(shop: Shop) -> Ids:
    """Return all events that were written."""
    found: Ids = defaultdict(set)
    for name in PUBLISHERS:
        for event_type, event_id in _rows(shop, name, "SELECT event_type, event_id::text FROM outbox"):
            found[event_type].add(event_id)
    return found


def _unheard(shop: Shop, written: Mapping[str, set[str]]) -> Ids:
    """Return the events that are in no inbox where they should be, by durable consumer."""
    found = {}
    for durable in DURABLES:
        name = durable["config"]["name"]
        query = "SELECT event_id::text FROM inbox WHERE consumer = %s"
        heard = {event_id for (event_id,) in _rows(shop, durable["service"], query, name)}
        if missing := written.get(durable["event"], set()) - heard:
            found[name] = missing
    return found


def _rows(shop: Shop, service: str, query: str, *parameters: str) -> list[tuple[str, ...]]:
    with psycopg.connect(shop.database_url(service)) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


async def _stored(shop: Shop, streams: set[str]) -> Ids:
    """Return the events that streams hold, read as the operator."""
    found: Ids = defaultdict(set)
    user, password = "operator", shop.secrets.nats("operator")
    client = await nats.connect(
        f"nats://127.0.0.1:{shop.ports.nats}", user=user, password=password, inbox_prefix=f"_INBOX_{user}"
    )
    try:
        for stream in streams:
            for headers in await _headers(client, stream):
                found[headers[events.TYPE]].add(headers[events.ID])
    finally:
        await client.close()
    return found


async def _headers(client: Client, stream: str) -> list[dict[str, str]]:
    """Return the headers of each message of a stream."""
    state = (await _ask(client, f"STREAM.INFO.{stream}"))["state"]
    turns = asyncio.Semaphore(READ_AT_ONCE)

    async def read(sequence: int) -> dict[str, str]:
        async with turns:
            answer = await _ask(client, f"STREAM.MSG.GET.{stream}", seq=sequence)
        lines = base64.b64decode(answer["message"]["hdrs"]).decode().splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    return await asyncio.gather(*(read(number) for number in range(state["first_seq"], state["last_seq"] + 1)))


async def _ask(client: Client, operation: str, **body: object) -> dict:
    reply = await client.request(f"$JS.API.{operation}", json.dumps(body).encode(), timeout=10)
    answer: dict = json.loads(reply.data)
    assert "error" not in answer, answer["error"]
    return answer
