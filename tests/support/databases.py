"""PostgreSQL for tests: migrated once per service and run, cloned per test."""

import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from scripts.local_run.postgres import Postgres

PASSWORD = "test"
ROOM = 2 * 1024**3
"""Bytes that a run may fill; it takes less than half of that."""
_numbers = itertools.count(1)

MakeDatabase = Callable[..., Awaitable[str]]
"""`await database_url("order")` clones a migrated database; `await database_url()` makes an empty one."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a running PostgreSQL; nothing survives the run, so it need not wait for the disk."""
    with tempfile.TemporaryDirectory(prefix="meshmart-test-", dir=_place(), ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        fast = {"fsync": "off", "synchronous_commit": "off", "max_connections": "200"}
        server = Postgres(Path(folder) / "postgres", Path(folder) / "postgres.log", PASSWORD, fast)
        server.start()
        yield server
        server.stop()


def _place() -> str:
    """Return where the files go: memory where there is enough of it, which clones a database in a tenth of the time."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else "/tmp"


@pytest.fixture(scope="session")
def database_templates() -> dict[str, str]:
    """Return the template databases made so far, by service."""
    return {}


@pytest.fixture
async def database_url(postgres: Postgres, database_templates: dict[str, str]):
    """Return a function that makes a database of a service, dropped after the test."""
    made: list[str] = []

    async def make(service: str = "") -> str:
        role = f"meshmart_{service or 'empty'}"
        if service not in database_templates:
            database_templates[service] = await _make_template(postgres, service, role)
        name = f"{role}_{next(_numbers)}"
        await _run(postgres, _create(name, role, template=database_templates[service]))
        made.append(name)
        return postgres.url(name, role, PASSWORD)

    yield make
    for name in made:
        await _run(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


async def _make_template(postgres: Postgres, service: str, role: str) -> str:
    name = f"{role}_template"
    password = sql.Literal(PASSWORD)
    await _run(postgres, sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password))
    await _run(postgres, _create(name, role, template="template0"))
    if service:
        from services.chassis import migrations  # noqa: PLC0415  # tests without a service need no Alembic

        migrations.run(service, postgres.url(name, role, PASSWORD))
    return name


def _create(name: str, owner: str, template: str) -> sql.Composed:
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY")
    return statement.format(sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template))


async def _run(postgres: Postgres, statement: sql.Composed) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url(), autocommit=True) as connection:
        await connection.execute(statement)


def database_of(url: str) -> str:
    """Return the database's name in an address."""
    return urlsplit(url).path.lstrip("/")
