"""NATS for tests: one server per run, each test begins and ends without streams."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from scripts.local_run.nats import Nats

PASSWORD = "test"
SERVICES = (
    "identity", "catalog", "inventory", "payment", "order", "notification", "analytics", "inference", "storefront",
    "operator",
)  # fmt: skip


@dataclass(frozen=True)
class Broker:
    """Where NATS is, and how to get in."""

    url: str
    server: Nats
    password: str = PASSWORD

    async def connect(self, user: str = "admin") -> Client:
        """Return a connection of a user with that user's inbox prefix."""
        return await nats.connect(self.url, user=user, password=PASSWORD, inbox_prefix=f"_INBOX_{user}".encode())


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Broker]:
    """Return a running NATS where `admin`, `operator` and every service (user = name) may do everything.

    Tests may so use contracts of their own; the system tests run with the permissions of the real contract.
    """
    users = [{"user": name, "password": PASSWORD} for name in ("admin", *SERVICES)]
    with tempfile.TemporaryDirectory(prefix="meshmart-nats-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = Nats(Path(folder) / "nats", Path(folder) / "nats.log", users)
        server.start()
        yield Broker(server.url, server)
        server.stop()


@pytest.fixture(name="nats")
async def empty_nats(nats_server: Broker) -> AsyncIterator[Broker]:
    """Return a NATS without streams; a test may stop and start `nats.server`."""
    yield nats_server
    if not nats_server.server.program.running:
        nats_server.server.start()
    admin = await nats_server.connect()
    for stream in await admin.jetstream().streams_info():
        await admin.jetstream().delete_stream(str(stream.config.name))
    await admin.close()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide settings of the shell that runs the tests."""
    for name in list(os.environ):
        if name.startswith(("MESHMART_", "OTEL_")):
            monkeypatch.delenv(name)
