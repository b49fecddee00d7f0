"""`rmc-dr stop`, `start` and `restart`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import SKIP_PRESERVE_HELP, Context, a_reason, pass_context
from rmc_dr.cli.db_moves import JSON_HELP, PLAN_HELP, YES_HELP
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.service import Served

WRITES_HELP = _("Only the applications: nobody writes any more, the databases stay up.")


@click.command(
    help=_("Let the applications finish, keep the users out, then stop the standby and the primary.")
)
@click.option("--writes", is_flag=True, help=WRITES_HELP)
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def stop(
    context: Context,
    /,
    writes: bool,
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import service as story
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan

    context.json = as_json or context.json
    estate = context.estate()
    show_plan(context, story.plan_stop(estate, writes=writes))
    if not plan_only:
        confirm(estate.name, yes)
        done = story.stop(estate, listeners(context), writes=writes, skip_preserve=skip_preserve)
        _show(context, "stop", done)


@click.command(
    help=_("Start the voters and the pair, then the applications; prove them, then let the users in.")
)
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def start(context: Context, /, plan_only: bool, as_json: bool) -> None:
    from rmc_dr import service as story
    from rmc_dr.cli.rebuild import listeners, show_plan

    context.json = as_json or context.json
    estate = context.estate()
    show_plan(context, story.plan_start(estate))
    if not plan_only:
        _show(context, "start", story.start(estate, listeners(context)))


@click.command(help=_("Stop, then start again; refused at once where it could not start."))
@click.option("--writes", is_flag=True, help=WRITES_HELP)
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def restart(
    context: Context,
    /,
    writes: bool,
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import service as story
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan

    context.json = as_json or context.json
    estate = context.estate()
    show_plan(context, story.plan_restart(estate, writes=writes))
    if not plan_only:
        confirm(estate.name, yes)
        done = story.restart(estate, listeners(context), writes=writes, skip_preserve=skip_preserve)
        _show(context, "restart", done)


def _show(context: Context, event: str, done: Served) -> None:
    if context.json:
        context.emit_event(event, done)
        return
    for host, users in done.users.items():
        serves = _("serves its applications") if done.serving[host] else _("does not serve")
        kept = {"closed": _("users are kept out"), "open": _("users are let in")}.get(users, _("unknown"))
        context.console.print(f"{host}: {serves}, {kept}")
    context.console.print(_("Database pair: {verdict}").format(verdict=done.pair))
    if "closed" in done.users.values():
        context.console.print(_("Next: {command}").format(command="rmc-dr start"))
