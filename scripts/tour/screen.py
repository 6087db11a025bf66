"""Short, aligned output: coloured on a terminal, plain in a pipe."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTH = 58
BOLD, DIM, GREEN, RED = "1", "2", "32", "31"


class Screen:
    """Prints the tour's steps."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        """Colour only where somebody looks."""
        self._out = out
        self._coloured = out.isatty() and "NO_COLOR" not in os.environ
        self._number = 0

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line."""
        print(self._styled(text, style), file=self._out, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a step with its number, its details, and how long it took."""
        self._number += 1
        self.line(f"\n{self._number:2}  {title}", BOLD)
        begun = time.perf_counter()
        try:
            yield
        except BaseException:
            self.line(f"    {'failed':<{WIDTH}}{self._since(begun)}", RED)
            raise
        self.line(f"    {'ok':<{WIDTH}}{self._since(begun)}", GREEN)

    def detail(self, name: str, text: str) -> None:
        """Print what a step saw."""
        self.line(f"    {self._styled(f'{name:<13}', DIM)}{text}")

    def _since(self, begun: float) -> str:
        return f"{(time.perf_counter() - begun) * 1000:8.0f} ms"

    def _styled(self, text: str, style: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._coloured and style and text else text
