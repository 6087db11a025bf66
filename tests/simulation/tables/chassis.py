"""What every database has: idempotency, outbox and inbox, and a clock of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg

from services.chassis import idempotency, inbox

Row = tuple[Any, ...]
Parameters = Any
"""A mapping of names, or a sequence, as the statement has it."""

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
"""What times read as by which nothing is decided."""
DONE: list[Row] = [()]
"""What a statement answers that returns no row and touches one."""


class UniqueViolation(psycopg.errors.UniqueViolation):
    """A row is there already."""

    def __init__(self, constraint: str) -> None:
        """Say which key is broken."""
        super().__init__(constraint)
        self._constraint = constraint

    @property
    def diag(self) -> Any:
        """What PostgreSQL says of it."""
        return SimpleNamespace(constraint_name=self._constraint, message_primary=str(self))


class CheckViolation(psycopg.errors.CheckViolation):
    """A row would be impossible."""

    def __init__(self, constraint: str) -> None:
        """Say which check failed."""
        super().__init__(constraint)
        self._constraint = constraint

    @property
    def diag(self) -> Any:
        """What PostgreSQL says of it."""
        return SimpleNamespace(constraint_name=self._constraint, message_primary=str(self))


@dataclass(slots=True)
class Event:
    """A row of the outbox."""

    event_id: UUID
    event_type: str
    aggregate_id: str
    aggregate_version: int
    payload: bytes
    traceparent: str
    published: bool = False


class Tables:
    """The chassis's tables of one database. Each service adds its own."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin empty, with a clock."""
        self.now = now
        self.outbox: list[Event] = []
        self.inbox: set[tuple[UUID, str, int]] = set()
        self.idempotency: dict[tuple[UUID, str, str], tuple[bytes, bytes]] = {}

    def hear(self, p: Parameters) -> None:
        """Note an event as heard. Raises UniqueViolation for a repeat."""
        key = (p["inbox_event_id"], p["inbox_consumer"], p["inbox_generation"])
        if key in self.inbox:
            raise UniqueViolation(inbox.CONSTRAINT)
        self.inbox.add(key)

    def remember(self, p: Parameters) -> None:
        """Keep the reply to a request. Raises UniqueViolation for a repeat."""
        key = (p["idem_request_id"], p["idem_principal"], p["idem_method"])
        if key in self.idempotency:
            raise UniqueViolation("idempotency_pkey")
        self.idempotency[key] = (p["idem_request_hash"], p["idem_reply"])

    def announce(self, p: Parameters, version: int) -> list[Row]:
        """Write an event, and return its version as the statements do."""
        event_id, event_type, aggregate_id = p["event_id"], p["event_type"], p["event_aggregate_id"]
        self.outbox.append(
            Event(event_id, event_type, aggregate_id, version, p["event_payload"], p["event_traceparent"])
        )
        return [(version,)]

    def written(self) -> str:
        """Return the time as JSON has it."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat()


Statement = Callable[[Any, Parameters], list[Row]]
"""Takes the tables and the parameters, and returns the rows."""


def seconds(span: Any) -> float:
    """Return the seconds of an interval, which stores give as text or as a timedelta."""
    return float(span.removesuffix(" s")) if isinstance(span, str) else float(span.total_seconds())


def _look_up(t: Tables, p: Sequence[Any]) -> list[Row]:
    found = t.idempotency.get((p[0], p[1], p[2]))
    return [found] if found else []


def _heard(t: Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    return DONE


STATEMENTS: Mapping[str, Statement] = {idempotency._LOOK_UP: _look_up, inbox.INSERT: _heard}
