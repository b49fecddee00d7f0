"""What may go of the backups, and its going: on the verification host, under the keeper's key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rmc_dr import backup_record, target_lock
from rmc_dr.backup import expiry_mark, judge, look, one_at_a_time
from rmc_dr.backup_record import Entry
from rmc_dr.backups import Keeping, Level, keeping, outlived
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.exclusive import lock_name
from rmc_dr.i18n import _
from rmc_dr.model import Reach
from rmc_dr.runner import OnEvent, run_playbook

WEEK = timedelta(days=7)  # between two full backups: snapshots stay for as long as those do
# Mended by an expiry itself.
MENDED = ("room-short",)


def plan_expiry(estate: Estate) -> Keeping:
    """What an expiry would take. Raises BadInput without a verification host, Refused where the backups are
    not well: then nothing may go.
    """
    estate.only("verifier")
    seen = look(estate)
    worst = [
        remark
        for remark in judge(estate, seen, {})
        if remark.level in (Level.CRITICAL, Level.UNKNOWN) and remark.code not in MENDED
    ]
    if worst or seen.database is None:
        raise Refused(
            "backups-not-well",
            _("Nothing is expired while the backups are not well: {said}.").format(
                said=worst[0].text if worst else "?"
            ),
            _("`rmc-dr backup status --json` names everything; mend that first."),
        )
    keep = estate.config.backup.keep_full
    return replace(
        keeping(seen.database, keep, seen.at), snapshots=outlived(seen.files or (), keep * WEEK, seen.at)
    )


def expire(estate: Estate, on_event: OnEvent, break_lock: str | None = None) -> Keeping:
    """Expire with the keeper's key, on the verification host: an intruder on a database host never sees it.

    pgBackRest's own lock is a host's, and so protects nothing here: the locks of this machine keep backups
    and verifications away, that on the host other control machines. Raises BadInput, Refused or Locked
    before anything changes, Error afterwards.
    """
    host, lock = estate.only("verifier"), lock_name("backup expire")
    with one_at_a_time(estate, "database", "files", "verify"):
        plan = plan_expiry(estate)
        started = datetime.now(UTC)
        target_lock.take(estate, host, lock, Reach.SYSTEM, break_lock)
        try:
            outcome = run_playbook(
                estate,
                "backup-expire.yml",
                variables={"pgbackrest_keep_full": plan.full, "file_backup_gone": list(plan.snapshots)},
                on_event=on_event,
                log=backup_record.folder() / f"{started:%Y%m%dT%H%M%SZ}-expire.log",
                run_id=expiry_mark(estate),
            )
        finally:
            target_lock.release(estate, host, lock)
        ok = outcome.status == "ok"
        about = {
            "expired": plan.expires,
            "snapshots": plan.snapshots,
            "failed": [failure.message for failure in outcome.failures],
        }
        backup_record.append(
            estate.name, Entry("expire", started, datetime.now(UTC), ok, host=host.name, about=about)
        )
    if not ok:
        said = outcome.said
        raise Error(
            "expire-failed",
            _("The expiry did not end well: {said}").format(said=said),
            _("What is locked stays in any case; run `rmc-dr backup expire` again once the cause is mended."),
        )
    return plan
