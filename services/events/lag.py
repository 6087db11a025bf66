"""`events lag`: what was written and not published, published and not handled, and given up."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

import psycopg
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from services.chassis import outbox_table
from services.chassis.dead_letters import DeadLetters, count
from services.chassis.error_text import describe
from services.chassis.event_streams import ask, compiled_durables
from services.events import screen
from services.events.connection import connected
from services.events.environment import databases, variable_of
from services.events.times import age

NOTHING = "-"
SERVICE_HEADS = ("SERVICE", "OUTBOX", "OLDEST", "DEAD LETTERS")
DURABLE_HEADS = ("CONSUMER", "PENDING", "IN HAND", "REDELIVERED")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("lag", help="what waits to be published and handled", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a JSON object instead of tables")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Show it. Return 1 where a database does not answer."""
    urls = databases(os.environ)
    async with connected() as client:
        dead = {name: await _dead(client, letters) for name, letters in DeadLetters.all().items()}
        durables = [await _durable(client, durable) for durable in compiled_durables()]
    outboxes = {service: await _outbox(service, url) for service, url in urls.items()}
    services = [
        {"service": name, **(outboxes.get(name) or {"rows": None, "seconds": None}), "dead_letters": dead.get(name)}
        for name in sorted({*outboxes, *dead})
    ]
    if options.json:
        screen.record({"services": services, "consumers": durables})
    else:
        _show(services, durables)
    for service in sorted(set(dead) - set(urls)):
        screen.complain(f"{variable_of(service)}: expected the PostgreSQL URL of that service, found nothing")
    return 1 if None in outboxes.values() else 0


async def _dead(client: Client, letters: DeadLetters) -> int:
    try:
        return await count(client, letters)
    except NotFoundError:
        return 0


async def _durable(client: Client, durable: Mapping[str, Any]) -> dict[str, Any]:
    name = durable["config"]["name"]
    try:
        info = await ask(client, f"CONSUMER.INFO.{durable['stream']}.{name}")
    except NotFoundError:
        info = {}
    waiting = {part: info.get(part) for part in ("num_pending", "num_ack_pending", "num_redelivered")}
    return {"consumer": name, **waiting}


async def _outbox(service: str, url: str) -> dict[str, Any] | None:
    """Return rows and age of the oldest; None where the database does not answer."""
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as connection:
            lag = await outbox_table.lag_of(connection)
    except psycopg.Error as error:
        screen.complain(f"the database of {service} does not answer: {describe(error)}")
        return None
    return {"rows": lag.rows, "seconds": round(lag.seconds, 1)}


def _show(services: list[dict[str, Any]], durables: list[dict[str, Any]]) -> None:
    screen.table(
        SERVICE_HEADS,
        (
            [
                found["service"],
                _known(found["rows"]),
                NOTHING if found["seconds"] is None else age(found["seconds"]),
                _known(found["dead_letters"]),
            ]
            for found in services
        ),
    )
    screen.line()
    screen.table(DURABLE_HEADS, (list(map(_known, found.values())) for found in durables))


def _known(value: object) -> object:
    return NOTHING if value is None else value
