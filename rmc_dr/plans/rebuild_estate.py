"""The rules of `rmc-dr rebuild estate` and `rebuild pair`: nothing lives, and a backup is there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rmc_dr.backups import BackupsObservation, DatabaseBackup, faults
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.gates import lives
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, PairState, Plan, Request, Stage
from rmc_dr.plans.machine import refuse_unproven, system_of
from rmc_dr.plans.moment import LATEST

# The hosts that are installed anew, in the order in which they are named.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "rebuild-estate": ("appserver", "dbserver"),
    "rebuild-pair": ("dbserver",),
}


def hosts_of(estate: Estate, plan: str) -> tuple[Host, ...]:
    """The hosts that a plan installs anew."""
    return tuple(host for group in GROUPS[plan] for host in estate.group(group))


def with_fixed(estate: Estate, request: Request) -> Request:
    """The request with what the stages need beside it: the first database host is restored."""
    first = estate.group("dbserver")[0].name
    fixed = {"restore_on": first, "restore_to": LATEST, "spare_running": True}
    return replace(request, options={**request.options, **fixed})


def decide(
    estate: Estate,
    stages: Sequence[Stage],
    request: Request,
    seen: Mapping[str, HostObservation],
    pair: PairState,
    stored: BackupsObservation,
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then."""
    hosts = hosts_of(estate, request.plan)
    for host in hosts:
        refuse_unproven(host, seen[host.name])
    _refuse_living([seen[host.name] for host in hosts], pair, request)
    backup = usable(stored)
    return Plan(
        request.plan,
        request.target,
        tuple(stages),
        destroys=(*map(system_of, hosts), *_lost(stored)),
        restores=_restores(backup, stored),
        archived_at=stored.archived_at,
        options={**request.options, "restore_set": backup.label},
    )


def _refuse_living(seen: Sequence[HostObservation], pair: PairState, request: Request) -> None:
    living = [host.name for host in seen if lives(host, pair) and not request.replaces(host.name)]
    if living:
        raise Refused(
            "healthy-host",
            _("{hosts}: lives, or nothing proves that it does not.").format(hosts=", ".join(living)),
            _(
                "What it holds may be newer than every backup. One lost host is rebuilt by "
                "`rmc-dr rebuild appserver` or `rmc-dr rebuild dbserver {host}`. If it is truly to be given "
                "up, add {options}."
            ).format(host=living[0], options=" ".join(f"--replace-healthy {name}" for name in living)),
        )


def usable(stored: BackupsObservation) -> DatabaseBackup:
    """The newest backup in the store that nothing is missing of. Raises Refused where there is none."""
    if stored.database is None or stored.archived is None:
        said = "; ".join(stored.errors.values()) or "?"
        raise Refused(
            "store-unread",
            _("The backups in the store cannot be read: {said}.").format(said=said.rstrip(".")),
            _(
                "Nothing is erased before a backup is proven to be there: `rmc-dr store check`. What was "
                "hidden or written over is brought back by `rmc-dr store rewind --to TIME`."
            ),
        )
    broken = {fault.label for fault in faults(stored)}
    whole = [one for one in stored.database if not broken & {one.label, *one.needs}]
    newest = max(whole, key=lambda one: one.stopped, default=None)
    if newest is None:
        raise Refused(
            "no-backup",
            _("The store holds no usable backup of the database ({count} are listed, none is whole).").format(
                count=len(stored.database)
            ),
            _("Look there first: `rmc-dr store rewind --to TIME` undoes what was hidden or written over."),
        )
    return newest


def last_archived(stored: BackupsObservation, backup: DatabaseBackup) -> str:
    """The newest archived segment that may follow a backup; empty where none is there."""
    return max((stored.archived or {}).get(backup.archive, ()), default="")


def _restores(backup: DatabaseBackup, stored: BackupsObservation) -> tuple[str, ...]:
    began = _("The database from the backup {label} of {taken}").format(
        label=backup.label, taken=_minute(backup.stopped.isoformat(timespec="seconds"))
    )
    archived = stored.archived_at
    until = _("and what was archived since, up to {wal}, which was stored at {time}").format(
        wal=last_archived(stored, backup) or "-",
        time=_minute(archived.isoformat(timespec="seconds")) if archived else "-",
    )
    gaps = [fault.gap for fault in faults(stored) if fault.gap and fault.label == backup.archive]
    later = [gap for gap in gaps if gap.first > backup.wal_stop]
    if not later:
        return began, until
    gap = _("but the archive has a gap: nothing behind {wal} comes back").format(wal=later[0].first)
    return began, until, gap


def _minute(text: str) -> str:
    return text.replace("T", " ").replace("+00:00", " UTC")


def _lost(stored: BackupsObservation) -> Iterable[str]:
    """Data that a disk still holds is set aside; what was never archived is gone with the disks."""
    if stored.archived_at is None:
        return ()
    return (
        _("every write after {time}, unless it was archived after this look").format(
            time=_minute(stored.archived_at.isoformat(timespec="seconds"))
        ),
    )
