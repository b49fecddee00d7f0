"""A backup brought back beside production, on the verification host: to look into, to take a table out of.

It touches no other host, and holds nobody up but a verification. It stands until it is released.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rmc_dr import backup_record, content, ssh, target_lock
from rmc_dr.backup import one_at_a_time
from rmc_dr.backup_record import Entry
from rmc_dr.backups import BackupsObservation
from rmc_dr.backups.forecast import room_for
from rmc_dr.errors import Error, Interrupted, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.exclusive import canceled_by_signal, lock_name
from rmc_dr.i18n import _
from rmc_dr.model import Reach
from rmc_dr.observe.inspection import FOLDER, Inspection, observe_inspection
from rmc_dr.plans.moment import Moment
from rmc_dr.plans.table import refuse_unknown_database
from rmc_dr.runner import OnEvent, Outcome, end_leftovers, run_playbook


@dataclass(frozen=True)
class InspectionPlan:
    """What an inspection would do; ``replaces`` is the one that stands, and goes first.

    ``label`` is the backup that it starts from; "" lets pgBackRest choose the fitting one.
    """

    host: str
    to: Moment
    label: str
    room_bytes: int
    replaces: Inspection | None = None


def make_plan(estate: Estate, to: Moment, label: str | None, stored: BackupsObservation) -> InspectionPlan:
    """Raises BadInput without a verification host, Refused where the store or the host cannot be read."""
    host = estate.only("verifier")
    if stored.database is None:
        raise Refused(
            "store-unread",
            _("The backups in the store cannot be read: {said}.").format(
                said="; ".join(stored.errors.values()).rstrip(".") or "?"
            ),
            _("Look with `rmc-dr store check`; nothing was changed."),
        )
    seen = _looked_at(estate)
    sizes = [one.size for one in stored.database if not one.damaged and label in (None, one.label)]
    return InspectionPlan(
        host=host.name,
        to=to,
        label=label or "",
        room_bytes=room_for(max(sizes, default=0)),
        replaces=seen if seen.state == "stands" else None,
    )


def begin(
    estate: Estate, plan: InspectionPlan, on_event: OnEvent, break_lock: str | None = None
) -> Inspection:
    """Bring it back; what stands then. A failed one is removed again, and one before it stays where nothing
    of it was touched.

    Raises Locked or Refused before anything is done; Interrupted, and Error where it cannot be brought back.
    """
    started = datetime.now(UTC)
    with _alone_there(estate, "restore database inspect", break_lock) as (host, canceled):
        _refuse_unknown_one(_looked_at(estate), plan)
        outcome = run_playbook(
            estate,
            "restore-inspect.yml",
            variables={
                "run_id": _mark(estate),
                "verification_to": str(plan.to),
                "verification_label": plan.label,
                "verification_room_bytes": plan.room_bytes,
                "inspection_replace": True,
            },
            on_event=on_event,
            log=_log("inspect"),
            canceled=canceled,
            run_id=_mark(estate),
        )
        seen = observe_inspection(estate)
        kept = outcome.status != "ok" and plan.replaces is not None and _same(plan.replaces, seen)
        if outcome.status != "ok" and not kept:
            _remove(estate, on_event)
        stands = outcome.status == "ok" and seen is not None and seen.state == "stands"
        about = {"label": seen.label} if stands and seen else {"failed": [_said(outcome)]}
        entry = Entry("inspect", started, datetime.now(UTC), stands, str(plan.to), host.name, about)
        backup_record.append(estate.name, entry)
    if outcome.status == "canceled":
        raise Interrupted(
            "interrupted",
            _("The inspection was stopped; what it had brought back is removed."),
            _("Nothing but the verification host was touched. Give the command again."),
        )
    if kept:
        raise Error(
            "not-inspected",
            _("The backup could not be brought back: {said}. The inspection before stands untouched.").format(
                said=_said(outcome).rstrip(".")
            ),
            _(
                "Mend what the sentence names; where it is room, on {host}, or remove that inspection by "
                "`rmc-dr restore release`. Then give the command again."
            ).format(host=plan.host),
        )
    if not stands or seen is None:
        raise Error(
            "not-inspected",
            _("The backup could not be brought back: {said}. Production was not touched.").format(
                said=_said(outcome).rstrip(".")
            ),
            _(
                "If its moment was not reached, the archive did not hold it yet: wait a minute, or take "
                "`latest`. The log is {log}."
            ).format(log=_log("inspect").parent),
        )
    return seen


def release(estate: Estate, on_event: OnEvent, break_lock: str | None = None) -> None:
    """Remove it, whole or not. Raises Locked, and Error where something stays."""
    with _alone_there(estate, "restore release", break_lock):
        outcome = _remove(estate, on_event)
    if outcome.status != "ok":
        raise Error(
            "inspection-stays",
            _("The inspected copy could not be removed: {said}").format(said=_said(outcome)),
            _("Mend the cause, then give `rmc-dr restore release` again."),
        )


def standing(estate: Estate) -> Inspection:
    """The one that stands and answers. Raises BadInput without a verification host, Refused without it."""
    estate.only("verifier")
    seen = _looked_at(estate)
    if seen.state != "stands":
        raise Refused(
            "no-inspection",
            _("No backup stands on {host} to look into.").format(host=seen.host)
            if seen.state == "absent"
            else _("The inspected copy on {host} is not whole, or does not run any more.").format(
                host=seen.host
            ),
            _("Bring one back: `rmc-dr restore database --inspect --to TIME`."),
        )
    return seen


def look(estate: Estate, database: str) -> int:
    """psql on the inspected copy, on this terminal; how it ended. Raises as `standing`, and BadInput."""
    refuse_unknown_database(database, databases(estate))
    host = estate.host(standing(estate).host)
    psql = [
        *("runuser", "--user=postgres", "--", "psql", "-X", "-v", "HISTFILE=/dev/null"),
        *(f"--host={FOLDER}/run", f"--port={estate.config.database.port}", f"--dbname={database}"),
    ]
    first, *rest = ssh.command(estate, host)
    terminal = ["-t"] if sys.stdin.isatty() else []
    words = [first, *terminal, *rest, f"cd / && {shlex.join(psql)}"]
    return subprocess.run(words, check=False).returncode


def databases(estate: Estate) -> tuple[str, ...]:
    """The applications' databases, each once."""
    return tuple(dict.fromkeys(app.database for app in estate.config.applications.apps))


def _looked_at(estate: Estate) -> Inspection:
    seen = observe_inspection(estate)
    if seen is None or seen.state == "unknown":
        raise Refused(
            "inspection-unknown",
            _("Nobody can say whether a backup stands on the verification host: {said}.").format(
                said=seen.detail.rstrip(".") if seen else "?"
            ),
            _("Look at its power and its cable; nothing was changed."),
        )
    return seen


def _refuse_unknown_one(seen: Inspection, plan: InspectionPlan) -> None:
    """Between plan and lock another one may have been made; nobody has agreed that it goes."""
    if seen.state == "stands" and (plan.replaces is None or plan.replaces.made != seen.made):
        raise Refused(
            "inspection-stands",
            _("An inspection that began meanwhile stands on {host}.").format(host=seen.host),
            _("Speak to whoever made it, or give the command again."),
        )


def _same(before: Inspection, seen: Inspection | None) -> bool:
    """Whether the one that should have been replaced still stands: the playbook had ended before that."""
    return seen is not None and seen.state == "stands" and seen.made == before.made


@contextmanager
def _alone_there(
    estate: Estate, what: str, break_lock: str | None
) -> Iterator[tuple[Host, Callable[[], bool]]]:
    """Hold the verification host, here and against other control machines. Raises Locked."""
    host, lock = estate.only("verifier"), lock_name(what)
    with one_at_a_time(estate, "verify"):
        end_leftovers(_mark(estate))
        target_lock.take(estate, host, lock, Reach.SYSTEM, break_lock)
        try:
            with canceled_by_signal() as canceled:
                yield host, canceled
        finally:
            target_lock.release(estate, host, lock)


def _remove(estate: Estate, on_event: OnEvent) -> Outcome:
    return run_playbook(
        estate,
        "inspection-release.yml",
        variables={"run_id": _mark(estate)},
        on_event=on_event,
        log=_log("inspection-release"),
        run_id=_mark(estate),
    )


def _mark(estate: Estate) -> str:
    """By this the playbooks of a killed inspection are found and ended by the next command."""
    return f"inspect-{estate.name}"


def _log(name: str) -> Path:
    return content.STATE / "restores" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}.log"


def _said(outcome: Outcome) -> str:
    silent = outcome.status == "ok" and not outcome.failures
    return _("it does not answer") if silent else outcome.said
