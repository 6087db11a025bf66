"""A served shop for the tests of the chassis."""

import pytest

from services.chassis.database import Database
from tests.chassis.eventing import make_tables, relay
from tests.chassis.shop import shop as serve


@pytest.fixture
async def shop():
    """Return identity, order and catalog in one process."""
    async with serve() as served:
        yield served


@pytest.fixture
def stoppable_postgres(postgres, database_url):
    """Return the PostgreSQL of the run, which a test may stop; others need it after."""
    yield postgres
    if not postgres.program.running:
        postgres.start()


@pytest.fixture
async def url(database_url) -> str:
    """Return the address of a database with the chassis's tables and one for effects."""
    return make_tables(await database_url())


@pytest.fixture
async def database(url):
    """Return that database."""
    async with Database(url, name="test") as database:
        yield database


@pytest.fixture
async def stream(nats, url):
    """Publish what the database has, for as long as the test runs."""
    async with relay(nats, url) as running:
        yield running
