"""The class by rule, working time, and the clocks: pure, and beaten on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rmc_dr import content
from rmc_dr.estate import ESTATE_FILE
from rmc_dr.history import Event
from rmc_dr.incident import clocks
from rmc_dr.incident.clocks import Standing, alarms, leading, read, year_without_holidays
from rmc_dr.incident.findings import judge, table
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.terms import CLASSES, Calendar, Terms
from rmc_dr.incident.working_time import WorkingTime

CHINA = ZoneInfo("Asia/Shanghai")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@cache
def written(inventory: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(
        (content.root() / "inventories" / inventory / ESTATE_FILE).read_text()
    )
    return dict(raw["estate"]["incident"])


def terms(inventory: str = "example", **changes: Any) -> Terms:
    return Terms.model_validate({**written(inventory), **changes})


WORKING = WorkingTime(terms().calendar, CHINA)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC))


def at(text: str) -> datetime:
    """A moment by the centre's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).astimezone(UTC)


def incident(
    *later: tuple[str, str, dict[str, Any]], opened: str = "2026-11-25T02:00", **about: Any
) -> IncidentState:
    """An incident, and what came later, each with its time by the centre's clock."""
    first = {
        "incident": "i", "estate": "lab", "centre": "Centre", "language": "en", "timezone": "Asia/Shanghai",
        "inventory": "/inventory", "operator": "root", "title": "seen", "noticed": at(opened).isoformat(),
        "terms": terms("lab").model_dump(mode="json"), **about,
    }  # fmt: skip
    events = [Event(1, at(opened), 1.0, "incident-opened", first)]
    for when, name, fields in later:
        events.append(Event(len(events) + 1, at(when), 1.0, name, fields))
    return IncidentState.of(events)


def found(*codes: str, when: str = "2026-11-25T02:00", **more: Any) -> tuple[str, str, dict[str, Any]]:
    return when, "classified", {"findings": list(codes), "kinds": [], **more}


def reached(what: str, when: str) -> tuple[str, str, dict[str, Any]]:
    return when, "milestone", {"what": what, "at": at(when).isoformat()}


def standing(state: IncidentState, now: str) -> dict[str, str]:
    return {one.clock.name: str(one.standing) for one in read(state, at(now))}


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-11-25T09:00", 2, "2026-11-27T09:00"),  # Wednesday to Friday
        ("2026-11-27T15:00", 1, "2026-11-30T15:00"),  # over a weekend
        ("2026-11-28T11:00", 2, "2026-12-02T00:00"),  # noticed on a Saturday: all of Monday and of Tuesday
        ("2026-09-30T10:00", 1, "2026-10-08T10:00"),  # over the National Day's week
        ("2026-10-08T10:00", 2, "2026-10-10T10:00"),  # the Saturday that makes up for it counts
        ("2026-02-13T08:00", 2, "2026-02-24T08:00"),  # Spring Festival, with its working Saturday before
        ("2026-09-20T12:00", 1, "2026-09-21T12:00"),  # a Sunday that makes up
    ],
)
def test_working_days_as_china_has_them(start: str, days: int, end: str) -> None:
    assert WORKING.after(at(start), days) == at(end)
    assert WORKING.between(at(start), at(end)) == days * DAY


@given(MOMENTS, st.integers(1, 20))
def test_the_end_lies_in_working_time_and_as_far_away_as_was_asked(start: datetime, days: int) -> None:
    end = WORKING.after(start, days)
    assert WORKING.between(start, end) == days * DAY
    assert end - start >= days * DAY
    assert WORKING.calendar.works((end - timedelta(microseconds=1)).astimezone(CHINA).date())


@given(MOMENTS, MOMENTS, st.integers(1, 9), st.integers(0, 9))
def test_who_starts_later_or_has_longer_ends_no_earlier(
    one: datetime, other: datetime, days: int, more: int
) -> None:
    early, late = sorted((one, other))
    assert WORKING.after(early, days) <= WORKING.after(late, days)
    assert WORKING.after(early, days) <= WORKING.after(early, days + more)


@given(MOMENTS, MOMENTS, MOMENTS)
def test_working_time_adds_up(one: datetime, other: datetime, third: datetime) -> None:
    a, b, c = sorted((one, other, third))
    assert WORKING.between(a, c) == WORKING.between(a, b) + WORKING.between(b, c)
    assert timedelta(0) <= WORKING.between(a, c) <= c - a
    assert WORKING.between(c, a) == timedelta(0)


@given(MOMENTS, MOMENTS, st.integers(1, 9))
def test_a_change_of_summer_time_turns_nothing_round(one: datetime, other: datetime, days: int) -> None:
    berlin = WorkingTime(Calendar(working_days=("Sat", "Sun", "Mon")), ZoneInfo("Europe/Berlin"))
    early, late = sorted((one, other))
    assert berlin.after(early, days) <= berlin.after(late, days)
    assert berlin.between(early, berlin.after(early, days)) == days * DAY


@given(MOMENTS)
def test_hours_are_hours_on_every_day(start: datetime) -> None:
    clock = next(clock for clock in terms().clocks if clock.hours == 8)
    assert clocks.due_at(clock, start, WORKING) == start + 8 * HOUR


def test_only_what_the_week_the_holidays_and_the_make_up_days_say_is_a_working_day() -> None:
    calendar = WORKING.calendar
    days = [date(2026, 1, 1) + n * DAY for n in range(365)]
    weekdays = sum(day.weekday() < 5 for day in days)
    lost = sum(day.weekday() < 5 for day in calendar.holidays)
    assert sum(map(calendar.works, days)) == weekdays - lost + len(calendar.make_up_days)
    assert all(day.weekday() >= 5 for day in calendar.make_up_days), "who makes up works on a weekend"


@pytest.mark.parametrize(
    ("codes", "klass", "affects_use"),
    [
        ((), None, True),
        (("image-not-shown",), "general", False),
        (("image-not-shown", "pages-unusable"), "major", False),
        (("pages-unusable", "data-lost", "image-not-shown"), "critical", True),
    ],
)
def test_the_worst_finding_makes_the_class(codes: tuple[str, ...], klass: Any, affects_use: bool) -> None:
    nature = judge(codes, table().findings)
    assert (nature.klass, nature.affects_use) == (klass, affects_use)


@given(st.sets(st.sampled_from(sorted(table().findings))), st.sampled_from(sorted(table().findings)))
def test_one_finding_more_makes_nothing_milder(codes: set[str], more: str) -> None:
    before, after = judge(codes, table().findings), judge({*codes, more}, table().findings)
    assert before.klass is None or CLASSES.index(after.klass or "general") >= CLASSES.index(before.klass)
    assert before.kinds <= after.kinds
    assert after.affects_use or not before.affects_use or not codes


def test_what_is_critical_affects_use_and_the_list_is_whole() -> None:
    for finding in table().findings.values():
        assert finding.affects_use == (finding.klass == "critical")
        assert finding.en
        assert finding.zh
    assert set(table().classes) == set(CLASSES) == {one.klass for one in table().findings.values()}


def test_an_engineer_overrules_until_something_worse_is_found() -> None:
    mild = found(**{"class": "general", "affects_use": False, "reason": "one clerk only"})
    state = incident(found("pages-unusable"), mild)
    assert (state.nature.klass, state.nature.affects_use) == ("general", False)
    assert incident(found("pages-unusable"), mild, found("image-not-shown")).nature.klass == "general"
    worse = incident(found("pages-unusable"), mild, found("database-unreachable"))
    assert (worse.nature.klass, worse.nature.affects_use) == ("critical", True)


def test_the_contract_row_by_row() -> None:
    def running(*codes: str) -> dict[str, timedelta]:
        state = incident(found(*codes))
        return {one.clock.name: one.due - one.started for one in read(state, at("2026-11-25T02:00"))}

    assert running("image-not-shown") == {
        "no-effect-solved": 2 * DAY, "general-answered": 2 * HOUR, "general-handled": DAY,
    }  # fmt: skip
    assert running("pages-unusable") == {
        "no-effect-solved": 2 * DAY, "major-answered": 8 * HOUR, "major-agreed": 3 * DAY,
    }  # fmt: skip
    assert running("application-stopped") == {"effect-answered": HOUR / 4, "effect-solved": 8 * HOUR}
    assert running("server-dead") == {
        "effect-answered": HOUR / 4, "effect-solved": 8 * HOUR, "running-again": DAY,
    }  # fmt: skip
    assert running() == running("application-stopped"), "what nobody knows yet may be the worst"


def test_both_estates_have_the_same_contract() -> None:
    one, other = terms("lab"), terms("example")
    assert one.clocks == other.clocks
    assert one.authorities == other.authorities
    assert all(row.clause.en != row.clause.zh for row in one.clocks)


def test_a_clause_in_one_language_is_said_so_in_both_and_kept_as_it_is() -> None:
    old = terms(clocks=[{"name": "a", "clause": "立即响应", "hours": 1, "until": ["answered"]}])
    assert [old.clocks[0].clause.said(language) for language in ("en", "zh_CN")] == ["立即响应", "立即响应"]
    assert Terms.model_validate(old.model_dump(mode="json")) == old


def test_the_strictest_leads_and_each_stops_for_itself() -> None:
    state = incident(found("server-dead"))
    assert leading(read(state, at("2026-11-25T02:01"))).clock.name == "effect-answered"  # type: ignore[union-attr]
    answered = incident(found("server-dead"), reached("answered", "2026-11-25T02:10"))
    first = leading(read(answered, at("2026-11-25T03:00")))
    assert first is not None
    assert (first.clock.name, first.left) == ("effect-solved", 7 * HOUR)
    planned = incident(found("server-dead"), reached("plan", "2026-11-25T09:00"))
    assert standing(planned, "2026-11-25T10:00") == {
        "effect-answered": "missed", "effect-solved": "met", "running-again": "running",
    }  # fmt: skip
    solved = incident(found("server-dead"), reached("solved", "2026-11-26T03:00"))
    assert set(standing(solved, "2026-11-30T00:00").values()) == {"missed"}
    assert leading(read(solved, at("2026-11-30T00:00"))) is None


def test_who_mends_has_answered_and_the_first_time_counts() -> None:
    state = incident(reached("running", "2026-11-25T02:12"), reached("answered", "2026-11-25T04:00"))
    assert state.reached["answered"] == at("2026-11-25T02:12")
    again = incident(reached("plan", "2026-11-25T03:00"), reached("plan", "2026-11-25T09:00"))
    assert again.reached["plan"] == at("2026-11-25T03:00")


@given(st.integers(0, 40_000), st.integers(0, 40_000))
def test_time_that_passes_never_gives_time_back(one: int, other: int) -> None:
    state = incident(found("server-dead"))
    early, late = (at("2026-11-25T02:00") + timedelta(seconds=seconds) for seconds in sorted((one, other)))
    for before, after in zip(read(state, early), read(state, late), strict=True):
        assert before.due == after.due
        assert before.left >= after.left
        assert before.percent <= after.percent
        assert (after.standing is Standing.BREACHED) >= (before.standing is Standing.BREACHED)
        assert (after.standing is Standing.BREACHED) == (after.percent > 100)


def test_each_mark_is_told_once_and_the_highest_that_was_passed() -> None:
    def told(state: IncidentState, now: str) -> list[tuple[str, int]]:
        assert state.terms is not None
        found = alarms(read(state, at(now)), state.terms, state.told)
        return [(one.reading.clock.name, one.percent) for one in found]

    answered = reached("answered", "2026-11-25T02:01")
    state = incident(found("application-stopped"), answered)
    assert told(state, "2026-11-25T07:59") == []
    assert told(state, "2026-11-25T08:00") == [("effect-solved", 75)]
    assert told(state, "2026-11-25T09:30") == [("effect-solved", 90)], "75 was missed; 90 says more"
    warned = ("2026-11-25T08:00", "clock-warned", {"clock": "effect-solved", "percent": 75})
    state = incident(found("application-stopped"), answered, warned)
    assert told(state, "2026-11-25T08:30") == []
    assert told(state, "2026-11-25T10:00:01") == [("effect-solved", 100)]
    breached = ("2026-11-25T10:01", "clock-breached", {"clock": "effect-solved"})
    assert told(incident(found("application-stopped"), answered, breached), "2026-11-26T00:00") == []
    solved = incident(found("application-stopped"), reached("solved", "2026-11-25T02:01"))
    assert told(solved, "2026-11-26T00:00") == []


def test_no_warning_comes_on_a_day_that_does_not_count() -> None:
    state = incident(found("pages-unusable"), opened="2026-11-27T12:00")
    by = {one.clock.name: one.percent for one in read(state, at("2026-11-29T12:00"))}
    assert by["no-effect-solved"] == 25, "half a Friday of two working days"


def test_a_year_without_holidays_is_said() -> None:
    def gap(opened: str) -> int | None:
        state = incident(found("image-not-shown"), opened=opened)
        return year_without_holidays(state, read(state, at(opened)))

    assert gap("2026-11-25T02:00") is None
    assert gap("2026-12-31T12:00") == 2027


@pytest.mark.parametrize(
    "wrong",
    [
        {"clocks": []},
        {"clocks": [{"name": "a", "clause": "c", "until": ["solved"]}]},
        {"clocks": [{"name": "a", "clause": "c", "hours": 1, "working_days": 1, "until": ["solved"]}]},
        {"clocks": [{"name": "a", "clause": "c", "hours": 1, "until": []}]},
        {"clocks": [{"name": "a", "clause": "c", "hours": 0, "until": ["solved"]}]},
        {"clocks": [{"name": "a", "clause": "c", "hours": 1e-10, "until": ["solved"]}]},
        {"clocks": [{"name": "a", "clause": "c", "hours": 1, "until": ["mended"]}]},
        {"clocks": [{"name": "a", "clause": {"en": "c"}, "hours": 1, "until": ["solved"]}]},
        {"clocks": [{"name": "a", "clause": 5, "hours": 1, "until": ["solved"]}]},
        {"clocks": 2 * [{"name": "a", "clause": "c", "hours": 1, "until": ["solved"]}]},
        {"calendar": {"working_days": []}},
        {"calendar": {"working_days": ["Mon"], "holidays": ["2026-01-01"], "make_up_days": ["2026-01-01"]}},
        {"warn_at_percent": [100]},
        {"authorities": {"to": "", "hours": 1}},
        {"authorities": {"to": "x", "hours": 1e-10}},
    ],
)
def test_terms_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        terms(**wrong)
