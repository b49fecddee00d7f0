"""What the journals of this machine tell of one month; no host is asked, so it works in the office."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rmc_dr import backup_record, drill_record, record, releases
from rmc_dr.backup_record import Entry
from rmc_dr.drill_record import DrillResult
from rmc_dr.errors import BadInput
from rmc_dr.history import RunState
from rmc_dr.i18n import _
from rmc_dr.incident import clocks
from rmc_dr.incident.clocks import Reading
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.record import incidents
from rmc_dr.releases import Release
from rmc_dr.rounds import record as rounds
from rmc_dr.rounds.history import Inspection

MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Window:
    """A calendar month of the centre; ``ends`` is the first moment that is not in it any more."""

    name: str
    begins: datetime
    ends: datetime

    def holds(self, moment: datetime | None) -> bool:
        return moment is not None and self.begins <= moment < self.ends


@dataclass(frozen=True)
class Date:
    """Something that comes in the month after, or is over already. ``code`` names its sort for machines."""

    at: datetime
    code: str
    text: str


@dataclass(frozen=True)
class Terms:
    """What the month is held against, of the estate. Lengths in days."""

    estate: str
    centre: str
    timezone: str
    lock_days: int
    inspection_days: int


@dataclass(frozen=True)
class Month:
    """Everything that happened in it, by the journals, oldest first. ``inspection`` is the last one made by
    its end; ``open_runs`` are those that `resume` can go on with; ``damaged`` records tell nothing.
    """

    terms: Terms
    window: Window
    until: datetime
    incidents: tuple[tuple[IncidentState, Sequence[Reading]], ...]
    runs: tuple[RunState, ...]
    open_runs: tuple[str, ...]
    releases: tuple[Release, ...]
    entries: tuple[Entry, ...]
    red: tuple[str, ...]
    drills: tuple[DrillResult, ...]
    inspected: tuple[Inspection, ...]
    inspection: Inspection | None
    dates: tuple[Date, ...]
    damaged: tuple[str, ...]


def window(name: str | None, zone: str, now: datetime) -> Window:
    """The month of that name, as 2026-11; without one that of ``now``. Raises BadInput."""
    here = ZoneInfo(zone)
    local = now.astimezone(here)
    name = name or f"{local:%Y-%m}"
    found = MONTH.fullmatch(name)
    if found is None or name > f"{local:%Y-%m}":
        raise BadInput(
            "no-month",
            _("{month} is no month that can be told of.").format(month=name[:40]),
            _("Write it as in --month {example}.").format(example=f"{local:%Y-%m}"),
        )
    begins = datetime(int(found[1]), int(found[2]), 1, tzinfo=here)
    return Window(name, begins.astimezone(UTC), _next(begins).astimezone(UTC))


def _next(first: datetime) -> datetime:
    """The first of the month after, by the centre's clock."""
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return first.replace(year=year, month=month)


def gather(terms: Terms, asked: Window, now: datetime) -> Month:
    """Read it out of the journals."""
    until = min(now, asked.ends)
    known = list(rounds.inspections(terms.estate))
    made = [one for one in known if one.at is not None and one.at < asked.ends]
    last = made[0] if made else None
    runs = list(record.runs())
    over = record.superseded(runs)
    own = [run for run in runs if run.state.estate == terms.estate]
    entries = tuple(backup_record.entries(terms.estate))
    damaged = [run.run_id for run in runs if run.damaged] + [
        one.incident for one in incidents() if one.damaged
    ]
    damaged += [one.name for one in rounds.summaries() if one.damaged]
    return Month(
        terms=terms,
        window=asked,
        until=until,
        incidents=tuple(_incidents(terms.estate, asked, until)),
        runs=tuple(run.state for run in reversed(own) if asked.holds(run.state.started)),
        open_runs=tuple(run.run_id for run in own if run.open and run.run_id not in over),
        releases=tuple(row for row in reversed(releases.history(terms.estate)) if asked.holds(row.at)),
        entries=tuple(one for one in entries if asked.holds(one.ended)),
        red=backup_record.last_red(terms.estate),
        drills=tuple(one for one in drill_record.results() if asked.holds(one.began)),
        inspected=tuple(one for one in reversed(made) if asked.holds(one.at)),
        inspection=last,
        dates=dates(terms, asked, last, entries),
        damaged=tuple(damaged),
    )


def _incidents(
    estate: str, asked: Window, until: datetime
) -> Iterator[tuple[IncidentState, Sequence[Reading]]]:
    """Those that were open in the month for any moment, oldest first."""
    for one in reversed(list(incidents())):
        state = one.state
        if one.damaged or state.estate != estate or state.opened is None:
            continue
        if state.opened < asked.ends and (state.closed is None or state.closed >= asked.begins):
            yield state, clocks.read(state, until)


def dates(
    terms: Terms, asked: Window, inspection: Inspection | None, entries: Sequence[Entry]
) -> tuple[Date, ...]:
    """What ends or is due in the month after, and what is over by then. Pure.

    As far as the last inspection and the backups' record know: what was renewed since is not known here.
    """
    here = ZoneInfo(terms.timezone)
    end = _next(asked.ends.astimezone(here)).astimezone(UTC)
    found = list(_of_inspection(terms, inspection))
    locks = [
        Date(
            one.ended + timedelta(days=terms.lock_days),
            "lock-ends",
            _("the lock ends of the full backup {label}").format(label=one.about.get("label", "?")),
        )
        for one in entries
        if one.what == "database" and one.kind == "full" and one.ok
    ]
    found += [one for one in locks if one.at >= asked.ends]
    return tuple(sorted((one for one in found if one.at < end), key=lambda one: (one.at, one.text)))


def _of_inspection(terms: Terms, inspection: Inspection | None) -> Iterator[Date]:
    if inspection is None or inspection.at is None or inspection.facts is None:
        return
    due = inspection.at + timedelta(days=terms.inspection_days)
    yield Date(due, "inspection-due", _("the next inspection is due"))
    kit = inspection.facts.kit
    if kit.expires is not None:
        yield Date(kit.expires, "kit-expires", _("the kit expires"))
    ends: dict[datetime, set[str]] = {}
    for one in inspection.facts.certificates:
        if one.ends is not None:
            at = one.ends.replace(hour=0, minute=0, second=0, microsecond=0)
            ends.setdefault(at, set()).add(one.host)
    for at, hosts in ends.items():
        text = _("certificates end on: {hosts}").format(hosts=", ".join(sorted(hosts)))
        yield Date(at, "certificate-ends", text)
