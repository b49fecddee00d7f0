"""When a restore ends: a time that could be read in two ways is refused with the reading that was meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr.errors import BadInput
from rmc_dr.plans.moment import Moment, parse

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ZONE = "Asia/Shanghai"


def test_latest_is_everything():
    assert parse("latest", ZONE, NOW) == Moment(None)
    assert str(Moment(None)) == "latest"


@given(
    minutes=st.integers(1, 10**6),
    offset=st.integers(-12 * 60, 14 * 60),
)
def test_a_time_with_a_zone_is_that_instant(minutes, offset):
    wanted = (NOW - timedelta(minutes=minutes)).astimezone(timezone(timedelta(minutes=offset)))
    assert parse(wanted.isoformat(), ZONE, NOW).time == wanted


def test_it_is_told_to_postgres_in_utc():
    assert str(parse("2026-11-24T10:30:00+08:00", ZONE, NOW)) == "2026-11-24 02:30:00+00:00"


def test_a_time_without_a_zone_is_refused_with_what_was_meant():
    with pytest.raises(BadInput) as refused:
        parse("2026-11-24 10:30", ZONE, NOW)
    assert refused.value.code == "time-without-zone"
    assert "2026-11-24T10:30:00+08:00" in refused.value.hint
    assert parse("2026-11-24T10:30:00+08:00", ZONE, NOW).time is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("yesterday", "time-unreadable"),
        ("", "time-unreadable"),
        ("24.11.2026 10:30", "time-unreadable"),
        ("2026-13-01T00:00:00Z", "time-unreadable"),
        ("2026-11-24T03:00:01Z", "time-ahead"),
        ("0001-01-01T00:00:00+23:59", "time-unreadable"),
        ("0001-01-01T00:00:00+00:00", "time-unreadable"),
        ("0001-01-01T00:00:00", "time-unreadable"),
        ("2000-01-01T00:00:00+23:59", "time-unreadable"),
    ],
)
def test_what_is_no_moment_is_refused(text, code):
    with pytest.raises(BadInput) as refused:
        parse(text, ZONE, NOW)
    assert refused.value.code == code
