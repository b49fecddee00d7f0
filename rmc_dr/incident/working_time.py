"""Time that counts only on the centre's working days, each of them from midnight to midnight. Pure.

A fault noticed on a Saturday begins to count on Monday; one noticed on Friday at 15:00 has used its first
working day on Monday at 15:00. Seconds are real ones: a day of 23 or 25 hours counts as it is long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rmc_dr.incident.terms import Calendar

DAY = timedelta(days=1)


@dataclass(frozen=True)
class WorkingTime:
    """A calendar in its time zone. Moments are UTC."""

    calendar: Calendar
    zone: ZoneInfo

    def after(self, start: datetime, days: int) -> datetime:
        """The moment when so many working days have passed since ``start``."""
        left = days * DAY
        for begin, end in self._working(start):
            if end - begin >= left:
                return begin + left
            left -= end - begin
        raise AssertionError("a calendar has no last day")

    def between(self, start: datetime, end: datetime) -> timedelta:
        """How much working time lies between two moments; none where ``end`` is not after ``start``."""
        passed = timedelta(0)
        for begin, over in self._working(start):
            if begin >= end:
                break
            passed += min(over, end) - begin
        return passed

    def _working(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The stretches of working time from ``start`` on, one a day."""
        day = start.astimezone(self.zone).date()
        while True:
            if self.calendar.works(day):
                yield max(start, self._midnight(day)), self._midnight(day + DAY)
            day += DAY

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)
