"""Times on the command line."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from services.events.times import age, since


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_duration_is_counted_from_now(text, ago):
    assert abs(datetime.now(UTC) - ago - since(text)) < timedelta(seconds=5)


def test_a_time_may_have_a_zone():
    assert since("2026-11-21T10:00Z") == since("2026-11-21T11:00+01:00") == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert since("2026-11-21T10:00").tzinfo is not None


@pytest.mark.parametrize("text", ["", "yesterday", "15", "-5m", "15m2s", "9999999d", "99999999999d"])
def test_anything_else_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is neither 15m, 2h, 7d nor"):
        since(text)


def test_an_age_is_told_in_its_largest_unit():
    assert [age(seconds) for seconds in (3, 90, 5400, 259_200)] == ["3 s", "1.5 m", "1.5 h", "3.0 d"]
