"""What a drill needs of the backups: one that is whole, and a bound for what may be lost."""

from __future__ import annotations

from collections.abc import Callable

from rmc_dr import backup
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.observe.repository import observe_store
from rmc_dr.plans.rebuild_estate import usable

# From the handing over of a segment until it is stored; the archive interval itself is the estate's.
PUSH_SECONDS = 15


def archived_until(estate: Estate, broke_time: float) -> float:
    """What was acknowledged up to this Unix time must have been archived when everything broke."""
    return broke_time - estate.config.backup.archive_seconds - PUSH_SECONDS


def have_a_backup(estate: Estate, say: Callable[[str], None]) -> None:
    """Take a backup of the database where the store holds none that is whole. Raises Error if it fails."""
    try:
        usable(observe_store(estate))
    except Refused:
        say(_("Taking a backup of the database first."))
        backup.run(estate, backup.make_plan(estate, database=True, files=False), silent)


def save_files(estate: Estate) -> None:
    """Take a snapshot of the attachments. Raises Error where that fails."""
    backup.run(estate, backup.make_plan(estate, database=False, files=True), silent)


def silent(*_event: object, **_fields: object) -> None:
    """For playbooks that are not followed."""
