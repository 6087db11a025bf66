"""A PostgreSQL with fsync, a NATS with files, and the tables that every service has: what measurements of events need."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import psycopg
from nats.aio.client import Client

from scripts.local_run.nats import Nats
from scripts.local_run.postgres import Postgres
from services.chassis.broker import Broker
from services.chassis.event_streams import ensure_stream, streams_of
from services.chassis.migrations import tables

PASSWORD = "bench"  # noqa: S105  # of servers that end with the measurement
USERS = ("admin", "order", "payment")
EFFECT = "CREATE TABLE effect (event_id uuid PRIMARY KEY, aggregate_id text NOT NULL)"


@dataclass(frozen=True)
class Workbench:
    """What there is."""

    database_url: str
    nats_url: str
    admin: Client
    """May do everything."""

    def broker(self, service: str) -> Broker:
        """Return a connection of a service, to be opened."""
        return Broker(service, self.nats_url, PASSWORD)


@asynccontextmanager
async def workbench(folder: Path) -> AsyncIterator[Workbench]:
    """Start it all, with the stream of order."""
    postgres = Postgres(folder / "postgres", folder / "postgres.log", PASSWORD)
    server = Nats(folder / "nats", folder / "nats.log", [{"user": user, "password": PASSWORD} for user in USERS])
    postgres.start()
    try:
        server.start()
        _make_tables(postgres.url())
        admin = await nats.connect(server.url, user="admin", password=PASSWORD)
        for stream in streams_of("order"):
            await ensure_stream(admin, stream)
        yield Workbench(postgres.url(), server.url, admin)
        await admin.close()
    finally:
        server.stop()
        postgres.stop()


def _make_tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (tables.OUTBOX, tables.INBOX, EFFECT):
            connection.execute(statement.encode())
