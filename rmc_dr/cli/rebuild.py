"""`rmc-dr rebuild` and `rmc-dr resume`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from rmc_dr.cli.common import (
    SKIP_PRESERVE_HELP,
    Context,
    a_reason,
    break_lock_option,
    host_names,
    pass_context,
)
from rmc_dr.i18n import _


@click.group(help=_("Rebuild a failed server from the recovery kit."))
def rebuild() -> None:
    """Plans that rebuild; `rmc-dr rebuild --help` lists them."""


Command = Callable[..., None]
EXPIRED_HELP = _("Use an expired kit; the reason is recorded.")


REPLACE_HELP = _("Rebuild this host although it is healthy.")
WITHOUT_FILES_HELP = _("Go on without attachments from the backup; the reason is recorded.")
_replace_healthy = click.option(
    "--replace-healthy", metavar="HOSTNAME", callback=host_names, help=REPLACE_HELP
)
_replace_healthy_each = click.option(
    "--replace-healthy",
    metavar="HOSTNAME",
    callback=host_names,
    multiple=True,
    help=_("Rebuild although this host is healthy; may be repeated, for each such host."),
)
_without_files = click.option("--without-files", metavar="REASON", callback=a_reason, help=WITHOUT_FILES_HELP)


def _options(command: Command) -> Command:
    """What every rebuild asks."""
    for option in reversed(
        (
            click.option(
                "--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing.")
            ),
            click.option("--yes", is_flag=True, help=_("Do not ask (for automation).")),
            click.option("--accept-expired-kit", metavar="REASON", callback=a_reason, help=EXPIRED_HELP),
            click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP),
            break_lock_option,
            click.option(
                "--json",
                "as_json",
                is_flag=True,
                help=_("Print the plan, or the events of the run, as JSON."),
            ),
        )
    ):
        command = option(command)
    return command


@rebuild.command(help=_("Reinstall the application server, bring its applications back, and prove it."))
@click.argument("host", required=False)
@click.option(
    "--wipe-data",
    is_flag=True,
    help=_("Format the data partition as well; attachments come back from the backup."),
)
@click.option(
    "--fence-method",
    type=click.Choice(["rescue", "credential"]),
    help=_("How the old machine is fenced: its power, or its database credentials (replaced hardware)."),
)
@_without_files
@_replace_healthy
@_options
@pass_context
def appserver(context: Context, /, host: str | None, **options: Any) -> None:
    target = context.estate().only("appserver").name if host is None else host
    rebuild_by_plan(context, "rebuild-appserver", target, **options)


@rebuild.command(
    help=_("Reinstall a database host and make it a replicating standby, while the other one leads.")
)
@click.argument("host")
@click.option(
    "--wipe-data",
    is_flag=True,
    help=_("Format the data partition as well: the database is copied anew from the primary."),
)
@_replace_healthy
@_options
@pass_context
def dbserver(context: Context, /, host: str, **options: Any) -> None:
    rebuild_by_plan(context, "rebuild-dbserver", host, **options)


@rebuild.command(help=_("Reinstall the verification host, its data partition included, and prove it."))
@click.argument("host")
@_replace_healthy
@_options
@pass_context
def verifier(context: Context, /, host: str, **options: Any) -> None:
    rebuild_by_plan(context, "rebuild-verifier", host, **options)


@rebuild.command(
    help=_(
        "Reinstall every database host and application server; bring all data back from the store. The "
        "verification host follows, once users are let in, unless it lives."
    )
)
@_without_files
@_replace_healthy_each
@_options
@pass_context
def estate(context: Context, /, **options: Any) -> None:
    _rebuild_many(context, "rebuild-estate", **options)


@rebuild.command(
    help=_("Reinstall both database hosts and bring the database back from the store; the applications live.")
)
@_replace_healthy_each
@_options
@pass_context
def pair(context: Context, /, **options: Any) -> None:
    _rebuild_many(context, "rebuild-pair", **options)


def _rebuild_many(context: Context, plan_name: str, replace_healthy: tuple[str, ...], **options: Any) -> None:
    options["replace_healthy"] = ",".join(replace_healthy)
    rebuild_by_plan(context, plan_name, context.estate().name, **options)


def rebuild_by_plan(
    context: Context, plan_name: str, target: str, plan_only: bool, yes: bool, as_json: bool, **options: Any
) -> None:
    from rmc_dr import rebuild as story
    from rmc_dr.model import Request

    context.json = as_json or context.json
    estate = context.estate()
    request = Request(plan_name, target, {key: value for key, value in options.items() if value})
    plan = story.make_plan(estate, request)
    show_plan(context, plan)
    _show_verifier(context, request)
    if plan_only:
        story.prove_kit(estate, request)
        return
    confirm(target, yes)
    run_id = story.start(estate, plan, request, listeners(context))
    _say_recovered(context, run_id)
    _rebuild_verifier_after(context, request)


def _show_verifier(context: Context, request: Any) -> None:
    """Print the plan of the verification host behind the estate's; a refusal is only told."""
    from rmc_dr import rebuild as story
    from rmc_dr.errors import Error

    try:
        found = story.plan_verifier(context.estate(), request)
    except Error as error:
        if context.json:
            click.echo(
                _json_line({"event": "verifier-refused", "error": error.code, "message": error.message})
            )
        else:
            said = _("The verification host would not be rebuilt: {reason}").format(reason=error.message)
            context.console.print(f"{said}\n  {error.hint}")
        return
    if found:
        if not context.json:
            context.console.print(_("Then, with the users at work, the verification host:"))
        show_plan(context, found[0])


def _rebuild_verifier_after(context: Context, before: Any) -> None:
    from rmc_dr import rebuild as story

    run_id = story.start_verifier(context.estate(), before, listeners(context))
    if run_id is not None:
        _say_recovered(context, run_id)


@click.command(help=_("Look again and finish the estate's open run."))
@break_lock_option
@click.option("--accept-expired-kit", metavar="REASON", callback=a_reason, help=EXPIRED_HELP)
@_without_files
@click.option("--json", "as_json", is_flag=True, help=_("Print the events of the run as JSON lines."))
@pass_context
def resume(
    context: Context,
    /,
    break_lock: str | None,
    accept_expired_kit: str | None,
    without_files: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import rebuild as story

    context.json = as_json or context.json
    run_id = story.resume(context.estate(), listeners(context), break_lock, accept_expired_kit, without_files)
    _say_recovered(context, run_id)
    given = {"break_lock": break_lock, "accept_expired_kit": accept_expired_kit}
    before = story.request_of(run_id, {key: value for key, value in given.items() if value})
    _rebuild_verifier_after(context, before)


def listeners(context: Context) -> list[Any]:
    from rmc_dr.incident.words import open_line
    from rmc_dr.view import View

    return [View(context.console, as_json=context.json, above=open_line).update]


def show_plan(context: Context, plan: Any) -> None:
    """Print the stages of a plan, their budgets, and what they destroy."""
    from dataclasses import asdict

    rto_hours = context.estate().config.targets.rto_hours
    if context.json:
        document = {**asdict(plan), "budget_minutes": plan.budget_minutes, "rto_hours": rto_hours}
        click.echo(_json_line({"event": "plan", **document}))
        return
    from rich.table import Table

    from rmc_dr.words import stage_title

    table = Table("#", _("Stage"), _("Hosts"), _("Budget"), _("Destroys"), box=None, title_justify="left")
    for number, stage in enumerate(plan.stages, 1):
        what = "\n".join(plan.destroys) if stage.destructive else ""
        budget = _("{n:g} min").format(n=stage.budget_minutes)
        table.add_row(str(number), stage_title(stage.name), ", ".join(stage.hosts), budget, what)
    context.console.print(table)
    for line in plan.restores:
        context.console.print(line)
    context.console.print(
        _("Forecast: at most {minutes:g} min of the {hours:g} h that the contract allows.").format(
            minutes=plan.budget_minutes, hours=rto_hours
        )
    )


def _json_line(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document, ensure_ascii=False, default=str)


def confirm(target: str, yes: bool) -> None:
    """Let the operator type the target's name. Raises BadInput unless it is that name, or ``yes``."""
    if yes:
        return
    from rmc_dr.errors import BadInput

    if not sys.stdin.isatty():
        raise BadInput(
            "not-confirmed",
            _("There is no terminal to confirm on."),
            _("Add --yes where a script decides."),
        )
    typed = click.prompt(_("Type {name} to begin").format(name=target), default="")
    if typed.strip() != target:
        raise BadInput(
            "not-confirmed",
            _("{typed} is not {host}; nothing was changed.").format(typed=typed, host=target),
            _("Run the command again and type the name exactly."),
        )


def _say_recovered(context: Context, run_id: str) -> None:
    if context.json:
        return
    from rmc_dr.record import RunState, find, read

    state = RunState.of(read(find(run_id)))
    minutes = (state.rto_seconds or 0) / 60
    context.console.print(
        _("{target} is recovered and proven. RTO {minutes:.1f} min. Report: rmc-dr report run {run}").format(
            target=state.target, minutes=minutes, run=run_id
        )
    )
    if state.plan == "rebuild-verifier":
        context.console.print(
            _("Its work: `rmc-dr backup verify`, tonight by its timer: `rmc-dr schedule status`.")
        )
