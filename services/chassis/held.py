"""Aggregates whose next event no stream takes for what it is: the others do not wait for them."""

import time
from typing import Final

AGAIN: Final = 30.0
"""Seconds after which they are tried once more: somebody may have raised a limit."""


class Held:
    """Remembers them until they are tried again."""

    def __init__(self) -> None:
        """Begin with none."""
        self._aggregates: set[str] = set()
        self._since = 0.0
        self._refusal = ""

    def add(self, aggregate: str, refusal: str) -> None:
        """Hold the events of an aggregate, and keep why."""
        if not self._aggregates:
            self._since = time.monotonic()
        self._aggregates.add(aggregate)
        self._refusal = refusal

    def now(self) -> list[str]:
        """Return the aggregates that are held; none when it is time to try them again."""
        if self._aggregates and time.monotonic() - self._since > AGAIN:
            self._aggregates.clear()
        return list(self._aggregates)

    @property
    def trouble(self) -> str:
        """What is wrong; empty if nothing is held."""
        return f"{self._refusal}; events of {len(self._aggregates)} aggregates are held" if self._aggregates else ""
