"""A served shop for the tests of the chassis."""

import pytest

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
