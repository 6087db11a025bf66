"""Whatever is lost, late, doubled, paused or killed: each order ends as it must."""

import os
import subprocess
import sys

import pytest

from tests.simulation.parts import TABLES
from tests.simulation.process import READS
from tests.simulation.shop import run

EFFECTS = {
    f"{service} {statement.__name__}"
    for service, module in TABLES.items()
    for statement in module.STATEMENTS.values()
    if statement.__name__ not in {*READS, "restock"}
} - {"order _heard"}
"""Statements that change something."""


def command(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


def test_some_schedules_break_no_rule(explorer):
    explored = explorer.explore(range(20_000, 20_300))

    assert [(outcome.seed, outcome.broken) for outcome in explored.broken] == []


@pytest.mark.slow
@pytest.mark.timeout(600)  # a minute on two processors that do nothing else
def test_ten_thousand_schedules_break_no_rule_and_meet_every_statement(explorer):
    explored = explorer.explore(range(10_000))

    assert [(outcome.seed, outcome.broken) for outcome in explored.broken] == []
    assert explored.schedules == 10_000
    assert set(explored.seen) >= EFFECTS


def test_a_seed_gives_the_same_schedule_again():
    first, again = run(42, tracing=True), run(42, tracing=True)

    assert first.trace == again.trace
    assert len(first.trace) > 20


def test_a_seed_gives_the_same_schedule_in_another_process():
    traces = {command("--seed", "42", "--trace", hash_seed=hash_seed).stdout for hash_seed in ("1", "2")}

    assert len(traces) == 1
    assert "\n".join(run(42, tracing=True).trace) in traces.pop()


def test_nobody_watching_changes_nothing():
    watched, unwatched = run(7, tracing=True), run(7)

    assert (watched.seconds, watched.broken) == (unwatched.seconds, unwatched.broken)


def test_a_broken_schedule_is_named_told_and_run_again_from_its_seed():
    broken = ("--break", "no release in the compensation")
    found = command("--schedules", "100", *broken)
    assert found.returncode == 1
    seed = found.stdout.partition("again: python -m tests.simulation --seed ")[2].split()[0]

    again = command("--seed", seed, "--trace", *broken)

    assert again.returncode == 1
    assert again.stdout in found.stdout
    assert f"seed {seed}: BROKEN" in again.stdout
    assert "ended_means_units_are_back: order 1 is REJECTED, its reservation HELD" in again.stdout
