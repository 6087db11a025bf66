"""Named places where a test has the process die, fail or wait; see `failpoint_names` for where they are.

    MESHMART_FAILPOINTS="relay.after_publish=kill@40;rpc.after.ReserveStock=raise@3;saga.before_confirm=delay:500"

At its n-th hit, once in the life of a process, a failpoint kills the process (SIGKILL, as a crash would), raises, or waits
for so many milliseconds. Without the variable nothing is wrapped.
"""

import asyncio
import logging
import os
import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from services.chassis.failpoint_names import known

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

SYNTAX: Final = "NAME=kill|raise|delay:MS[@N], joined by `;`"
LINE: Final = "failpoint %s: %s at hit %s"
"""What a failpoint logs before it acts."""
_ENTRY: Final = re.compile(r"(?P<name>[\w.]+)=(?P<action>kill|raise|delay:(?P<ms>\d+))(?:@(?P<at>[1-9]\d*))?")


class FailpointError(Exception):
    """Raised on purpose."""


@dataclass(slots=True)
class Failpoint:
    """What happens at a place."""

    name: str
    action: str
    """`kill`, `raise`, or `delay:` and milliseconds."""
    seconds: float
    at: int
    """Hit at which it happens."""
    hits: int = 0

    async def hit(self) -> None:
        """Count, and act when it is time."""
        self.hits += 1
        if self.hits != self.at:
            return
        logger.error(LINE, self.name, self.action, self.at)  # errors are written at once
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action == "raise":
            raise FailpointError(f"{self.name} raises at hit {self.at}")
        await asyncio.sleep(self.seconds)


_armed: dict[str, Failpoint] = {}


def parse(text: str) -> dict[str, Failpoint]:
    """Return the failpoints in the text, by name. Raises ValueError that says how it is written."""
    found = {}
    for entry in filter(None, map(str.strip, text.split(";"))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f"{SYNTAX}, not `{entry}`")
        name, milliseconds = match["name"], int(match["ms"] or 0)
        found[name] = Failpoint(name, match["action"], milliseconds / 1000, int(match["at"] or 1))
    return found


def checked(text: str) -> str:
    """Return the text if it can be armed. Raises ValueError that says what can."""
    unknown = sorted(parse(text).keys() - known()) if text else ()
    if unknown:
        raise ValueError(f"names of failpoints, not {', '.join(unknown)}; there are: {' '.join(sorted(known()))}")
    return text


def arm(text: str) -> None:
    """Have these failpoints and no others. It comes before services are built: that is when they are wrapped."""
    _armed.clear()
    _armed.update(parse(text))


async def failpoint(name: str) -> None:
    """Mark a place."""
    if _armed and (armed := _armed.get(name)):
        await armed.hit()


def around(places: str, function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return a function between the two places whose names have `before` and `after` for `{}`.

    It is the function itself where neither is armed.
    """
    before, after = places.format("before"), places.format("after")
    if before not in _armed and after not in _armed:
        return function

    async def between(*args: P.args, **kwargs: P.kwargs) -> R:
        await failpoint(before)
        result = await function(*args, **kwargs)
        await failpoint(after)
        return result

    return between


def around_methods(part: str, whole: T, *methods: str) -> T:
    """Return an object of which these methods are each between two places, named after part and method."""
    for method in methods if _armed else ():
        setattr(whole, method, around(f"{part}.{{}}_{method}", getattr(whole, method)))
    return whole
