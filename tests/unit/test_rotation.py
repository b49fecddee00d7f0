"""What is read by turns: nothing stays unread for more than 30 days, and no night does the work of many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from rmc_dr.backups.rotation import LIMIT, MARGIN, NIGHT, due, overdue

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


@given(
    st.dictionaries(st.integers(0, 60).map(str), st.integers(0, 27 * 24), max_size=60),
    st.lists(st.integers(0, 3), min_size=90, max_size=90),
    st.lists(st.integers(20, 28), min_size=90, max_size=90),
)
def test_nothing_stays_unread_for_longer(ages: dict[str, int], made: list[int], hours: list[int]) -> None:
    """Ninety nights, of which each begins up to four hours early or late; new items come meanwhile."""
    unread = {name: NOW - age * HOUR for name, age in ages.items()}
    now = NOW
    for night, (count, pause) in enumerate(zip(made, hours, strict=True)):
        for name in due(unread, now):
            unread[name] = now
        now += pause * HOUR
        assert overdue(unread, now) == ()
        unread.update({f"{night}-{number}": now for number in range(count)})
        for old in sorted(unread, key=lambda name: unread[name])[80:]:
            del unread[old]


@given(st.integers(1, 200))
def test_the_work_is_spread_evenly(count: int) -> None:
    unread = dict.fromkeys(map(str, range(count)), NOW)
    share = ceil(count / 28)
    for night in range(1, 60):
        now = NOW + night * NIGHT
        chosen = due(unread, now)
        assert len(chosen) <= share
        unread.update(dict.fromkeys(chosen, now))


def test_few_are_not_read_before_they_must() -> None:
    assert due({"a": NOW - 20 * NIGHT, "b": NOW - 10 * NIGHT}, NOW) == ()
    assert due({"a": NOW - 27.5 * NIGHT, "b": NOW - 10 * NIGHT}, NOW) == ("a",)
    assert due({}, NOW) == ()


def test_after_a_long_silence_everything_that_is_late_is_read_at_once() -> None:
    unread = {name: NOW - LIMIT - day * NIGHT for day, name in enumerate("abc")}
    assert due({**unread, "young": NOW}, NOW) == ("c", "b", "a")
    assert overdue(unread, NOW) == ("b", "c")
    assert MARGIN >= NIGHT, "one night may fail"
