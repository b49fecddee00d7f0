"""The run record: one folder a run, and an append-only journal in it.

A line counts once its newline is on the disk. What a power cut leaves behind the last newline is ignored
by readers and cut off, with a `journal-repaired` event, by the next writer. The schema: docs/run-record.md.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets as random
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmc_dr import __version__, content
from rmc_dr.errors import Error, Locked
from rmc_dr.estate_lock import Holder, is_free, local_lock
from rmc_dr.files import append_line
from rmc_dr.history import Event, RunState
from rmc_dr.i18n import _
from rmc_dr.incident import attach
from rmc_dr.journal import NAME as JOURNAL
from rmc_dr.journal import Journal as AnyJournal
from rmc_dr.journal import boot_id, plain, sync_folder
from rmc_dr.lines import Scan, scan, to_line
from rmc_dr.model import Plan, Request
from rmc_dr.names import the_one
from rmc_dr.redact import Redactor

__all__ = [
    "Event", "Holder", "Journal", "RunState", "RunSummary",
    "append_entry", "boot_id", "find", "is_free", "is_here", "local_lock", "new_run_id",
    "newest_run", "open_run", "plain", "read", "run_dir", "runs", "superseded", "to_line",
]  # fmt: skip


def run_dir(run_id: str) -> Path:
    return content.STATE / "runs" / run_id


def new_run_id(plan: str) -> str:
    """A name for a run that begins now, and that no run on this machine bears yet."""
    while True:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{stamp}-{plan}-{random.token_hex(2)}"
        if not run_dir(name).exists():
            return name


@dataclass(frozen=True)
class RunSummary:
    """One line of `rmc-dr runs`. ``damaged`` says why its journal cannot be read to the end; ``state`` is
    what the whole lines before that tell."""

    run_id: str
    path: Path
    state: RunState
    damaged: str = ""

    @property
    def open(self) -> bool:
        """Whether `rmc-dr resume` can go on with it, if no other began after it."""
        return self.state.open and not self.damaged

    @property
    def nameless(self) -> bool:
        """Whether its record is too damaged to tell whose run it is."""
        return bool(self.damaged) and not self.state.estate


class Journal(AnyJournal):
    """The only writer of a run; a second process is refused."""

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(
        cls,
        plan: Plan,
        request: Request,
        *,
        estate: str,
        operator: str,
        run_id: str | None = None,
        secrets: Iterable[str] = (),
        listeners: Iterable[Callable[[Event], None]] = (),
        **about: Any,
    ) -> Journal:
        """Open a new run, under an unused name of ``new_run_id``, and write `run-started`.

        ``about`` is kept in that event: centre, rto_hours, language, kit (sha256 of its manifest).
        """
        path = _new_folder(run_id or new_run_id(plan.name))
        journal = cls(path, _open_for_append(path), 0, Redactor(secrets))
        for listener in listeners:
            journal.listen(listener)
        journal.append(
            "run-started",
            run_id=path.name,
            plan=plan.name,
            target=plan.target,
            options=dict(request.options),
            estate=estate,
            operator=operator,
            host=socket.gethostname(),
            tool_version=__version__,
            stages=[asdict(stage) for stage in plan.stages],
            destroys=list(plan.destroys),
            **about,
        )
        return journal

    @classmethod
    def open(cls, run_id: str, *, secrets: Iterable[str] = ()) -> Journal:
        """Go on with a run; a torn tail is cut off first. Append `run-resumed` next (boot=... is added)."""
        path = find(run_id)
        descriptor = _open_for_append(path)
        found = _whole(path)
        if found.torn:
            os.ftruncate(descriptor, found.good)
            os.fsync(descriptor)
        journal = cls(path, descriptor, len(found.events), Redactor(secrets))
        if found.torn:
            journal.append("journal-repaired", cut_bytes=found.torn)
        return journal

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event, as any journal does. Where a run begins or goes on, it names this boot, and joins
        the incident that is open then.
        """
        if event in ("run-started", "run-resumed"):
            fields = {"boot": boot_id(), **self._join(fields), **fields}
        return super().append(event, **fields)

    def _join(self, started: Mapping[str, Any]) -> dict[str, str]:
        about = started if "plan" in started else read(self.path)[0].fields
        plan = str(about["plan"])
        incident = attach.join(str(about["estate"]), self.run_id, plan, str(about["target"]))
        if incident is None:
            return {}
        self.listen(attach.Follower(incident, plan))
        return {"incident": incident}


def append_entry(path: Path, **entry: Any) -> None:
    """Add one entry, with the time, to a record that is no run's; on the disk when this returns."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **plain(entry)}
    append_line(path, json.dumps(line, ensure_ascii=False))


def read(path: Path) -> list[Event]:
    """The events of a run folder, without a torn tail. Raises Error("journal-damaged")."""
    return list(_whole(path).events)


def runs() -> Iterator[RunSummary]:
    """Every run on this machine, newest first, read as it is asked for; a damaged journal is said so."""
    return map(_summary, _folders())


def newest_run(estate: str) -> RunSummary | None:
    """The run of an estate that began last, whatever became of it. A record too damaged to tell its estate
    may be this one's, and counts."""
    return next((run for run in runs() if run.state.estate == estate or run.nameless), None)


def open_run(estate: str) -> RunSummary | None:
    """The newest run of an estate, if `rmc-dr resume` can go on with it; an older one is superseded."""
    newest = newest_run(estate)
    return newest if newest and newest.open else None


def superseded(found: Iterable[RunSummary]) -> frozenset[str]:
    """The names of those runs, newest first, after which another one of their estate began."""
    begun: set[str] = set()
    over: set[str] = set()
    for run in found:
        if begun & {run.state.estate, ""}:
            over.add(run.run_id)
        if run.state.estate or run.nameless:
            begun.add(run.state.estate)
    return frozenset(over)


def find(run_id: str) -> Path:
    """The folder of a run, by its name, a unique part of it, or `last`. Raises BadInput."""
    names = [run.name for run in _folders()]
    found = the_one(
        run_id,
        names,
        "unknown-run",
        _("There is no run {name}."),
        _("{name} fits {count} runs."),
        _("`rmc-dr runs` lists them; give a whole name, a unique part of one, or `last`."),
    )
    return run_dir(found)


def is_here(run_id: str) -> bool:
    """Whether a run of this very name was begun on this machine."""
    return any(path.name == run_id for path in _folders())


def _folders() -> list[Path]:
    folder = content.STATE / "runs"
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if (path / JOURNAL).is_file()), reverse=True)


def _summary(path: Path) -> RunSummary:
    try:
        found = _scan(path)
    except Error as error:
        return RunSummary(path.name, path, RunState(run_id=path.name), damaged=error.message)
    damaged = _damage(path, found) if found.bad else ""
    return RunSummary(path.name, path, RunState.of(found.events), damaged)


def _new_folder(run_id: str) -> Path:
    path = run_dir(run_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700)
    sync_folder(path.parent)
    return path


def _open_for_append(path: Path) -> int:
    """A descriptor that only ever appends, held exclusively: a second writer of one run is refused."""
    descriptor = os.open(path / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Locked(
            "run-in-use",
            _("Another process is writing the run {run}.").format(run=path.name),
            _("Wait for it; `rmc-dr runs show {run}` says how far it is.").format(run=path.name),
        ) from None
    sync_folder(path)
    return descriptor


def _whole(path: Path) -> Scan:
    """Raises Error("journal-damaged") where a line is no event, or not the one that belongs there."""
    found = _scan(path)
    if found.bad:
        raise Error(
            "journal-damaged",
            _damage(path, found),
            _("Keep the file as evidence; start a new run, it observes the estate afresh."),
        )
    return found


def _damage(path: Path, found: Scan) -> str:
    return _(
        "The run record {path} is damaged: {count} lines cannot be read, the first is line {line}."
    ).format(path=path / JOURNAL, count=found.bad, line=found.first_bad)


def _scan(path: Path) -> Scan:
    try:
        return scan((path / JOURNAL).read_bytes())
    except OSError as error:
        raise Error(
            "journal-unreadable",
            _("The run record {path} cannot be read: {error}.").format(
                path=path / JOURNAL, error=error.strerror or error
            ),
            _("Run rmc-dr as root; `rmc-dr runs` lists the runs that can be read."),
        ) from error
