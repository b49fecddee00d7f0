"""Where inspections are kept: one folder each with an append-only journal, written as a run's is.

The schema: docs/inspection-record.md.
"""

from __future__ import annotations

import fcntl
import os
import secrets as random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rmc_dr import content
from rmc_dr.errors import BadInput, Error, Locked
from rmc_dr.i18n import _
from rmc_dr.journal import NAME, Journal, sync_folder
from rmc_dr.lines import Scan, scan
from rmc_dr.names import fitting
from rmc_dr.redact import Redactor
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


def folder_of(name: str) -> Path:
    return content.STATE / "inspections" / name


def create(secrets: Iterable[str], about: Mapping[str, Any]) -> str:
    """Begin the journal of an inspection with `inspection-made`; returns its name. Raises Error."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-inspection-{random.token_hex(2)}"
    path = folder_of(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700)
    sync_folder(path.parent)
    append(name, secrets, [("inspection-made", {"inspection": name, **about})])
    return name


def append(name: str, secrets: Iterable[str], events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Add events to the journal of an inspection. Raises Error or Locked where it cannot be written."""
    with _held(name, secrets) as journal:
        for event, fields in events:
            journal.append(event, **fields)


@contextmanager
def _held(name: str, secrets: Iterable[str]) -> Iterator[Journal]:
    path = folder_of(name)
    descriptor = os.open(path / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                "inspection-in-use",
                _("Another process is writing the inspection {name}.").format(name=name),
                _("Give the command again in a moment."),
            ) from None
        found = _scan(name)
        if found.bad:
            raise _damaged(name)
        journal = Journal(path, descriptor, len(found.events), Redactor(secrets))
        if found.torn:
            os.ftruncate(descriptor, found.good)
            journal.append("journal-repaired", cut_bytes=found.torn)
        sync_folder(path)
        yield journal
    finally:
        os.close(descriptor)


def read(name: str) -> Inspection:
    """An inspection as its journal tells it, without a torn tail. Raises Error."""
    found = _scan(name)
    try:
        state = Inspection.of(found.events)
    except (ValueError, TypeError, KeyError):
        raise _damaged(name) from None
    if found.bad or state.at is None:
        raise _damaged(name)
    return state


def _scan(name: str) -> Scan:
    try:
        return scan((folder_of(name) / NAME).read_bytes())
    except OSError as error:
        raise Error(
            "journal-unreadable",
            _("The record of the inspection {name} cannot be read: {error}.").format(
                name=name, error=error.strerror or error
            ),
            _("Run rmc-dr as root."),
        ) from error


def _damaged(name: str) -> Error:
    return Error(
        "inspection-damaged",
        _("The record of the inspection {name} is damaged.").format(name=name),
        _("Keep {path} as evidence, and inspect anew.").format(path=folder_of(name)),
    )


def summaries() -> Iterator[Summary]:
    """Every inspection on this machine, newest first; one that cannot be read is said so."""
    folder = content.STATE / "inspections"
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir(), reverse=True):
        if not (path / NAME).is_file():
            continue
        try:
            found = _scan(path.name)
            if found.events or found.bad:  # else a power cut came before its first line: it never was
                yield Summary(path.name, read(path.name))
        except Error as error:
            yield Summary(path.name, Inspection(name=path.name), damaged=error.message)


def inspections(estate: str) -> list[Inspection]:
    """Those of an estate that can be read, newest first, by their own time: two may be of one second."""
    found = [one.state for one in summaries() if not one.damaged and one.state.estate == estate]
    return sorted(found, key=lambda one: one.at or EPOCH, reverse=True)


def find(estate: str, name: str = "last") -> Inspection:
    """One of an estate by its name, a unique part of it, or `last`. Raises BadInput."""
    known = {one.name: one for one in inspections(estate)}
    matches = fitting(name, list(known))
    if len(matches) != 1:
        raise BadInput(
            "unknown-inspection",
            _("There is no inspection {name}.").format(name=name)
            if not matches
            else _("{name} fits {count} inspections.").format(name=name, count=len(matches)),
            _("Make one with `rmc-dr inspect`; `last` is the newest."),
        )
    return known[matches[0]]


def due(estate: str, days: int, founded: datetime | None) -> Due:
    """When the next one is due. ``founded`` is when the estate began, for one that was never inspected."""
    made = [one.at for one in inspections(estate) if one.at]
    last = max(made, default=None)
    since = last or founded
    return Due(last, since + timedelta(days=days) if since else None, days)
