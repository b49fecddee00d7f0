"""Brings attachments back from the newest fitting snapshot; what they replace is kept beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import PurePosixPath

from rmc_dr import content
from rmc_dr.backups import FileSnapshot
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.exclusive import alone
from rmc_dr.i18n import _
from rmc_dr.observe.backups import Silent, observe_snapshots
from rmc_dr.plans.moment import Moment
from rmc_dr.runner import run_playbook

TAG = "attachments"


@dataclass(frozen=True)
class FilesBack:
    """What came back to one host: counts of files, the snapshot and when it was taken.

    ``aside`` is the folder on the host that holds what was replaced; None where nothing was.
    """

    host: str
    snapshot: str
    taken: str
    restored: int
    replaced: int
    same: int
    aside: str | None
    seconds: float


@dataclass(frozen=True)
class FilesPlan:
    """What would come back to one host. ``files`` and ``bytes`` are all that the snapshot holds; how many of
    them differ from what is there, nobody knows before they are compared."""

    host: str
    snapshot: str
    taken: datetime
    files: int
    bytes: int


def plan_files(estate: Estate, moment: Moment, paths: Sequence[str]) -> list[FilesPlan]:
    """Choose each application server's snapshot, as the restore will. Changes nothing.

    Raises BadInput for a path; Error where nobody tells the snapshots; Refused where none fits.
    """
    for path in paths:
        _refuse_outside(path)
    try:
        known = observe_snapshots(estate)
    except Silent as silent:
        raise Error(
            "snapshots-unknown",
            _("Which snapshots there are cannot be told: {said}.").format(said=str(silent).rstrip(".")),
            _("See whether the store and a host answer: `rmc-dr store check`, `rmc-dr backup list`."),
        ) from None
    return [_chosen(host.name, moment, known) for host in estate.group("appserver")]


def _chosen(host: str, moment: Moment, known: Sequence[FileSnapshot]) -> FilesPlan:
    fitting = [
        snapshot
        for snapshot in known
        if (snapshot.host, snapshot.name) == (host, TAG)
        and (moment.time is None or snapshot.taken <= moment.time)
    ]
    newest = max(fitting, key=lambda snapshot: snapshot.taken, default=None)
    if newest is None:
        raise Refused(
            "no-snapshot",
            _("No snapshot holds the attachments of {host} at that time.").format(host=host),
            _("`rmc-dr backup list` shows the snapshots; a later --to has more to choose from."),
        )
    return FilesPlan(host, newest.id, newest.taken, newest.files, newest.size)


def restore_files(
    estate: Estate,
    moment: Moment,
    paths: Sequence[str],
    on_event: Callable[..., object],
    break_lock: str | None = None,
) -> list[FilesBack]:
    """Bring them back on every application server. Raises BadInput, Locked or Refused before anything
    changes; Error where a host fails, and what it has done so far is whole."""
    for path in paths:
        _refuse_outside(path)
    with alone(estate, "restore files", break_lock):
        outcome = run_playbook(
            estate,
            "restore-files.yml",
            variables={
                "restore_to": str(moment),
                "restore_paths": list(paths),
                "run_id": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
            },
            on_event=on_event,
            log=content.STATE / "restores" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-files.log",
        )
    if outcome.status != "ok":
        failure = outcome.failures[0] if outcome.failures else None
        said = failure.message if failure else _("the playbook was ended in the middle")
        kind = Refused if failure and failure.refused else Error
        raise kind(
            "files-not-restored",
            _("The files could not be brought back: {said}").format(said=said.rstrip(".") + "."),
            _("`rmc-dr backup list` shows the snapshots; the command can be given again."),
        )
    return [
        FilesBack(host, **{field.name: facts["restored"][field.name] for field in fields(FilesBack)[1:]})
        for host, facts in sorted(outcome.facts.items())
        if isinstance(facts, Mapping) and "restored" in facts
    ]


def _refuse_outside(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise BadInput(
            "path-outside",
            _("{path} is not a path below the attachments' folder.").format(path=path or '""'),
            _("Write it as in management/2026: without a leading slash and without `..`."),
        )
