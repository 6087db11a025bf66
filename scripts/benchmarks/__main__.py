"""Measures what the README promises, and writes it there: `scripts/bench [chassis] [orders] [events] ...`."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks import chassis, events, notified, orders, replay, startup, table
from scripts.benchmarks.machine import described

RESULTS = Path(__file__).with_name("results.json")
BENCHMARKS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "chassis": lambda options: chassis.measure(2 * options.rounds, 1.0),
    "orders": lambda options: orders.measure(options.rounds, options.stored),
    "events": lambda options: events.measure(options.rounds),
    "notified": lambda _: notified.measure(),
    "replay": lambda _: replay.measure(),
    "startup": lambda _: startup.measure(3),
}


def main() -> int:
    """Measure what is named, keep what was measured before of the rest."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="what to measure; everything by default")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (7)")
    parser.add_argument(
        "--stored", type=int, default=orders.STORED, help="orders stored for the comparison (1,000,000)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print and write nothing")
    options = parser.parse_args()
    os.environ["GRPC_VERBOSITY"] = "ERROR"
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.names or BENCHMARKS:
        results[name] = BENCHMARKS[name](options)
    results["machine"] = described()
    print(table.render(results))
    if not options.dry_run:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        table.write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
