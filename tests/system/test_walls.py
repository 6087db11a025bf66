"""What a service's own credentials do not open: the databases, events and inboxes of the others."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations, product
from urllib.parse import urlsplit, urlunsplit

import nats
import psycopg
import pytest
from nats.aio.client import Client

from scripts.local_run.ports import SERVICES, STATELESS
from scripts.local_run.process import ROOT
from scripts.local_run.supervisor import Shop

OWNERS = [name for name in SERVICES if name not in STATELESS]
COMMON = ("postgres", "template1")
FOREIGN = [*permutations(OWNERS, 2), *product(OWNERS, COMMON)]
EVENTS = {
    "identity": "CustomerRegistered",
    "catalog": "ProductChanged",
    "inventory": "StockChanged",
    "payment": "PaymentCaptured",
    "order": "OrderConfirmed",
}
DURABLES = json.loads((ROOT / "gen" / "mesh" / "consumers.json").read_text())["consumers"]

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize(("service", "database"), FOREIGN)
async def test_a_role_can_enter_no_database_but_its_own(shop, service, database):
    name = database if database not in SERVICES else f"meshmart_{database}"
    url = urlunsplit(urlsplit(shop.database_url(service))._replace(path=f"/{name}"))
    with pytest.raises(psycopg.OperationalError, match=f'permission denied for database "{name}"'):
        await psycopg.AsyncConnection.connect(url)


def _publications(service: str) -> list[str]:
    """Return what a service must not send: events, durables and acknowledgements of others, and reads of any stream."""
    subjects = [f"meshmart.{owner}.v1.{event}.0" for owner, event in EVENTS.items() if owner != service]
    for owner in EVENTS:
        stream = f"meshmart_{owner}_v1"
        subjects += [f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.STREAM.DELETE.{stream}"]
        subjects += [
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}_spy",
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}_spy.>",
        ]
    for durable in (each for each in DURABLES if each["service"] != service):
        stream, name = durable["stream"], durable["config"]["name"]
        create = f"$JS.API.CONSUMER.CREATE.{stream}.{name}.{durable['config']['filter_subject'].replace('*', '0')}"
        subjects += [create, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", f"$JS.ACK.{stream}.{name}.1.1.1.1.1"]
    return subjects


def _subscriptions(service: str) -> list[str]:
    """Return what a service must not hear."""
    others = [owner for owner in OWNERS if owner != service]
    return ["meshmart.>", ">", *(f"_INBOX_{owner}.>" for owner in others), *(f"meshmart.{owner}.>" for owner in others)]


@asynccontextmanager
async def _connected(shop: Shop, service: str) -> AsyncIterator[tuple[Client, asyncio.Queue[str]]]:
    """Connect as a service with its real password; yield the client and what the broker refuses it."""
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        await refusals.put(str(error))

    url, password = f"nats://127.0.0.1:{shop.ports.nats}", shop.secrets.nats(service)
    client = await nats.connect(
        url, user=service, password=password, inbox_prefix=f"_INBOX_{service}", error_cb=note, allow_reconnect=False
    )
    try:
        yield client, refusals
    finally:
        await client.close()


@pytest.mark.parametrize("service", OWNERS)
async def test_a_user_can_neither_send_nor_read_what_is_not_its_own(shop, service):
    async with _connected(shop, service) as (client, refusals), asyncio.timeout(10):
        for subject in _publications(service):
            await client.publish(subject, b"forged")
            assert f'Publish to "{subject}"'.lower() in (await refusals.get()).lower()
        for subject in _subscriptions(service):
            await client.subscribe(subject)
            assert f'Subscription to "{subject}"'.lower() in (await refusals.get()).lower()


@pytest.mark.parametrize("service", OWNERS)
async def test_a_password_opens_no_other_account(shop, service):
    other = OWNERS[OWNERS.index(service) - 1]
    url, password, client = f"nats://127.0.0.1:{shop.ports.nats}", shop.secrets.nats(service), Client()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await client.connect(url, user=other, password=password, allow_reconnect=False, error_cb=_ignore)
    await client.close()


async def _ignore(_: Exception) -> None:
    """Say nothing of an expected refusal."""
