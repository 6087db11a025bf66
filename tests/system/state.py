"""How the shop does: its parts, what they say of themselves, and what the databases say of each other."""

import asyncio
import json
import urllib.error
import urllib.request
from functools import partial

import psycopg

from scripts.local_run.ports import SERVICES
from scripts.local_run.supervisor import Shop
from services.audit.cli import audit
from tests.system.waiting import eventually


async def mend(shop: Shop) -> None:
    """Start again what a test left down, and wait until every service is up."""
    services = sorted({shop.part_of(name) for name in SERVICES})
    for part in ("postgres", "nats", *services, "edge"):
        if part not in shop.pids():
            await shop.restart(part)
        async with asyncio.timeout(30):
            await shop.ready(part)
    for name in services:
        await eventually(partial(readiness, shop, name), "up")


async def readiness(shop: Shop, name: str) -> str:
    """Return what /readyz says of the process of a service."""
    return await asyncio.to_thread(_readiness, f"http://127.0.0.1:{shop.ports.http(name)}/readyz")


def _readiness(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own address
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as refused:
        return str(json.load(refused)["status"])
    except OSError:
        return "silent"


async def broken_invariants(shop: Shop) -> list[str]:
    """Return what an audit finds once every order has ended: nothing, in a healthy shop."""
    urls = [shop.database_url(name) for name in ("order", "payment", "inventory")]
    report = await asyncio.to_thread(audit, urls, 0.0)
    return [" ".join(finding) for finding in report.findings.values()]


async def orders_of_customer(shop: Shop, order_id: str) -> dict[str, str]:
    """Return the orders of the customer who placed an order, each with its state."""
    return await asyncio.to_thread(_orders_of_customer, shop.database_url("order"), order_id)


def _orders_of_customer(url: str, order_id: str) -> dict[str, str]:
    query = "SELECT id::text, state FROM orders WHERE customer_id = (SELECT customer_id FROM orders WHERE id = %s)"
    with psycopg.connect(url) as connection:
        return dict(connection.execute(query, (order_id,)).fetchall())
