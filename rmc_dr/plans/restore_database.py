"""The rules of `rmc-dr restore database`: on the primary, or on a named host where none leads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rmc_dr.backups import BackupsObservation
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


@dataclass(frozen=True)
class GivenUp:
    """The writes of this time were given up by an earlier restore."""

    run: str
    since: datetime
    until: datetime


def decide(
    estate: Estate, stages: Sequence[Stage], request: Request, seen: HostObservation, pair: PairState
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then."""
    host = estate.host(request.target)
    refuse_unproven(host, seen)
    _refuse_strange_pair(pair)
    _refuse_beside_primary(host, pair)
    _refuse_silent(host, seen)
    return Plan(NAME, host.name, tuple(stages), _destroys(host, str(request.options["restore_to"])))


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


def refuse_unarchived(moment: Moment, seen: BackupsObservation) -> None:
    """Raises Refused where nothing that was archived reaches the moment; recovery would end before it."""
    if moment.time is not None and seen.archived_at is not None and seen.archived_at < moment.time:
        raise Refused(
            "not-archived",
            _("The archive ends at {end}, before {moment}.").format(
                end=seen.archived_at.astimezone().isoformat(timespec="seconds"), moment=moment
            ),
            _("It is at most minutes behind: wait, then give the command again. `rmc-dr backup status`."),
        )


def _destroys(host: Host, moment: str) -> tuple[str, ...]:
    if moment == LATEST:
        return (_("{host}: the database; everything that was archived comes back").format(host=host.name),)
    return (
        _("{host}: every write of every application after {moment}").format(host=host.name, moment=moment),
    )
