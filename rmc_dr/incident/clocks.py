"""The clocks of an incident at a moment: which run, until when, which leads, what must be told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from rmc_dr.incident.history import BREACH, IncidentState
from rmc_dr.incident.terms import Clock, Terms
from rmc_dr.incident.working_time import WorkingTime


class Standing(StrEnum):
    """``met`` and ``missed`` have ended, in time or too late."""

    RUNNING = "running"
    BREACHED = "breached"
    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True)
class Reading:
    """One clock as it stands. ``percent`` of its time is gone, 100 and more after its end."""

    clock: Clock
    started: datetime
    due: datetime
    stopped: datetime | None
    standing: Standing
    percent: float
    left: timedelta

    @property
    def ticks(self) -> bool:
        return self.stopped is None

    @property
    def late(self) -> bool:
        """Whether it was stopped behind its end, or runs on behind it."""
        return self.standing in (Standing.MISSED, Standing.BREACHED)


def read(state: IncidentState, now: datetime) -> list[Reading]:
    """Every clock whose condition the fault meets, in the order of the table.

    A fault that is solved needs nothing more, so ``solved`` stops each of them.
    """
    if state.terms is None or state.opened is None or state.noticed is None:
        return []
    working = WorkingTime(state.terms.calendar, ZoneInfo(state.timezone))
    nature, starts = state.nature, {"noticed": state.noticed, "opened": state.opened}
    return [
        _read(clock, state, working, starts[clock.starts], now)
        for clock in state.terms.clocks
        if clock.when.fits(state.counts_as, nature.affects_use, nature.kinds)
    ]


def _read(
    clock: Clock, state: IncidentState, working: WorkingTime, start: datetime, now: datetime
) -> Reading:
    due = due_at(clock, start, working)
    ends = [state.reached[what] for what in (*clock.until, "solved") if what in state.reached]
    stopped = min(ends, default=None)
    until = stopped or now
    late = until > due
    standing = (
        (Standing.MISSED if late else Standing.MET)
        if stopped
        else (Standing.BREACHED if late else Standing.RUNNING)
    )
    return Reading(clock, start, due, stopped, standing, gone(clock, start, until, working), due - until)


def due_at(clock: Clock, start: datetime, working: WorkingTime) -> datetime:
    """When a clock that starts then runs out."""
    if clock.working_days is not None:
        return working.after(start, clock.working_days)
    return start + timedelta(hours=clock.hours or 0)


def gone(clock: Clock, start: datetime, now: datetime, working: WorkingTime) -> float:
    """How many percent of its time are gone; on days that do not count none goes."""
    if clock.working_days is not None:
        share = working.between(start, now) / timedelta(days=clock.working_days)
    else:
        share = max(timedelta(0), now - start) / timedelta(hours=clock.hours or 0)
    return 100 * share


def leading(readings: Sequence[Reading]) -> Reading | None:
    """The clock that runs out first, or has, of those that still run."""
    return min((reading for reading in readings if reading.ticks), key=lambda one: one.due, default=None)


def year_without_holidays(state: IncidentState, readings: Iterable[Reading]) -> int | None:
    """A year in which a clock counts working days although nobody has told the calendar of its holidays."""
    if state.terms is None:
        return None
    zone, calendar = ZoneInfo(state.timezone), state.terms.calendar
    known = {day.year for day in (*calendar.holidays, *calendar.make_up_days)}
    counted = {
        when.astimezone(zone).year
        for reading in readings
        if reading.clock.working_days is not None
        for when in (reading.started, reading.due)
    }
    return min(counted - known, default=None)


@dataclass(frozen=True)
class Alarm:
    """A clock has used so much of its time; ``percent`` 100 is the breach."""

    reading: Reading
    percent: int

    @property
    def breach(self) -> bool:
        return self.percent == BREACH


def alarms(readings: Iterable[Reading], terms: Terms, told: Iterable[tuple[str, int]]) -> list[Alarm]:
    """What must be told now: of each clock the highest mark that it has passed, once."""
    known, found = set(told), []
    for reading in readings:
        if not reading.ticks:
            continue
        if reading.standing is Standing.BREACHED:
            mark = BREACH
        else:
            mark = max((mark for mark in terms.warn_at_percent if reading.percent >= mark), default=0)
        before = max((percent for name, percent in known if name == reading.clock.name), default=0)
        if mark > before:
            found.append(Alarm(reading, mark))
    return found
