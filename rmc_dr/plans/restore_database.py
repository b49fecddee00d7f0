"""The rules of `rmc-dr restore database`: on the primary, or on a named host where none leads. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rmc_dr.backups import BackupsObservation, DatabaseBackup
from rmc_dr.backups.forecast import DataRoom, Speed, room_for
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.gates import PRIMARY_EXISTS
from rmc_dr.history import RunState
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, PairState, Plan, Reach, Request, Stage
from rmc_dr.pair import Name
from rmc_dr.plans.machine import refuse_unproven
from rmc_dr.plans.moment import LATEST, Moment

NAME = "restore-database"
GROUP = "dbserver"
UNPROTECTED = "unprotected"


@dataclass(frozen=True)
class GivenUp:
    """The writes of this time were given up by an earlier restore."""

    run: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Sources:
    """What a restore is made from, as it was seen: the backups, how fast a verification brought one back, and
    the room on each database host; None is unknown."""

    stored: BackupsObservation
    speed: Speed | None = None
    rooms: Mapping[str, DataRoom | None] = field(default_factory=dict)


def decide(
    estate: Estate,
    stages: Sequence[Stage],
    request: Request,
    seen: HostObservation,
    pair: PairState,
    sources: Sources,
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then."""
    host = estate.host(request.target)
    refuse_unproven(host, seen)
    _refuse_strange_pair(pair)
    _refuse_beside_primary(host, pair)
    _refuse_silent(host, seen)
    moment = moment_of(request)
    if pair.primary is None:
        refuse_unarchived(moment, sources.stored, grows=False)
    label = choose_backup(moment, request.options.get("restore_set"), sources.stored)
    backup = next((one for one in sources.stored.database or () if one.label == label), None)
    needed = needed_room(moment, backup, sources.rooms.get(host.name))
    _refuse_short(estate, request, pair, needed, sources.rooms)
    return Plan(
        NAME,
        host.name,
        tuple(stages),
        _destroys(host, str(request.options["restore_to"])),
        restores=_restores(label, backup, sources.speed),
        options={key: value for key, value in (("restore_set", label), ("restore_room", needed)) if value},
    )


def moment_of(request: Request) -> Moment:
    """The moment that was asked for."""
    said = str(request.options["restore_to"])
    return Moment() if said == LATEST else Moment(datetime.fromisoformat(said))


def needed_room(moment: Moment, backup: DatabaseBackup | None, here: DataRoom | None) -> int:
    """Bytes that the restored database takes. It is as large as the backup and what was written since; of
    everything that was archived it is as large as today's. 0 where nobody can tell."""
    sizes = [backup.size] if backup else []
    if here and (moment.time is None or not backup):
        sizes.append(here.data)
    largest = max(sizes, default=0)
    return room_for(largest) if largest else 0


def _refuse_short(
    estate: Estate, request: Request, pair: PairState, needed: int, rooms: Mapping[str, DataRoom | None]
) -> None:
    """The other host's old data stays beside its new copy; so does the primary's own, where no standby runs.

    What is seen when users are out decides in the stage `safety`, which asks again.
    """
    for host in estate.group(GROUP):
        here, target = rooms.get(host.name), host.name == request.target
        if here is None or (not target and request.options.get(UNPROTECTED)):
            continue
        in_place = target and any(name != host.name for name in pair.running)
        if not here.fits(needed, in_place=in_place):
            raise _short(host, here, needed, in_place=in_place, target=target)


def _short(host: Host, here: DataRoom, needed: int, *, in_place: bool, target: bool) -> Refused:
    known = {"host": host.name, "free": _size(here.free), "data": _size(here.data), "needed": _size(needed)}
    hint = _("Make room there first; `rmc-dr restore release` removes safety copies of earlier restores.")
    if not target:
        hint += " " + _(
            "Or restore without a standby: --unprotected REASON leaves {host} stopped, as the safety copy."
        ).format(host=host.name)
    said = (
        _("{host} has {free} free and {data} of data to write over; {needed} are needed.")
        if in_place
        else _("{host} has {free} free beside its {data} of data, which stay; {needed} are needed.")
    )
    return Refused("no-room", said.format(**known), hint)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _refuse_strange_pair(pair: PairState) -> None:
    # Where a host is silent, etcd tells in the stage `safety` whether it leads.
    if pair.verdict not in PRIMARY_EXISTS | {Name.NO_PRIMARY, Name.UNKNOWN}:
        raise Refused(
            "strange-pair",
            _("The database pair is in the state {verdict}.").format(verdict=pair.verdict),
            _("Each disk may hold writes that the other lacks; look with `rmc-dr db status` first."),
        )


def _refuse_beside_primary(host: Host, pair: PairState) -> None:
    if pair.primary not in (None, host.name):
        raise Refused(
            "not-the-primary",
            _("{primary} takes the writes, not {host}.").format(primary=pair.primary, host=host.name),
            _("A restore begins on the primary: leave out --on, or name {primary}.").format(
                primary=pair.primary
            ),
        )


def _refuse_silent(host: Host, seen: HostObservation) -> None:
    if seen.reach is not Reach.SYSTEM:
        raise Refused(
            "host-silent",
            _("{host} does not answer as the installed system (it is: {reach}).").format(
                host=host.name, reach=seen.reach
            ),
            _("Bring it up first, or rebuild it: docs/runbooks/rebuild-dbserver.md."),
        )


def frozen_at(state: RunState) -> datetime | None:
    """When writes had stopped for a restore, by the primary's own clock: users write on long after it began.

    Where no primary was left to say it, when its stage `safety` began; None for a restore without either.
    """
    said = state.facts.get(state.target, {}).get("flush", {}).get("time")
    if said:
        return datetime.fromisoformat(said)
    return state.stage("safety").started or state.started


def refuse_given_up(moment: Moment, earlier: Sequence[GivenUp]) -> None:
    """Raises Refused for a moment on a past that an earlier restore has left: it would not be reached."""
    if moment.time is None:
        return
    for gone in earlier:
        if gone.since < moment.time < gone.until:
            raise Refused(
                "given-up",
                _("{moment} lies in what the restore {run} gave up; the backups lead past it.").format(
                    moment=moment, run=gone.run
                ),
                _("Its safety copy holds that past, if it was not released: docs/runbooks/restore.md."),
            )


def choose_backup(
    moment: Moment, label: str | None, seen: BackupsObservation, *, beside: bool = False
) -> str | None:
    """The backup to start from, the newest that leads to the moment; None where the store is silent.

    One of another history than the primary's is taken only by its name, and only to be looked into ``beside``
    production. Raises Refused where no backup will do.
    """
    if seen.database is None:
        return label
    sound = [backup for backup in seen.database if not backup.damaged]
    usable = [one for one in sound if (one.label == label if label else not seen.strays(one))]
    if not usable:
        raise Refused(
            "no-backup",
            _("There is no usable backup {label}.").format(label=label)
            if label
            else _("There is no usable backup."),
            _("`rmc-dr backup list` shows what there is."),
        )
    if label and not beside and seen.strays(usable[0]):
        raise Refused(
            "backup-diverged",
            _("The backup {label} is of another history than the primary's.").format(label=label),
            _("Look into it beside production: `rmc-dr restore database --backup {label} --inspect`.").format(
                label=label
            ),
        )
    leading = [one for one in usable if moment.time is None or one.stopped <= moment.time]
    if not leading:
        raise Refused(
            "before-backups",
            _("{moment} lies before the end of every backup that could lead to it.").format(moment=moment),
            _("The earliest moment is {first}.").format(
                first=min(one.stopped for one in usable).astimezone().isoformat()
            ),
        )
    return max(leading, key=lambda one: one.stopped).label


def refuse_unarchived(moment: Moment, seen: BackupsObservation, *, grows: bool = True) -> None:
    """Raises Refused where nothing that was archived reaches the moment; recovery would end before it.

    ``grows``: a primary still archives.
    """
    if moment.time is not None and seen.archived_at is not None and seen.archived_at < moment.time:
        raise Refused(
            "not-archived",
            _("The archive ends at {end}, before {moment}.").format(
                end=seen.archived_at.astimezone().isoformat(timespec="seconds"), moment=moment
            ),
            _("It is at most minutes behind: wait, then give the command again. `rmc-dr backup status`.")
            if grows
            else _(
                "No primary archives any more: leave out --to, and everything that was archived comes back."
            ),
        )


def _destroys(host: Host, moment: str) -> tuple[str, ...]:
    if moment == LATEST:
        return (_("{host}: the database; everything that was archived comes back").format(host=host.name),)
    return (
        _("{host}: every write of every application after {moment}").format(host=host.name, moment=moment),
    )


def _restores(label: str | None, backup: DatabaseBackup | None, speed: Speed | None) -> tuple[str, ...]:
    """What it starts from, and how long the copy and its recovery should take; the checks come on top."""
    if backup is None:
        began = (
            _("From the backup {label}; the store did not tell more of it").format(label=label)
            if label
            else _("From the backup that pgBackRest chooses; the store did not answer")
        )
        return began, _("How long it takes is unknown: the backup's size was not told")
    began = _("From the backup {label} of {taken}, {size}").format(
        label=backup.label, taken=_minute(backup.stopped), size=_size(backup.size)
    )
    seconds = speed.database_seconds(backup.size) if speed else None
    if speed is None or seconds is None:
        return began, _("How long it takes is unknown: no verification has measured it")
    return began, _(
        "Copy and recovery should take about {minutes} min, at the speed that the verification of {at} "
        "measured"
    ).format(minutes=max(1, round(seconds / 60)), at=_minute(speed.at))


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
