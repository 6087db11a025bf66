"""How long `events replay analytics` takes for a history of orders, from the start of the process to its end; fsync on."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import psycopg

from scripts.benchmarks.history import History, fill
from scripts.local_run.nats import Nats
from scripts.local_run.postgres import Postgres
from services.chassis import migrations

EVENTS = 100_000
TARGET = 60.0
"""Seconds."""
PASSWORD = "replayed"  # noqa: S105  # of servers that end with the measurement


def measure() -> dict[str, Any]:
    """Return the seconds that a replay took."""
    with tempfile.TemporaryDirectory(prefix="meshmart-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user than root
        with _parts(Path(folder)) as environment:
            asyncio.run(_fill(environment["MESHMART_NATS_URL"]))
            seconds = _replay(environment)
    return {"benchmark": "replay", "events": EVENTS, "seconds": round(seconds, 1), "target": TARGET}


@contextmanager
def _parts(folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment of an analytics service on a broker and a database of its own."""
    postgres = Postgres(folder / "postgres", folder / "postgres.log", PASSWORD)
    broker = Nats(folder / "nats", folder / "nats.log", [{"user": "analytics", "password": PASSWORD}])
    postgres.start()
    broker.start()
    try:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE analytics")
        migrations.run("analytics", postgres.url("analytics"))
        yield {
            "MESHMART_NATS_URL": broker.url,
            "MESHMART_IDENTITY_ADDRESS": "127.0.0.1:1",
            "MESHMART_ANALYTICS_NATS_PASSWORD": PASSWORD,
            "MESHMART_ANALYTICS_DATABASE_URL": postgres.url("analytics"),
        }
    finally:
        broker.stop()
        postgres.stop()


async def _fill(url: str) -> None:
    client = await nats.connect(url, user="analytics", password=PASSWORD)
    history = History()
    await fill(client, history.products())
    await fill(client, history.orders(EVENTS))
    await client.close()


def _replay(environment: dict[str, str]) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "services", "events", "replay", "analytics"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
