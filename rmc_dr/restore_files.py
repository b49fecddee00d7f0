"""Brings attachments back from the newest fitting snapshot; what they replace is kept beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import PurePosixPath

from rmc_dr import content
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.exclusive import alone
from rmc_dr.i18n import _
from rmc_dr.plans.moment import Moment
from rmc_dr.runner import run_playbook


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
