"""`rmc-dr db switchover`, `db failover` and `db reinit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import SKIP_PRESERVE_HELP, Context, a_reason, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.pair.moves import Failover, Loss

PLAN_HELP = _("Print what would be done and change nothing.")
YES_HELP = _("Do not ask for a name (for automation).")
JSON_HELP = _("Print the events of the run, then its result, as JSON lines.")


@click.command(help=_("Hand over from the primary to its synchronous standby; no write is lost."))
@click.option("--to", metavar="HOST", help=_("The standby that leads afterwards."))
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def switchover(
    context: Context,
    /,
    to: str | None,
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import db as story
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan

    context.json = as_json or context.json
    estate = context.estate()
    plan, move = story.decide_switchover(estate, to)
    show_plan(context, plan)
    if not context.json:
        context.console.print(
            _("{leader} hands over to {candidate}.").format(leader=move.leader, candidate=move.candidate)
        )
    if plan_only:
        return
    confirm(move.candidate, yes)
    done = story.switchover(estate, move.candidate, listeners(context), skip_preserve)
    if context.json:
        context.emit_event("switchover", done)
        return
    context.console.print(
        _("{host} is the primary; the pair is {verdict}.").format(host=done.primary, verdict=done.verdict)
    )
    if done.writes_down_seconds is None:
        context.console.print(_("How long writes were down could not be measured from here."))
    else:
        context.console.print(
            _(
                "Writes were down for {seconds:.2f} s: from the last small write that {before} confirmed "
                "to this machine to the first of {host}."
            ).format(seconds=done.writes_down_seconds, before=done.before, host=done.primary)
        )


@click.command(
    help=_("Promote a standby without its primary; says first what may be lost, and asks for --accept-loss.")
)
@click.option("--to", metavar="HOST", help=_("The standby that leads afterwards."))
@click.option("--accept-loss", is_flag=True, help=_("Go on although acknowledged writes may be lost."))
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def failover(
    context: Context,
    /,
    to: str | None,
    accept_loss: bool,
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import db as story
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan
    from rmc_dr.pair.moves import require_accepted

    context.json = as_json or context.json
    estate = context.estate()
    plan, move = story.decide_failover(estate, to)
    show_plan(context, plan)
    _show_move(context, move)
    if plan_only:
        return
    require_accepted(move, accept_loss)
    confirm(move.candidate, yes)
    done = story.failover(estate, move.candidate, accept_loss, listeners(context), skip_preserve)
    if context.json:
        context.emit_event("failover", done)
        return
    context.console.print(
        _("{host} is the primary; the pair is {verdict}.").format(host=done.primary, verdict=done.verdict)
    )
    context.console.print(_lost(done.loss))
    if not done.loss.proven_none:
        context.console.print(
            _(
                "{old} may hold writes that {host} lacks. If it returns it is not rewound: "
                "`rmc-dr db reinit {old}` puts its data aside and makes it anew."
            ).format(old=done.before, host=done.primary)
        )


@click.command(help=_("Make a standby anew from the primary. Its data is replaced by a copy."))
@click.argument("host")
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def reinit(
    context: Context,
    /,
    host: str,
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import db as story
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan

    context.json = as_json or context.json
    estate = context.estate()
    plan, _move = story.decide_reinit(estate, host)
    show_plan(context, plan)
    if plan_only:
        return
    confirm(host, yes)
    done = story.reinit(estate, host, listeners(context), skip_preserve)
    if context.json:
        context.emit_event("reinit", done)
        return
    context.console.print(
        _("{host} is a new copy of {primary}; the pair is {verdict}.").format(
            host=host, primary=done.primary, verdict=done.verdict
        )
    )
    if done.kept:
        context.console.print(
            _("Its old data lies in {path} on {host}. Compare it, then remove it.").format(
                path=done.kept, host=host
            )
        )


def _show_move(context: Context, move: Failover) -> None:
    if context.json:
        context.emit_event("move", move)
        return
    from rich.table import Table

    from rmc_dr.words import lsn

    loss = move.loss
    table = Table(box=None, show_header=False)
    for label, value in (
        (_("Leads afterwards"), move.candidate),
        (_("Last primary, by Patroni's word"), move.old),
        (_("Loses its power first"), ", ".join(move.isolate) or _("nobody")),
        (_("The standby holds everything up to"), lsn(loss.in_step_lsn)),
        (_("Its newest transaction"), loss.in_step_at and loss.in_step_at.isoformat(timespec="milliseconds")),
        (_("The primary last said it was at"), lsn(loss.leader_lsn)),
        (_("Both last seen in step"), loss.healthy_at and loss.healthy_at.isoformat(timespec="seconds")),
        (_("Missing WAL, at least"), None if loss.missing_bytes is None else f"{loss.missing_bytes} B"),
    ):
        table.add_row(label, _("unknown") if value is None else str(value))
    context.console.print(table)
    context.console.print(_lost(loss))


def _lost(loss: Loss) -> str:
    if loss.proven_none:
        return _("Acknowledged writes lost: 0, proven by the synchronous state that Patroni keeps in etcd.")
    return _("Acknowledged writes lost: unknown. This standby was not synchronous to the end.")
