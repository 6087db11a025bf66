"""What is broken on purpose is found, so that what is not found is likely not there."""

import pytest

from tests.simulation.mutants import MUTANTS

BOUND = 4000
"""Schedules within which each is found."""
RARE = {"no fence in confirm", "no tombstone in void"}
"""Found in one schedule of several hundred: three things must go wrong in a row."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant.name, marks=[pytest.mark.slow] if mutant.name in RARE else [], id=mutant.name)
        for mutant in MUTANTS
    ],
)
def test_the_shop_is_found_broken_by(explorer, mutant):
    explored = explorer.explore(range(BOUND), mutant, stop_early=True)

    assert explored.broken, f"not found in {explored.schedules} schedules"
