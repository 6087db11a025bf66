"""What is broken on purpose is found, so that what is not found is likely not there."""

import pytest

from tests.simulation.mutants import MUTANTS

BOUND = 3000
"""Schedules within which each is found; the rarest needs three things to go wrong in a row, one schedule in 400."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", [mutant.name for mutant in MUTANTS])
def test_the_shop_is_found_broken_with(explorer, mutant):
    explored = explorer.explore(range(BOUND), mutant, stop_early=True)

    assert explored.broken, f"not found in {explored.schedules} schedules"
