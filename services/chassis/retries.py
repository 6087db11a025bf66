"""When a failed event comes again, and when it is given up and parked.

What is away comes back, so an outage is waited for, however long it lasts. Anything else is counted, in memory: another
process begins anew.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import grpc
import psycopg

from services.chassis.delivery import MalformedEventError
from services.chassis.errors import Kind
from services.chassis.status import domain_error_of

FAILURES: Final = 6
"""Failures of one event after which it is parked: six seconds after the first."""
WAITS: Final = 600
"""How often an event may come before one it needs: twenty minutes."""
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 30.0
SHORT_DELAY: Final = 2.0
"""Longest delay of an event that waits for something: a dependency comes back for all at once."""
_REMEMBERED: Final = 10_000
"""Events whose failures are counted. An event that another process went on with is forgotten at last."""
_OUTAGES: Final = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED, Kind.RESOURCE_EXHAUSTED, Kind.ABORTED})
_BUGS_OF_A_NEIGHBOUR: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})
"""A caller is told to try again; an event that a neighbour always chokes on must not be tried for ever."""
_LIMIT_OF_A_STATEMENT: Final = "54"
"""Class of SQLSTATEs that psycopg takes for outages, and that never pass: a row that is too large for an index."""


class NotYet(Exception):
    """A handler raises it for an event that came before one it needs, such as a version of its aggregate."""


class HandlerTimeoutError(Exception):
    """A handler took longer than it may."""


@dataclass(slots=True)
class _Count:
    failures: int = 0
    waits: int = 0


class Retries:
    """The failures of the events of one durable, by their sequence in the stream."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: OrderedDict[int, _Count] = OrderedDict()

    def delay(self, sequence: int, attempt: int, error: Exception) -> float | None:
        """Count a failure at the n-th delivery; return the seconds until the event comes again, None to park it."""
        if isinstance(error, MalformedEventError):
            return None
        if is_outage(error):
            return doubled(attempt, SHORT_DELAY)
        count = self._count_of(sequence)
        if isinstance(error, NotYet):
            count.waits += 1
            return doubled(count.waits, SHORT_DELAY) if count.waits < WAITS else None
        count.failures += 1
        return doubled(count.failures, LONGEST_DELAY) if count.failures < FAILURES else None

    def forget(self, sequence: int) -> None:
        """Let go of an event that is done or parked."""
        self._counts.pop(sequence, None)

    def _count_of(self, sequence: int) -> _Count:
        count = self._counts.setdefault(sequence, _Count())
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count


def is_outage(error: Exception) -> bool:
    """Return whether something is away that the event needs."""
    if isinstance(error, (NotYet, HandlerTimeoutError)):
        return False
    if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_LIMIT_OF_A_STATEMENT):
        return False
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _BUGS_OF_A_NEIGHBOUR:
        return False
    return domain_error_of(error).kind in _OUTAGES


def doubled(times: int, longest: float) -> float:
    """Return a delay that begins short and doubles with each time."""
    return min(longest, FIRST_DELAY * 2.0 ** min(times - 1, 16))
