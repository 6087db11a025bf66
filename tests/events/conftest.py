"""An operator at the command line: a broker, order's database, and payment's consumer of what order publishes."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from services.chassis import retries
from services.chassis.database import Database
from services.events import cli
from tests.chassis.eventing import HANDLE, make_tables, relay


class Answer(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of the output."""
        return self.out.splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The output as JSON, an object a line."""
        return [json.loads(line) for line in self.lines]


Command = Callable[..., Awaitable[Answer]]


@pytest.fixture
def environment(nats, monkeypatch):
    """Let commands find the broker."""
    monkeypatch.setenv("MESHMART_NATS_URL", nats.url)
    monkeypatch.setenv("MESHMART_OPERATOR_NATS_PASSWORD", nats.password)


@pytest.fixture
def command(environment, capsys) -> Command:
    """Return a function that runs `python -m services events ...`."""

    async def run(*arguments: str) -> Answer:
        capsys.readouterr()
        code = await cli.run(arguments)
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture
async def url(database_url, monkeypatch) -> str:
    """Return the address of order's database, which commands know too."""
    address = make_tables(await database_url())
    monkeypatch.setenv("MESHMART_ORDER_DATABASE_URL", address)
    return address


@pytest.fixture
async def database(url):
    async with Database(url, name="test") as database:
        yield database


@pytest.fixture
async def stream(nats, url):
    """Publish what the database has, for as long as the test runs."""
    async with relay(nats, url) as running:
        yield running


class Handler:
    """Payment's: it fails for order `poison` until it is mended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.broken = True

    async def __call__(self, delivery) -> None:
        if self.broken and delivery.message.order_id == "poison":
            raise RuntimeError("a bug")
        await self._database.execute(HANDLE, {**delivery.inbox_parameters(), "aggregate_id": delivery.aggregate_id})


@pytest.fixture
def handler(database, monkeypatch) -> Handler:
    monkeypatch.setattr(retries, "FAILURES", 1)
    return Handler(database)
