"""Times as they are written on a command line."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str) -> datetime:
    """Return the time that `15m`, `2h`, `7d` or `2026-11-21T10:00Z` means."""
    try:
        if duration := _DURATION.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"`{text}` is neither 15m, 2h, 7d nor 2026-11-21T10:00Z") from None
    return time if time.tzinfo else time.astimezone()


def age(seconds: float) -> str:
    """Return a duration in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
