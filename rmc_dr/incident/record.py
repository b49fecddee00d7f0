"""Where incidents are kept: one folder each with an append-only journal, written as a run's is.

Many processes add to one journal: each holds it for one moment, cuts off what a power cut tore, and adds
its lines. The schema: docs/incident-record.md.
"""

from __future__ import annotations

import fcntl
import os
import secrets as random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmc_dr import content, locks
from rmc_dr.errors import BadInput, Error, Locked, Refused
from rmc_dr.history import Event
from rmc_dr.i18n import _
from rmc_dr.incident.history import IncidentState
from rmc_dr.journal import NAME, Journal, sync_folder
from rmc_dr.lines import Scan, scan
from rmc_dr.names import fitting
from rmc_dr.redact import Redactor

WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Summary:
    """One line of `rmc-dr incident list`. ``damaged`` says why its journal cannot be believed."""

    incident: str
    state: IncidentState
    damaged: str = ""


def folder_of(incident: str) -> Path:
    return content.STATE / "incidents" / incident


def create(estate: str, secrets: Iterable[str], about: Mapping[str, Any]) -> str:
    """Begin the journal of a new incident with `incident-opened`; returns its name.

    Raises Refused while one of the estate is open, or while nobody can tell whether one is.
    """
    lock = content.STATE / "locks" / f"incident-{estate}.lock"
    busy = _("Process {pid} is opening an incident of this estate.")
    with locks.only_one(lock, "incident-locked", busy):
        _refuse_second(estate)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-incident-{random.token_hex(2)}"
        path = folder_of(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        sync_folder(path.parent)
        with held(name, secrets) as journal:
            journal.append("incident-opened", incident=name, estate=estate, **about)
    return name


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
    """Add one event to an incident's journal. Raises Error or Locked where it cannot be written."""
    with held(incident, secrets) as journal:
        return journal.append(event, **fields)


@contextmanager
def held(incident: str, secrets: Iterable[str] = ()) -> Iterator[Journal]:
    """The journal for as long as the block lasts; others wait a few seconds. Raises Error or Locked."""
    path = folder_of(incident)
    descriptor = os.open(path / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, incident)
        found = _scan(incident)
        if found.bad:
            raise _damaged(incident)
        journal = Journal(path, descriptor, len(found.events), Redactor(secrets))
        if found.torn:
            os.ftruncate(descriptor, found.good)
            journal.append("journal-repaired", cut_bytes=found.torn)
        elif not found.events:
            sync_folder(path)
        yield journal
    finally:
        os.close(descriptor)


def _take(descriptor: int, incident: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Locked(
                    "incident-in-use",
                    _("Another process is writing the incident {incident}.").format(incident=incident),
                    _("Give the command again in a moment."),
                ) from None
            time.sleep(LOOK_SECONDS)
        else:
            return


def read(incident: str) -> IncidentState:
    """An incident as its journal tells it, without a torn tail. Raises Error."""
    found = _scan(incident)
    try:
        state = IncidentState.of(found.events)
    except (ValueError, TypeError, KeyError):
        raise _damaged(incident) from None
    if found.bad or state.opened is None:
        raise _damaged(incident)
    return state


def _scan(incident: str) -> Scan:
    try:
        return scan((folder_of(incident) / NAME).read_bytes())
    except OSError as error:
        raise Error(
            "journal-unreadable",
            _("The record of the incident {incident} cannot be read: {error}.").format(
                incident=incident, error=error.strerror or error
            ),
            _("Run rmc-dr as root; `rmc-dr incident list` shows the ones that can be read."),
        ) from error


def _damaged(incident: str) -> Error:
    return Error(
        "incident-damaged",
        _("The record of the incident {incident} is damaged.").format(incident=incident),
        _("Keep {path} as evidence.").format(path=folder_of(incident)),
    )


def incidents() -> Iterator[Summary]:
    """Every incident on this machine, newest first; one that cannot be read is said so."""
    folder = content.STATE / "incidents"
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir(), reverse=True):
        if not (path / NAME).is_file():
            continue
        try:
            found = _scan(path.name)
            if found.events or found.bad:  # else a power cut came before its first line: it never began
                yield Summary(path.name, read(path.name))
        except Error as error:
            yield Summary(path.name, IncidentState(incident=path.name), damaged=error.message)


def _newest(estate: str) -> Summary | None:
    return next((one for one in incidents() if one.damaged or one.state.estate == estate), None)


def open_incident(estate: str) -> IncidentState | None:
    """The open incident of an estate, if there is one that can be read."""
    newest = _newest(estate)
    return newest.state if newest and newest.state.open else None


def find(name: str) -> str:
    """An incident by its name, a unique part of it, or `last`. Raises BadInput."""
    matches = fitting(name, [one.incident for one in incidents()])
    if len(matches) != 1:
        raise BadInput(
            "unknown-incident",
            _("There is no incident {incident}.").format(incident=name)
            if not matches
            else _("{incident} fits {count} incidents.").format(incident=name, count=len(matches)),
            _("`rmc-dr incident list` shows them; give a whole name, a unique part of one, or `last`."),
        )
    return matches[0]
