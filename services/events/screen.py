"""What commands print."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def line(text: str = "") -> None:
    """Print a line."""
    print(text, flush=True)  # noqa: T201  # this is the output


def complain(text: str) -> None:
    """Print a line for whoever gave the command."""
    print(text, file=sys.stderr)  # noqa: T201  # likewise


def record(values: Mapping[str, Any]) -> None:
    """Print a line of JSON."""
    line(compact(values))


def compact(values: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(values, ensure_ascii=False)


def document(values: Mapping[str, Any]) -> None:
    """Print JSON for people."""
    line(json.dumps(values, ensure_ascii=False, indent=2))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their heads; the last column may be of any length."""
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
