"""A failed event comes again after a delay that doubles; what is no outage is counted, and given up at last."""

import grpc
import psycopg
import pytest

from services.chassis.delivery import MalformedEventError
from services.chassis.errors import DomainError, Kind
from services.chassis.neighbour_errors import NeighbourCallError
from services.chassis.retries import FAILURES, WAITS, HandlerTimeoutError, NotYet, Retries


class Refused(DomainError):
    """What a neighbour might say."""

    kind = Kind.FAILED_PRECONDITION
    reason = "REFUSED"


class Busy(DomainError):
    """What a neighbour says that has too much to do."""

    kind = Kind.RESOURCE_EXHAUSTED
    reason = "BUSY"


def answered(code: grpc.StatusCode) -> NeighbourCallError:
    return NeighbourCallError("payment", grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata()))


COUNTED = {
    "a refusal": Refused("no"),
    "a bug": ConnectionError("bug"),
    "a handler without end": HandlerTimeoutError("no end after 60 s"),
    "a row that breaks a rule": psycopg.errors.CheckViolation("no"),
    "a row that no index takes": psycopg.errors.ProgramLimitExceeded("too large"),
    "a neighbour that chokes": answered(grpc.StatusCode.INTERNAL),
    "a neighbour that refuses": answered(grpc.StatusCode.INVALID_ARGUMENT),
}
OUTAGES = {
    "a deadline": TimeoutError(),
    "the database": psycopg.OperationalError("gone"),
    "a lock": psycopg.errors.DeadlockDetected("again"),
    "a neighbour that is away": answered(grpc.StatusCode.UNAVAILABLE),
    "a neighbour that is slow": answered(grpc.StatusCode.DEADLINE_EXCEEDED),
    "a neighbour with too much to do": Busy("later"),
}


def delays(error: Exception, times: int) -> list[float | None]:
    """Return the delays of an event that fails again and again."""
    retries = Retries()
    return [retries.delay(1, attempt, error) for attempt in range(1, times + 1)]


@pytest.mark.parametrize("error", COUNTED.values(), ids=COUNTED)
def test_what_fails_by_itself_is_parked_after_six_failures(error):
    assert delays(error, FAILURES) == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, None])


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_is_waited_for_however_long_it_lasts(error):
    assert delays(error, 10_000)[:5] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0])
    assert set(delays(error, 10_000)[4:]) == {2.0}


def test_an_event_that_was_overtaken_waits_longer_than_others():
    found = delays(NotYet("version 2 is missing"), WAITS)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0])
    assert (found[-2], found[-1]) == (2.0, None)


def test_a_malformed_event_is_parked_at_once():
    assert delays(MalformedEventError("it is a letter"), 1) == [None]


def test_failures_are_counted_by_event_and_outages_are_not():
    retries = Retries()
    for attempt in range(1, FAILURES):
        assert retries.delay(1, attempt, Refused("no")) is not None
        assert retries.delay(1, attempt, TimeoutError()) is not None
        assert retries.delay(1, attempt, NotYet("version 2 is missing")) is not None
    assert retries.delay(2, 100, Refused("no")) == pytest.approx(0.2)
    assert retries.delay(1, 100, Refused("no")) is None


def test_an_event_that_is_done_begins_anew():
    retries = Retries()
    retries.delay(1, 1, Refused("no"))
    retries.forget(1)
    assert retries.delay(1, 2, Refused("no")) == pytest.approx(0.2)


def test_no_more_events_are_remembered_than_need_be(monkeypatch):
    monkeypatch.setattr("services.chassis.retries._REMEMBERED", 2)
    retries = Retries()
    for sequence in (1, 2, 3):
        retries.delay(sequence, 1, Refused("no"))
    assert retries.delay(3, 2, Refused("no")) == pytest.approx(0.4)
    assert retries.delay(1, 2, Refused("no")) == pytest.approx(0.2)
