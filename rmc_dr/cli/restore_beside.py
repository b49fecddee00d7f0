"""What `rmc-dr restore` brings back beside production: a backup to look into, and one table out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, break_lock_option, pass_context, teller, with_estate
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.inspection import InspectionPlan
    from rmc_dr.observe.inspection import Inspection
    from rmc_dr.plans.moment import Moment


def inspect(
    context: Context,
    to: Moment,
    label: str | None,
    *,
    plan_only: bool,
    yes: bool,
    break_lock: str | None,
) -> None:
    """Bring the backup back on the verification host, and say what can be done with it."""
    from dataclasses import asdict, replace

    from rmc_dr import inspection as story
    from rmc_dr.cli.rebuild import confirm
    from rmc_dr.observe.backups import observe_lineage
    from rmc_dr.observe.repository import observe_store
    from rmc_dr.plans.restore_database import choose_backup, refuse_unarchived

    estate = context.estate()
    stored = replace(observe_store(estate), lineage=observe_lineage(estate))
    label = choose_backup(to, label, stored, beside=True)
    refuse_unarchived(to, stored)
    plan = story.make_plan(estate, to, label, stored)
    _show_plan(context, plan, plan_only)
    if plan_only:
        return
    if plan.replaces:
        confirm(plan.host, yes)
    stands = story.begin(estate, plan, teller(context), break_lock)
    if context.json:
        context.emit(asdict(stands))
        return
    console = context.console
    console.print(
        _("The database as of {moment} stands on {host}, for reading. Production was not touched.").format(
            moment=_spoken(stands.to), host=stands.host
        )
    )
    if stands.newest:
        newest = stands.newest.astimezone().isoformat(timespec="seconds")
        console.print(_("The newest write in it: {time}").format(time=newest))
    first = story.databases(estate)[0]
    for what, command in (
        (_("Look into it:"), f"rmc-dr restore psql {first}"),
        (_("Take a table back beside the living one:"), f"rmc-dr restore table {first}.public.TABLE"),
        (_("Remove it when you are done:"), "rmc-dr restore release"),
    ):
        console.print(f"{what}\n  {with_estate(command)}")


def _show_plan(context: Context, plan: InspectionPlan, plan_only: bool) -> None:
    from dataclasses import asdict

    from rmc_dr.words import size

    if context.json:
        if plan_only:
            document = {"host": plan.host, "to": str(plan.to), "backup": plan.label or None}
            replaces = asdict(plan.replaces) if plan.replaces else None
            context.emit({**document, "room_bytes": plan.room_bytes, "replaces": replaces})
        return
    context.console.print(
        _(
            "On {host}: the database as of {moment} comes back beside production; {room} of room are needed."
        ).format(host=plan.host, moment=_spoken(str(plan.to)), room=size(plan.room_bytes))
    )
    if plan.replaces:
        context.console.print(_("It replaces: {what}").format(what=describe(plan.replaces)))


def _spoken(moment: str) -> str:
    """A moment, or `latest`, by the centre's clock."""
    from datetime import datetime

    from rmc_dr.plans.moment import LATEST

    return moment if moment == LATEST else datetime.fromisoformat(moment).astimezone().isoformat(sep=" ")


def describe(seen: Inspection) -> str:
    """An inspected copy on one line."""
    from rmc_dr.words import size

    if seen.state == "broken":
        return _("{host}: an inspected copy that is not whole or does not run ({size})").format(
            host=seen.host, size=size(seen.bytes)
        )
    return _("{host}: the inspected copy as of {moment} ({size})").format(
        host=seen.host, moment=_spoken(seen.to), size=size(seen.bytes)
    )


@click.command(help=_("Look with psql into the backup that --inspect brought back; it takes no writes."))
@click.argument("database")
@pass_context
def psql(context: Context, /, database: str) -> int:
    from rmc_dr import inspection as story

    return int(story.look(context.estate(), database) != 0)


@click.command(
    help=_(
        "Take one table out of the inspected backup back to the primary, beside the living one.\n\n"
        "It is called TABLE_restored_YYYYMMDDHHMM there and holds the rows alone; nothing is written over."
    )
)
@click.argument("table", metavar="DATABASE.SCHEMA.TABLE")
@click.option("--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask for the host's name (for automation)."))
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def table(
    context: Context, /, table: str, plan_only: bool, yes: bool, break_lock: str | None, as_json: bool
) -> None:
    from dataclasses import asdict

    from rmc_dr import restore_table as story
    from rmc_dr.cli.rebuild import confirm

    context.json = as_json or context.json
    estate = context.estate()
    plan = story.make_plan(estate, table)
    if not context.json:
        context.console.print(
            _("{table} as of {moment} comes from {source} to {primary}, as {schema}.{new}.").format(
                table=plan.table,
                moment=_spoken(plan.to),
                source=plan.source,
                primary=plan.primary,
                schema=plan.table.schema,
                new=plan.new,
            )
        )
    if plan_only:
        if context.json:
            context.emit(asdict(plan))
        return
    confirm(plan.primary, yes)
    done = story.take_back(estate, plan, teller(context), break_lock)
    if context.json:
        context.emit(asdict(done))
        return
    name = f"{plan.table.schema}.{plan.new}"
    context.console.print(
        _("{count} rows are back in {name}. The living table was not touched.").format(
            count=done.rows, name=name
        )
    )
    context.console.print(
        _("Compare, and take rows over, as the superuser on {primary}; then: drop table {name};").format(
            primary=plan.primary, name=name
        )
    )
