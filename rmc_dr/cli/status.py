"""Bare `rmc-dr`: the state, an open run, the next command."""

from __future__ import annotations

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _


@click.command(hidden=True)
@pass_context
def status(context: Context) -> None:
    from rmc_dr.errors import BadInput
    from rmc_dr.fence import users_fence
    from rmc_dr.observe.hosts import observe_host
    from rmc_dr.rebuild import pair_state
    from rmc_dr.record import open_run

    try:
        estate = context.estate()
    except BadInput as error:
        if error.code != "no-inventory":
            raise
        click.echo(error.message)
        click.echo(error.hint)
        return
    pair = pair_state(estate).verdict
    hosts = [observe_host(estate, host) for host in estate.group("appserver")]
    run = open_run(estate.name)
    down = [host.name for host in hosts if not host.serving]
    stopped = bool(down) and all(users_fence(estate, host) == "closed" for host in estate.group("appserver"))
    following = _next(run.run_id if run else None, down, pair, stopped=stopped)
    if context.json:
        serving = {host.name: host.serving for host in hosts}
        context.emit(
            {
                "estate": estate.name,
                "serving": serving,
                "pair": pair,
                "open_run": run.run_id if run else None,
                "next": following,
            }
        )
        return
    context.console.print(f"{estate.config.centre} ({estate.name})")
    for host in hosts:
        state = _("serves its applications") if host.serving else _("does not serve")
        context.console.print(f"  {host.name}: {state} ({host.reach.value})")
    context.console.print(_("  database pair: {verdict}").format(verdict=pair))
    if run:
        context.console.print(_("  open run: {run}").format(run=run.run_id))
    context.console.print(_("Next: {command}").format(command=following))


def _next(run: str | None, down: list[str], pair: str, *, stopped: bool) -> str:
    if run:
        return "rmc-dr resume"
    if stopped and pair not in ("split-brain", "diverged"):
        return "rmc-dr start"
    if pair != "healthy":
        return "rmc-dr db status"
    return f"rmc-dr rebuild appserver {down[0]} --plan" if down else "rmc-dr verify"
