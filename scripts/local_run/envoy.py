"""Envoy from its wheel, over a configuration made from the template and the contract."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from scripts.local_run.edge import Addresses, render
from scripts.local_run.program import Program
from scripts.local_run.wheels import find_binary

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "envoy" / "edge.yaml"
CONTRACT = ROOT / "gen" / "mesh" / "envoy.json"


def configuration(port: int, admin_port: int, services: Mapping[str, tuple[str, int]]) -> str:
    """Return the configuration of an edge on this machine."""
    contract = json.loads(CONTRACT.read_text())
    descriptor_set = CONTRACT.with_name(contract["descriptor_set"])
    addresses = Addresses("127.0.0.1", port, admin_port, services, str(descriptor_set))
    return render(TEMPLATE.read_text(), contract, addresses)


class Envoy:
    """One edge."""

    def __init__(self, folder: Path, log: Path, port: int, admin_port: int, text: str) -> None:
        """Say what it is to do, as `configuration` gives it."""
        self.port = port
        self._admin = f"http://127.0.0.1:{admin_port}"
        self._file = folder / "envoy.yaml"
        self._text = text
        self.program = Program("envoy", [], log)

    @property
    def url(self) -> str:
        """Address of the edge."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the edge; return once it serves and has the keys that verify tokens."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self._text)
        self.program.arguments = [
            find_binary("envoy"), "-c", self._file, "--concurrency", "1", "--disable-hot-restart",
            "--log-level", "warning", "--file-flush-interval-msec", "100", "--drain-time-s", "5",
        ]  # fmt: skip
        self.program.start(lambda _: self._serves())

    def stop(self) -> None:
        """Stop the edge."""
        self.program.stop()

    def _serves(self) -> bool:
        return self._ask("/ready") == "LIVE\n" and ": 0" not in self._ask("/stats?filter=jwt_authn.jwks_fetch_success")

    def _ask(self, path: str) -> str:
        try:
            with urllib.request.urlopen(self._admin + path, timeout=2) as answer:  # noqa: S310  # our own address
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ": 0"
