"""Keeps the graph in README.md equal to the one in `gen/mesh`."""

import re
from pathlib import Path

from scripts.generate.stamp import GENERATED, ROOT

README = ROOT / "README.md"

_MARKED = re.compile(r"(<!-- graph:begin -->\n).*?(<!-- graph:end -->)", re.DOTALL)


def with_graph(text: str, graph: str) -> str:
    """Return a text with the graph between its markers; unchanged when it has none."""
    return _MARKED.sub(lambda found: f"{found[1]}```mermaid\n{graph}```\n{found[2]}", text)


def is_current() -> bool:
    """Return whether README.md shows the graph of the contract."""
    return not README.exists() or README.read_text() == with_graph(README.read_text(), _graph())


def refresh() -> bool:
    """Bring the graph in README.md up to date and return whether that changed it."""
    if is_current():
        return False
    README.write_text(with_graph(README.read_text(), _graph()))
    return True


def _graph() -> str:
    return Path(GENERATED / "mesh" / "graph.mmd").read_text()
