"""What explores schedules, started once."""

from collections.abc import Iterator

import pytest

from tests.simulation.explore import Explorer


@pytest.fixture(scope="module")
def explorer() -> Iterator[Explorer]:
    with Explorer() as explorer:
        yield explorer
