"""Bare `rmc-dr`: the state, an open run, the next command."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context, with_estate
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.model import HostObservation


@click.command(hidden=True)
@pass_context
def status(context: Context) -> None:
    from rmc_dr import backup_record, schedule
    from rmc_dr.errors import BadInput
    from rmc_dr.fence import users_fence
    from rmc_dr.incident.record import open_incident
    from rmc_dr.observe.hosts import observe_host
    from rmc_dr.rebuild import pair_state
    from rmc_dr.record import newest_run
    from rmc_dr.words import printable

    try:
        estate = context.estate()
    except BadInput as error:
        if error.code != "no-inventory":
            raise
        click.echo(printable(error.message))
        click.echo(printable(with_estate(error.hint)))
        return
    pair = pair_state(estate).verdict
    hosts = [observe_host(estate, host) for host in estate.group("appserver")]
    newest = newest_run(estate.name)
    run = newest if newest and newest.open else None
    kept_off = [host.name for host in estate.group("appserver") if users_fence(estate, host) == "closed"]
    opened = open_incident(estate.name)
    proven = backup_record.last_ended_well(estate.name, "verify")
    following = _next(
        run.run_id if run else None,
        hosts,
        pair,
        kept_off,
        proven=not estate.group("verifier") or _young(proven, estate.config.backup.verify_hours),
        inspected=not schedule.inspection(estate).late(datetime.now(UTC)),
    )
    if context.json:
        serving = {host.name: host.serving for host in hosts}
        context.emit(
            {
                "estate": estate.name,
                "serving": serving,
                "pair": pair,
                "open_run": run.run_id if run else None,
                "incident": opened.incident if opened else None,
                "damaged_run": newest.run_id if newest and newest.damaged else None,
                "next": following or None,
            }
        )
        return
    context.console.print(printable(f"{estate.config.centre} ({estate.name})"))
    for host in hosts:
        context.console.print(f"  {host.name}: {_state(host)} ({host.reach.value})")
    context.console.print(_("  database pair: {verdict}").format(verdict=pair))
    if line := context.incident_line():
        context.console.print(f"  {line}")
    if run:
        context.console.print(_("  open run: {run}").format(run=run.run_id))
    elif newest and newest.damaged:
        context.console.print(_("  newest run: {damage}").format(damage=newest.damaged))
    context.console.print(_("Next: {command}").format(command=with_estate(following) or _("nothing to do")))


def _state(host: HostObservation) -> str:
    if host.serving is None:
        return _("not known whether it serves")
    return _("serves its applications") if host.serving else _("does not serve")


def _young(moment: datetime | None, hours: float) -> bool:
    return moment is not None and datetime.now(UTC) - moment < timedelta(hours=hours)


def _next(
    run: str | None,
    hosts: Sequence[HostObservation],
    pair: str,
    kept_off: Collection[str],
    *,
    proven: bool,
    inspected: bool = True,
) -> str:
    """The next command to type; "" where nothing has to be done. ``kept_off`` are the hosts that the users'
    fence closes, ``proven`` says whether the backups were shown to work lately, ``inspected`` that
    no inspection is overdue."""
    if run:
        return "rmc-dr resume"
    down = [host.name for host in hosts if not host.serving]
    if down and set(kept_off) >= {host.name for host in hosts} and pair not in ("split-brain", "diverged"):
        return "rmc-dr start"
    if pair != "healthy":
        return "rmc-dr db status"
    dead = [host.name for host in hosts if host.serving is False or host.reach == "silent"]
    if dead:
        return f"rmc-dr rebuild appserver {dead[0]} --plan"
    if down:
        return "rmc-dr verify appserver"
    if kept_off:
        return f"rmc-dr fence release {next(iter(kept_off))}"
    if not proven:
        return "rmc-dr backup status"
    return "" if inspected else "rmc-dr inspect"
