"""Runs many schedules, on all processors."""

import gc
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final, Self

from tests.simulation.mutants import MUTANTS
from tests.simulation.parts import SOUND, Mutant
from tests.simulation.shop import Outcome, run

BATCH: Final = 100
COLLECT_EVERY: Final = 10
"""Schedules: while they fit into the processor's cache."""


@dataclass(slots=True)
class Explored:
    """What became of some schedules."""

    schedules: int = 0
    seconds: float = 0.0
    """Of virtual time."""
    seen: Counter[str] = field(default_factory=Counter)
    """In how many schedules a statement had an effect."""
    broken: list[Outcome] = field(default_factory=list)

    def add(self, other: "Explored") -> None:
        """Add what became of others."""
        self.schedules += other.schedules
        self.seconds += other.seconds
        self.seen.update(other.seen)
        self.broken += other.broken


def mutant_named(name: str) -> Mutant:
    """Return a mutant; the sound shop for no name."""
    return next((mutant for mutant in MUTANTS if mutant.name == name), SOUND)


class Explorer:
    """Processes that run schedules, one for each processor."""

    def __init__(self) -> None:
        """Start none yet."""
        # Not forked: what a test run has imported by now need not survive that.
        self._pool = ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_prepare)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)

    def explore(self, seeds: range, mutant: str = "", *, stop_early: bool = False) -> Explored:
        """Run the schedules of all seeds; with `stop_early` no more than it takes to find a broken one."""
        total = Explored()
        parts = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
        batches = [self._pool.submit(_run, mutant, part) for part in parts]
        for batch in batches:
            total.add(batch.result())
            if stop_early and total.broken:
                break
        for batch in batches:
            batch.cancel()
        return total


def _prepare() -> None:
    """Have what is loaded by now left alone by the garbage collector, which `_run` calls when it is worth it."""
    gc.disable()
    gc.freeze()


def _run(mutant: str, seeds: Sequence[int]) -> Explored:
    found = Explored()
    chosen = mutant_named(mutant)
    for seed in seeds:
        outcome = run(seed, mutant=chosen)
        found.schedules += 1
        found.seconds += outcome.seconds
        found.seen.update(outcome.seen)
        if outcome.broken:
            found.broken.append(outcome)
        if found.schedules % COLLECT_EVERY == 0:
            gc.collect()
    return found
