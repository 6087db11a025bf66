"""From installed to the first order: starts `scripts/demo` on an empty state and reads what it says."""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TARGET = 10.0
PORT = 18280
SAID = re.compile(r"first order\s+([0-9.]+) s after the start")


def measure(rounds: int) -> dict[str, Any]:
    """Return the seconds until the first order is done, by the median of several starts."""
    return {"benchmark": "startup", "first_order_seconds": statistics.median(_start() for _ in range(rounds))}


def _start() -> float:
    with tempfile.TemporaryDirectory(prefix="meshmart-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user than root
        command = [sys.executable, "-m", "scripts.tour", "--once", "--port", str(PORT), "--state", f"{folder}/state"]
        tour = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        found = SAID.search(tour.stdout)
        if found is None:
            raise RuntimeError(f"the demo does not say when its first order was done:\n{tour.stdout}")
        return float(found[1])
