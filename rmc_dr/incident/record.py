"""Where incidents are kept: one folder each with an append-only journal, written as a run's is.

The schema: docs/incident-record.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rmc_dr import content, locks
from rmc_dr.errors import Error, Locked, Refused
from rmc_dr.history import Event
from rmc_dr.i18n import _
from rmc_dr.incident.history import IncidentState
from rmc_dr.journal import NAME
from rmc_dr.journals import Journals
from rmc_dr.names import the_one

STALE = timedelta(hours=24)  # older news is of no use to anybody
CLOSING = b'"event": "incident-closed"'  # as a line holds it; within a text its quotes would be escaped


@dataclass(frozen=True)
class Summary:
    """One line of `rmc-dr incident list`. ``damaged`` says why its journal cannot be believed."""

    incident: str
    state: IncidentState
    damaged: str = ""


def _in_use(incident: str) -> Locked:
    return Locked(
        "incident-in-use",
        _("Another process is writing the incident {incident}.").format(incident=incident),
        _("Give the command again in a moment."),
    )


def _unreadable(incident: str, why: str) -> Error:
    return Error(
        "journal-unreadable",
        _("The record of the incident {incident} cannot be read: {error}.").format(
            incident=incident, error=why
        ),
        _("Run rmc-dr as root; `rmc-dr incident list` shows the ones that can be read."),
    )


def _damaged(incident: str) -> Error:
    return Error(
        "incident-damaged",
        _("The record of the incident {incident} is damaged.").format(incident=incident),
        _("Keep {path} as evidence.").format(path=folder_of(incident)),
    )


JOURNALS = Journals(
    folder="incidents",
    kind="incident",
    fold=IncidentState.of,
    begun=lambda state: state.opened is not None,
    in_use=_in_use,
    unreadable=_unreadable,
    damaged=_damaged,
)
folder_of, held, read = JOURNALS.folder_of, JOURNALS.held, JOURNALS.read


def create(estate: str, secrets: Iterable[str], about: Mapping[str, Any]) -> str:
    """Begin the journal of a new incident with `incident-opened`; returns its name.

    Raises Refused while one of the estate is open, or while nobody can tell whether one is.
    """
    lock = content.STATE / "locks" / f"incident-{estate}.lock"
    busy = _("Process {pid} is opening an incident of this estate.")
    with locks.only_one(lock, "incident-locked", busy):
        _refuse_second(estate)
        name = JOURNALS.new()
        try:
            with held(name, secrets) as journal:
                journal.append("incident-opened", incident=name, estate=estate, **about)
        except (Error, OSError):
            _forget(name)
            raise
    return name


def _forget(name: str) -> None:
    """Take the folder of one that never began away: on a full disk a watch tries again at each look."""
    journal = folder_of(name) / NAME
    with suppress(OSError):
        if not journal.exists() or not journal.stat().st_size:
            journal.unlink(missing_ok=True)
            folder_of(name).rmdir()


def _refuse_second(estate: str) -> None:
    newest = _newest(estate)
    if newest is not None and newest.damaged:
        raise Refused(
            "incident-damaged",
            newest.damaged,
            _("Move its folder away as evidence, then open the incident anew."),
        )
    if newest is not None and newest.state.open:
        raise Refused(
            "incident-open",
            _("The incident {incident} of this estate is open.").format(incident=newest.incident),
            _("Add to it with `rmc-dr incident note`; what was found with `rmc-dr incident classify`."),
        )


def append(incident: str, secrets: Iterable[str], event: str, **fields: Any) -> Event:
    """Add one event to an incident's journal; who decides by what it says holds it meanwhile.

    Raises Error or Locked where it cannot be written.
    """
    with held(incident, secrets) as journal:
        return journal.append(event, **fields)


def incidents() -> Iterator[Summary]:
    """Every incident on this machine, newest first; one that cannot be read is said so."""
    for name, state, damaged in JOURNALS.every():
        yield Summary(name, state or IncidentState(incident=name), damaged)


def awake(now: datetime) -> bool:
    """Whether an incident on this machine is open, or was closed so lately that its news may still wait.

    Asked every minute for years: what has long been closed is not read line by line.
    """
    for name in JOURNALS.names():
        with suppress(Error, OSError):
            if _asleep(folder_of(name) / NAME, now):
                continue
            state = read(name)
            if state.open or (state.closed is not None and now - state.closed < STALE):
                return True
    return False


def _asleep(journal: Path, now: datetime) -> bool:
    untouched = now.timestamp() - journal.stat().st_mtime > STALE.total_seconds()
    return untouched and CLOSING in journal.read_bytes()


def _newest(estate: str) -> Summary | None:
    return next((one for one in incidents() if one.damaged or one.state.estate == estate), None)


def open_incident(estate: str) -> IncidentState | None:
    """The open incident of an estate, if there is one that can be read."""
    newest = _newest(estate)
    return newest.state if newest and newest.state.open else None


def incident_at(estate: str, when: datetime) -> str | None:
    """The incident that was noticed and not closed at that moment: it may be closed by now."""
    mine = (one.state for one in incidents() if one.state.estate == estate and not one.damaged)
    return next((state.incident for state in mine if state.held_at(when)), None)


def find(name: str) -> str:
    """An incident by its name, a unique part of it, or `last`. Raises BadInput."""
    return the_one(
        name,
        [one.incident for one in incidents()],
        "unknown-incident",
        _("There is no incident {name}."),
        _("{name} fits {count} incidents."),
        _("`rmc-dr incident list` shows them; give a whole name, a unique part of one, or `last`."),
    )
