"""`rmc-dr restore`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import SKIP_PRESERVE_HELP, Context, a_reason, break_lock_option, pass_context
from rmc_dr.cli.rebuild import EXPIRED_HELP
from rmc_dr.cli.restore_beside import psql, table
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.restore_files import FilesPlan


@click.group(help=_("Bring data back from the backups."))
def restore() -> None:
    """What is overwritten has a safety copy first, and the plan says what will be lost."""


restore.add_command(psql)
restore.add_command(table)


@restore.command(help=_("Bring the pair's database back to a moment, and make the pair whole again."))
@click.option(
    "--to",
    "moment",
    default="latest",
    show_default=True,
    metavar="TIME|latest",
    help=_("The last moment whose writes are wanted, with its time zone."),
)
@click.option("--backup", "label", metavar="LABEL", help=_("Start from this backup."))
@click.option(
    "--inspect",
    "only_inspect",
    is_flag=True,
    help=_("Beside production, on the verification host, to look into it and take a table back."),
)
@click.option("--on", "host", metavar="HOST", help=_("The host to restore on, where none takes writes."))
@click.option("--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask for the host's name (for automation)."))
@click.option("--accept-expired-kit", metavar="REASON", callback=a_reason, help=EXPIRED_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option(
    "--unprotected",
    metavar="REASON",
    callback=a_reason,
    help=_("Leave the other host stopped, as the safety copy, where it has no room; the reason is recorded."),
)
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print the plan, or the events of the run, as JSON."))
@pass_context
def database(
    context: Context,
    /,
    moment: str,
    label: str | None,
    only_inspect: bool,
    host: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    from datetime import UTC, datetime

    from rmc_dr.cli.rebuild import rebuild_by_plan
    from rmc_dr.cli.restore_beside import inspect
    from rmc_dr.plans.moment import parse
    from rmc_dr.plans.restore_database import refuse_given_up
    from rmc_dr.rebuild import given_up

    if only_inspect:
        _refuse_what_inspects_nothing(host, **options)
    estate = context.estate()
    to = parse(moment, estate.config.timezone, datetime.now(UTC))
    refuse_given_up(to, given_up(estate))
    if only_inspect:
        context.json = as_json or context.json
        chosen = {name: options[name] for name in ("plan_only", "yes", "break_lock")}
        inspect(context, to, label, **chosen)
        return
    target = _primary(context) if host is None else host
    rebuild_by_plan(
        context,
        "restore-database",
        target,
        as_json=as_json,
        restore_on=target,
        restore_to=str(to),
        restore_set=label,
        **options,
    )


def _refuse_what_inspects_nothing(
    host: str | None, accept_expired_kit: str | None, unprotected: str | None, **_others: Any
) -> None:
    from rmc_dr.errors import BadInput

    if host or accept_expired_kit or unprotected:
        raise BadInput(
            "inspect-what",
            _("--on, --unprotected and --accept-expired-kit have no meaning with --inspect."),
            _("An inspection always stands on the verification host, and needs no kit."),
        )


@restore.command(help=_("Bring attachments back; what they replace is kept beside."))
@click.option(
    "--to",
    "moment",
    default="latest",
    show_default=True,
    metavar="TIME|latest",
    help=_("The newest snapshot that is not younger than this, with its time zone."),
)
@click.option(
    "--path", "paths", multiple=True, metavar="PATH", help=_("Only this file or folder; may be repeated.")
)
@click.option("--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask (for automation)."))
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def files(
    context: Context,
    /,
    moment: str,
    paths: tuple[str, ...],
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    break_lock: str | None,
    as_json: bool,
) -> None:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from rmc_dr.cli.rebuild import confirm, listeners
    from rmc_dr.plans.moment import parse
    from rmc_dr.restore_files import plan_files, restore_files

    context.json = as_json or context.json
    estate = context.estate()
    to = parse(moment, estate.config.timezone, datetime.now(UTC))
    plans = plan_files(estate, to, paths)
    if plan_only or not context.json:
        _show_files(context, plans, paths)
    if plan_only:
        return
    confirm(",".join(host.name for host in estate.group("appserver")), yes)
    told = [] if context.json else listeners(context)
    done = restore_files(estate, to, paths, told, break_lock, skip_preserve)
    if context.json:
        context.emit([asdict(host) for host in done])
        return
    for host in done:
        context.console.print(
            _(
                "{host}: {restored} files brought back, {replaced} replaced, {same} as they were; snapshot "
                "{snapshot} of {taken}."
            ).format(**asdict(host))
        )
        if host.aside:
            context.console.print(_("What was replaced lies in {path}.").format(path=host.aside))


def _show_files(context: Context, plans: Sequence[FilesPlan], paths: Sequence[str]) -> None:
    from dataclasses import asdict

    from rmc_dr.words import size, spoken_duration

    if context.json:
        context.emit([{**asdict(plan), "paths": paths} for plan in plans])
        return
    for plan in plans:
        context.console.print(
            _("{host}: from snapshot {snapshot} of {taken}, which holds {files} files, {size}.").format(
                host=plan.host,
                snapshot=plan.snapshot,
                taken=plan.taken.astimezone().strftime("%Y-%m-%d %H:%M %z"),
                files=plan.files,
                size=size(plan.bytes),
            ),
        )
        context.console.print(
            _(
                "To fetch all of it should take about {time}, at the speed that the verification of {at} "
                "measured."
            ).format(
                time=spoken_duration(plan.seconds),
                at=plan.measured.astimezone().strftime("%Y-%m-%d %H:%M %z"),
            )
            if plan.measured
            else _("How long it takes is unknown: no verification has measured it."),
        )
    if paths:
        context.console.print(
            _("Of it only: {paths}; how many files that is, is not known yet.").format(
                paths=", ".join(paths)
            ),
        )
    context.console.print(
        _("How many are missing or differ is unknown until they are compared; what differs is kept beside.")
    )
    context.console.print(
        _(
            "Users work on while it is fetched, and while missing files come back; only where a file differs "
            "the applications are stopped until it is replaced."
        )
    )


@restore.command(
    help=_(
        "List the safety copies of earlier restores and the inspected copy; remove them once you are sure."
    )
)
@click.option("--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask (for automation)."))
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def release(context: Context, /, plan_only: bool, yes: bool, break_lock: str | None, as_json: bool) -> None:
    from dataclasses import asdict

    from rmc_dr import inspection, safety_copies
    from rmc_dr.cli.rebuild import confirm
    from rmc_dr.cli.restore_beside import describe
    from rmc_dr.observe.inspection import observe_inspection
    from rmc_dr.words import size

    context.json = as_json or context.json
    estate = context.estate()
    copies = safety_copies.safety_copies(estate, _silent)
    side = observe_inspection(estate)
    stands = side is not None and side.state in ("stands", "broken")
    if not context.json:
        for copy in copies:
            context.console.print(f"  {copy.host}: {copy.path} ({size(copy.bytes)})")
        if side and stands:
            context.console.print(f"  {describe(side)}")
        elif side and side.state == "unknown":
            context.console.print(_("Unknown: {what}: {said}").format(what=side.host, said=side.detail))
    count = len(copies) + stands
    if count and not plan_only:
        confirm(estate.name, yes)
        if copies:
            copies = safety_copies.release(estate, _silent, break_lock)
        if stands:
            inspection.release(estate, _silent, break_lock)
    if context.json:
        released = {"released": not plan_only, "copies": [asdict(copy) for copy in copies]}
        context.emit({**released, "inspection": asdict(side) if side else None})
    elif not count:
        context.console.print(_("There is no safety copy."))
    elif not plan_only:
        context.console.print(_("Removed: {count}.").format(count=count))


def _silent(*_event: object, **_fields: object) -> None:
    """For playbooks that take a moment and are not followed."""


def _primary(context: Context) -> str:
    from rmc_dr.errors import Refused
    from rmc_dr.rebuild import pair_state

    pair = pair_state(context.estate())
    if pair.primary is None:
        raise Refused(
            "no-primary",
            _("No single host of the pair takes writes (it is: {verdict}).").format(verdict=pair.verdict),
            _("Look with `rmc-dr db status`, then name the host to restore on: --on HOST."),
        )
    return pair.primary
