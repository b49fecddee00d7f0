"""Where inspections are kept: one folder each with an append-only journal, written as a run's is.

The schema: docs/inspection-record.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rmc_dr.errors import Error, Locked
from rmc_dr.i18n import _
from rmc_dr.journals import Journals
from rmc_dr.names import the_one
from rmc_dr.rounds.history import Inspection

EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Summary:
    """``damaged`` says why its journal cannot be believed."""

    name: str
    state: Inspection
    damaged: str = ""


@dataclass(frozen=True)
class Due:
    """``last`` is None where the estate was never inspected, ``until`` where nobody knows since when."""

    last: datetime | None
    until: datetime | None
    days: int

    def late(self, now: datetime) -> bool:
        return self.until is not None and now > self.until


def _in_use(name: str) -> Locked:
    return Locked(
        "inspection-in-use",
        _("Another process is writing the inspection {name}.").format(name=name),
        _("Give the command again in a moment."),
    )


def _unreadable(name: str, why: str) -> Error:
    return Error(
        "journal-unreadable",
        _("The record of the inspection {name} cannot be read: {error}.").format(name=name, error=why),
        _("Run rmc-dr as root."),
    )


def _damaged(name: str) -> Error:
    return Error(
        "inspection-damaged",
        _("The record of the inspection {name} is damaged.").format(name=name),
        _("Keep {path} as evidence, and inspect anew.").format(path=folder_of(name)),
    )


JOURNALS = Journals(
    folder="inspections",
    kind="inspection",
    fold=Inspection.of,
    begun=lambda state: state.at is not None,
    in_use=_in_use,
    unreadable=_unreadable,
    damaged=_damaged,
)
folder_of, read = JOURNALS.folder_of, JOURNALS.read


def create(secrets: Iterable[str], about: Mapping[str, Any]) -> str:
    """Begin the journal of an inspection with `inspection-made`; returns its name. Raises Error."""
    name = JOURNALS.new()
    append(name, secrets, [("inspection-made", {"inspection": name, **about})])
    return name


def append(name: str, secrets: Iterable[str], events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Add events to the journal of an inspection. Raises Error or Locked where it cannot be written."""
    with JOURNALS.held(name, secrets) as journal:
        for event, fields in events:
            journal.append(event, **fields)


def summaries() -> Iterator[Summary]:
    """Every inspection on this machine, newest first; one that cannot be read is said so."""
    for name, state, damaged in JOURNALS.every():
        yield Summary(name, state or Inspection(name=name), damaged)


def inspections(estate: str) -> list[Inspection]:
    """Those of an estate that can be read, newest first, by their own time: two may be of one second."""
    found = [one.state for one in summaries() if not one.damaged and one.state.estate == estate]
    return sorted(found, key=lambda one: one.at or EPOCH, reverse=True)


def find(estate: str, name: str = "last") -> Inspection:
    """One of an estate by its name, a unique part of it, or `last`. Raises BadInput."""
    known = {one.name: one for one in inspections(estate)}
    found = the_one(
        name,
        list(known),
        "unknown-inspection",
        _("There is no inspection {name}."),
        _("{name} fits {count} inspections."),
        _("Make one with `rmc-dr inspect`; `last` is the newest."),
    )
    return known[found]


def due(estate: str, days: int, founded: datetime | None) -> Due:
    """When the next one is due. ``founded`` is when the estate began, for one that was never inspected."""
    made = [one.at for one in inspections(estate) if one.at]
    last = max(made, default=None)
    since = last or founded
    return Due(last, since + timedelta(days=days) if since else None, days)
