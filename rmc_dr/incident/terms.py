"""The part `incident` of estate.yml: what the contract allows for which fault, and when the centre works."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rmc_dr.strict import Strict
from rmc_dr.wording import Wording

Class = Literal["general", "major", "critical"]
Kind = Literal["hardware", "system", "application", "database", "network", "data"]
Milestone = Literal["answered", "plan", "agreed", "running", "solved"]
Topic = Literal["scope", "effect", "trend", "loss", "plan-change", "next", "team"]
Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
CLASSES: tuple[Class, ...] = ("general", "major", "critical")  # each worse than the one before
WEEKDAYS: tuple[Weekday, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
YEAR_HOURS = 366 * 24
LEAST_HOURS = 0.02  # a minute, in a number that can be told: nobody does anything sooner


def _in_both(raw: Any) -> Any:
    """What stands there in one language alone is said so in either."""
    return raw if isinstance(raw, Mapping | Wording) else {"en": raw, "zh": raw}


Worded = Annotated[Wording, BeforeValidator(_in_both)]


class When(Strict):
    """The faults that a row is for: each part that is given must be true."""

    classes: tuple[Class, ...] = ()
    affects_use: bool | None = None
    kinds: tuple[Kind, ...] = ()

    def fits(self, klass: Class, affects_use: bool, kinds: Collection[Kind]) -> bool:
        return (
            (not self.classes or klass in self.classes)
            and self.affects_use in (None, affects_use)
            and (not self.kinds or not set(self.kinds).isdisjoint(kinds))
        )


class Clock(Strict):
    """A row of the contract. It runs from ``starts`` until one of ``until`` is reached, for ``hours`` or for
    ``working_days``; ``clause`` is the contract's wording.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    clause: Worded
    when: When = When()
    starts: Literal["noticed", "opened"] = "noticed"
    hours: float | None = Field(default=None, ge=LEAST_HOURS, le=YEAR_HOURS)
    working_days: int | None = Field(default=None, ge=1, le=366)
    until: tuple[Milestone, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_one_length(self) -> Clock:
        if (self.hours is None) == (self.working_days is None):
            raise ValueError("give either hours or working_days")
        return self


class Calendar(Strict):
    """The centre's working days: by the week, without the holidays, with the days that make up for them."""

    working_days: tuple[Weekday, ...] = Field(min_length=1)
    holidays: tuple[date, ...] = ()
    make_up_days: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _is_of_one_mind(self) -> Calendar:
        if both := set(self.holidays) & set(self.make_up_days):
            raise ValueError(f"{min(both)} is a holiday and a make-up day")
        return self

    def works(self, day: date) -> bool:
        if day in self.make_up_days:
            return True
        return day not in self.holidays and WEEKDAYS[day.weekday()] in self.working_days


class Authorities(Strict):
    """To whom the centre has to report such a fault, and within how many hours of its notice."""

    to: Worded
    hours: float = Field(ge=LEAST_HOURS, le=YEAR_HOURS)
    when: When = When(classes=("critical",))


class Terms(Strict):
    """``warn_at_percent``: a warning when so much of a clock's time is gone."""

    clocks: tuple[Clock, ...] = Field(min_length=1)
    calendar: Calendar
    warn_at_percent: tuple[Annotated[int, Field(ge=1, le=99)], ...] = (75, 90)
    authorities: Authorities | None = None

    @model_validator(mode="after")
    def _names_each_once(self) -> Terms:
        names = [clock.name for clock in self.clocks]
        if len(names) != len(set(names)):
            raise ValueError("two clocks bear one name")
        return self
