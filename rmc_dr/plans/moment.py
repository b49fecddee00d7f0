"""The moment that a restore ends at, as the operator typed it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rmc_dr.errors import BadInput
from rmc_dr.i18n import _

LATEST = "latest"
FIRST_YEAR = 2001  # records hold what is after 2000, in every zone


@dataclass(frozen=True)
class Moment:
    """The last moment whose writes are wanted; None is everything that was archived."""

    time: datetime | None = None

    def __str__(self) -> str:
        return LATEST if self.time is None else self.time.astimezone(UTC).isoformat(sep=" ")


def parse(text: str, zone: str, now: datetime) -> Moment:
    """Read `latest` or a time, as ``read_time`` does. Raises BadInput."""
    if text == LATEST:
        return Moment()
    try:
        return Moment(read_time(text, zone, now))
    except BadInput as error:
        error.hint += " " + _("For everything that was archived, write `latest`.")
        raise


def read_time(text: str, zone: str, now: datetime) -> datetime:
    """Read an ISO 8601 time with its zone; ``zone`` is the estate's, ``now`` has a zone.

    Raises BadInput: a time without a zone is refused with the reading that was probably meant, for eight
    hours of a hospital's work hang on it; so is one that lies ahead, or before FIRST_YEAR.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            "time-unreadable",
            _("{text} is not a time.").format(text=text),
            _("Write it as in {example}.").format(example=_example(now, zone)),
        ) from None
    if time.year < FIRST_YEAR:
        raise BadInput(
            "time-unreadable",
            _("{text} is before the year {year}.").format(text=text, year=FIRST_YEAR),
            _("Write it as in {example}.").format(example=_example(now, zone)),
        )
    if time.tzinfo is None:
        meant = time.replace(tzinfo=ZoneInfo(zone))
        raise BadInput(
            "time-without-zone",
            _("{text} does not say in which time zone.").format(text=text),
            _("If the clock on the wall in {zone} is meant, write {meant}.").format(
                zone=zone, meant=meant.isoformat()
            ),
        )
    if time > now:
        raise BadInput(
            "time-ahead",
            _("{text} has not come yet: it is {now}.").format(
                text=text, now=now.isoformat(timespec="seconds")
            ),
            _("Compare it with the clock of this machine."),
        )
    return time


def _example(now: datetime, zone: str) -> str:
    return now.astimezone(ZoneInfo(zone)).replace(second=0, microsecond=0).isoformat()
