"""`python -m tests.simulation`: explore schedules, or tell what happens in one."""

import argparse
import sys
import time

from tests.simulation.explore import Explored, Explorer, mutant_named
from tests.simulation.mutants import MUTANTS
from tests.simulation.shop import Outcome, run


def main() -> int:
    """Explore, and return 1 if something was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many to explore (10,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first; each has the next one (0)")
    parser.add_argument("--trace", action="store_true", help="run the schedule of this seed only, and tell all of it")
    parser.add_argument(
        "--break", dest="mutant", default="", choices=[mutant.name for mutant in MUTANTS], help="what is to be broken"
    )
    arguments = parser.parse_args()
    if arguments.trace:
        outcome = run(arguments.seed, tracing=True, mutant=mutant_named(arguments.mutant))
        tell(outcome)
        return 1 if outcome.broken else 0
    began = time.monotonic()
    seeds = range(arguments.seed, arguments.seed + arguments.schedules)
    with Explorer() as explorer:
        explored = explorer.explore(seeds, arguments.mutant)
    report(explored, time.monotonic() - began, arguments.mutant)
    return 1 if explored.broken else 0


def say(text: str) -> None:
    """Print a line."""
    print(text)  # noqa: T201  # the command's answer


def tell(outcome: Outcome) -> None:
    """Print what happened in a schedule."""
    say("\n".join(outcome.trace))
    say(f"seed {outcome.seed}: {'BROKEN' if outcome.broken else 'all rules hold'} at {outcome.seconds:.1f} s")
    for what in outcome.broken:
        say(f"  {what}")


def report(explored: Explored, seconds: float, mutant: str) -> None:
    """Print what was explored; of the first schedule that broke something, all of it."""
    for statement, times in sorted(explored.seen.items()):
        say(f"  {statement:<28} in {times:>6} schedules")
    hours = explored.seconds / 3600
    say(f"{explored.schedules} schedules, {hours:.1f} h of virtual time, in {seconds:.1f} s")
    say(f"{len(explored.broken)} of them broken: {' '.join(str(outcome.seed) for outcome in explored.broken[:20])}")
    if explored.broken:
        first = explored.broken[0].seed
        tell(run(first, tracing=True, mutant=mutant_named(mutant)))
        again = f" --break '{mutant}'" if mutant else ""
        say(f"again: python -m tests.simulation --seed {first} --trace{again}")


if __name__ == "__main__":
    sys.exit(main())
