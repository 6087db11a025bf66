"""One process of ours, hosting one service or all."""

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.local_run.program import Program

ROOT = Path(__file__).parents[2]


class ServiceProcess:
    """`python -m services NAME...`."""

    def __init__(self, names: Sequence[str], log: Path, http_port: int, environment: Mapping[str, str]) -> None:
        """Say what it hosts and where its probes will listen."""
        self._ready_url = f"http://127.0.0.1:{http_port}/readyz"
        self._environment = environment
        self.program = Program(
            log.stem,
            [sys.executable, "-m", "services", *names],
            log,
            environment=environment,
            directory=ROOT,
            poll=0.05,
        )

    def tell(self, environment: Mapping[str, str]) -> None:
        """Have more in its environment, or other values, from the next start on."""
        self.program.environment = {**self._environment, **environment}

    def start(self) -> None:
        """Start the process; return once it serves."""
        self.program.start(lambda _: self.ready())

    def stop(self) -> None:
        """Drain the process."""
        self.program.stop()

    def ready(self) -> bool:
        """Return whether it serves, degraded or not."""
        try:
            with urllib.request.urlopen(self._ready_url, timeout=2) as answer:  # noqa: S310  # our own address
                return bool(answer.status == 200)  # noqa: PLR2004  # the name of success
        except (urllib.error.URLError, OSError):
            return False
