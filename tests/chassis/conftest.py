"""A served shop for the tests of the chassis."""

import pytest

from tests.chassis.shop import shop as serve


@pytest.fixture
async def shop():
    """Return identity, order and catalog in one process."""
    async with serve() as served:
        yield served
