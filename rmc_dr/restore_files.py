"""Brings attachments back from the newest fitting snapshot; what they replace is kept beside."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from rmc_dr import journey, ssh
from rmc_dr.backups import FileSnapshot
from rmc_dr.backups.forecast import Speed
from rmc_dr.command import Listener, Work, at_work, meanwhile, plan_of
from rmc_dr.errors import BadInput, Error, Interrupted, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.gates import PRIMARY_EXISTS
from rmc_dr.i18n import _
from rmc_dr.model import Request
from rmc_dr.observe.backups import Silent, observe_snapshots
from rmc_dr.observe.hosts import observe_host
from rmc_dr.pair import verdict
from rmc_dr.plans.moment import Moment
from rmc_dr.speed import files_speed

NAME = "restore-files"
TAG = "attachments"
PROGRESS = "/run/rmc-dr-files"  # written by the module files_back
LOOK_SECONDS = 5
TEMPLATE = ("{{", "{%", "{#")
Facts = Mapping[str, Mapping[str, Any]]


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
    them differ from what is there, nobody knows before they are compared.

    ``seconds`` is how long all of them take to be fetched, at the speed that the verification of ``measured``
    found; both None where none has.
    """

    host: str
    snapshot: str
    taken: datetime
    files: int
    bytes: int
    seconds: float | None = None
    measured: datetime | None = None


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
    speed = files_speed(estate.name)
    return [_chosen(host.name, moment, known, speed) for host in estate.group("appserver")]


def _chosen(host: str, moment: Moment, known: Sequence[FileSnapshot], speed: Speed | None) -> FilesPlan:
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
    plan = FilesPlan(host, newest.id, newest.taken, newest.files, newest.size)
    return replace(plan, seconds=speed.files_seconds(newest.size), measured=speed.at) if speed else plan


def restore_files(
    estate: Estate,
    moment: Moment,
    paths: Sequence[str],
    listeners: Sequence[Listener],
    break_lock: str | None = None,
    skip_preserve: str | None = None,
) -> list[FilesBack]:
    """Bring them back on every application server. The snapshot is fetched while users work; they are kept
    out only where a file differs, and not before.

    Raises BadInput, Locked or Refused before anything changes; Error where a host fails, and what it has done
    so far is whole.
    """
    for path in paths:
        _refuse_outside(path)
    request = Request(NAME, estate.name, {"restore_to": str(moment)})
    with at_work(estate, plan_of(NAME, estate.name), request, listeners, break_lock) as work:
        try:
            with meanwhile(lambda: _tell_progress(work), LOOK_SECONDS):
                fetched = _play(work, "fetch", restore_to=str(moment), restore_paths=list(paths))
            put = _put(work, fetched, skip_preserve)
        finally:  # also where the operator has stopped it
            replace(work, canceled=lambda: False).attempt("sweep")
        return [_back(host, fetched[host], put.get(host, {})) for host in sorted(fetched)]


def _put(work: Work, fetched: Facts, skip_preserve: str | None) -> Facts:
    """Move what was fetched to its place; where something there differs, only while nobody writes it."""
    differ = sum(int(facts["differ"]) for facts in fetched.values())
    if not differ and not any(int(facts["missing"]) for facts in fetched.values()):
        return {}
    estate, hosts = work.estate, work.estate.group("appserver")
    if not differ:
        return _play(work, "put", only_missing=True)
    if all(observe_host(estate, host).serving is False for host in hosts):
        return _play(work, "put")  # whoever stopped them starts them again
    _refuse_without_primary(work)
    work.preserve(skip_preserve)
    work.play("quiesce")
    try:
        work.play("close")
        put = _play(work, "put")
        work.play("start")
    except Error as error:
        error.hint += " " + _("Users are kept out: `rmc-dr start` lets them in again.")
        raise
    work.prove("open", [check for host in hosts for check in journey.prove(estate, host)])
    work.play("open")
    return put


def _refuse_without_primary(work: Work) -> None:
    state = verdict(work.look()).name
    if state not in PRIMARY_EXISTS:
        raise Refused(
            "no-primary",
            _("The pair is {verdict}: the applications could not be started again.").format(verdict=state),
            _(
                "Look with `rmc-dr db status`; mend the pair first, or stop the applications: "
                "`rmc-dr stop --writes`."
            ),
        )


def _play(work: Work, name: str, **variables: Any) -> Facts:
    """Run a stage that works on files; what each host published. Raises Interrupted, Refused or Error."""
    outcome = work.attempt(name, **variables)
    if outcome.status == "canceled":
        raise Interrupted(
            "interrupted",
            _("Stopped in the stage {stage}; what it has done is whole.").format(stage=name),
            _("The command can be given again."),
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
    return {
        host: facts[name]
        for host, facts in outcome.facts.items()
        if isinstance(facts, Mapping) and name in facts
    }


def _back(host: str, fetched: Mapping[str, Any], put: Mapping[str, Any]) -> FilesBack:
    return FilesBack(
        host=host,
        snapshot=str(fetched["snapshot"]),
        taken=str(fetched["taken"]),
        restored=int(put.get("restored", 0)),
        replaced=int(put.get("replaced", 0)),
        same=int(fetched["same"]) + int(put.get("same", 0)),
        aside=put.get("aside"),
        seconds=round(float(fetched["seconds"]) + float(put.get("seconds", 0)), 1),
    )


def _tell_progress(work: Work) -> None:
    """How much is fetched, over all hosts that say so."""
    told = [told for host in work.estate.group("appserver") if (told := _fetched(work.estate, host))]
    if told:
        work.journal.append("progress", done=sum(one[0] for one in told), total=sum(one[1] for one in told))


def _fetched(estate: Estate, host: Host) -> tuple[int, int] | None:
    try:
        words = ssh.ask(estate, host, f"cat {PROGRESS}", LOOK_SECONDS).stdout.split()
    except subprocess.TimeoutExpired:
        return None
    return (int(words[0]), int(words[1])) if len(words) == 2 and "".join(words).isdigit() else None


def _refuse_outside(path: str) -> None:
    parts = PurePosixPath(path).parts
    template = any(sign in path for sign in TEMPLATE)  # Ansible would read it as its own
    if not parts or ".." in parts or path.startswith("/") or template:
        raise BadInput(
            "path-outside",
            _("{path} is not a path below the attachments' folder.").format(path=path or '""'),
            _("Write it as in management/2026: without a leading slash and without `..`."),
        )
