"""What happened in a schedule, for people to read."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Trace:
    """Lines with their times. A schedule that nobody reads writes none."""

    now: Callable[[], float]
    on: bool
    names: dict[str, str] = field(default_factory=dict)
    """What ids are called: `order 1`."""
    _lines: list[tuple[float, str, str, tuple[object, ...]]] = field(default_factory=list)

    def say(self, who: str, what: str, *about: object) -> None:
        """Note what somebody does; `what` has a {} for each thing it is about."""
        if self.on:
            self._lines.append((self.now(), who, what, about))

    def lines(self) -> list[str]:
        """Return all lines, with names instead of ids."""
        return [
            self.named(f"{when:9.3f} s  {who:<20} {what.format(*about)}".rstrip())
            for when, who, what, about in self._lines
        ]

    def named(self, text: str) -> str:
        """Return a text with names instead of ids."""
        for known, name in self.names.items():
            text = text.replace(known, name)
        return text
