"""`rmc-dr drill`: only ever against the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from rmc_dr.drill.rehearsal import Disaster
    from rmc_dr.drill_record import DrillResult
    from rmc_dr.estate import Estate

JSON_HELP = _("Print the events, then the result, as JSON lines.")


@click.group(help=_("Rehearse a recovery in the lab and measure it."))
def drill() -> None:
    """Drills take no inventory but the lab's."""


@drill.command(help=_("Break the application server under load, rebuild it, and print what it cost."))
@click.option(
    "--how",
    type=click.Choice(["disk", "os", "process", "off"]),
    default="disk",
    show_default=True,
    help=_("What is broken."),
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def appserver(context: Context, /, how: str, as_json: bool) -> int:
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.drill.appserver import LostAppserver

    return _rehearse(context, as_json, lambda estate, _say: LostAppserver(estate, how, listeners(context)))


@drill.command(help=_("Lose the primary under load, let Patroni replace it, and print what it cost."))
@click.option(
    "--how",
    type=click.Choice(["off", "postgres", "switchover"]),
    default="off",
    show_default=True,
    help=_("What happens to it: its host loses power, its PostgreSQL is killed, or it hands over."),
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def primary(context: Context, /, how: str, as_json: bool) -> int:
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.drill.primary import LostPrimary

    return _rehearse(context, as_json, lambda estate, say: LostPrimary(estate, how, say, listeners(context)))


@drill.command(help=_("Destroy a database host's disk under load, rebuild it, and print what it cost."))
@click.option(
    "--role",
    type=click.Choice(["standby", "primary"]),
    default="standby",
    show_default=True,
    help=_("Which host is lost."),
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def dbserver(context: Context, /, role: str, as_json: bool) -> int:
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.drill.dbserver import LostDbserver

    return _rehearse(context, as_json, lambda estate, _say: LostDbserver(estate, role, listeners(context)))


@drill.command(help=_("Destroy both database hosts' disks under load, bring the pair back from the store."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def pair(context: Context, /, as_json: bool) -> int:
    return _lose_hosts(context, "pair", as_json)


@drill.command(help=_("Destroy every disk but the store's under load, bring all back from kit and store."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def estate(context: Context, /, as_json: bool) -> int:
    return _lose_hosts(context, "estate", as_json)


@drill.command(help=_("Delete rows under load, restore to just before it, and count what that gives up."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def slip(context: Context, /, as_json: bool) -> int:
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.drill.slip import Slip

    return _rehearse(context, as_json, lambda estate, say: Slip(estate, say, listeners(context)))


@drill.command(help=_("Spoil every backup with the writer's key, lose both database hosts, get all back."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def ransom(context: Context, /, as_json: bool) -> int:
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.drill.ransom import Ransom

    return _rehearse(context, as_json, lambda estate, say: Ransom(estate, say, listeners(context)))


def _lose_hosts(context: Context, name: str, as_json: bool) -> int:
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.drill.lost_hosts import LostHosts

    return _rehearse(context, as_json, lambda estate, say: LostHosts(estate, name, say, listeners(context)))


@drill.command(help=_("Show what every drill on this machine has measured, and how it goes."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def history(context: Context, /, as_json: bool) -> None:
    from dataclasses import asdict

    from rmc_dr.drill_record import results, trend

    kept = results()
    ratios = trend(kept)
    if as_json or context.json:
        context.emit([{**asdict(one), "trend": ratio} for one, ratio in zip(kept, ratios, strict=True)])
        return
    if not kept:
        context.console.print(_("No drill has ended on this machine yet."))
        return
    from rich.table import Table

    table = Table(
        _("When (UTC)"), _("Drill"), _("Broken"), "RTO", "RPO",
        _("Outage"), _("Lost"), _("Duplicated"), _("Trend"),
        box=None,
    )  # fmt: skip
    for one, ratio in zip(kept, ratios, strict=True):
        table.add_row(
            one.at,
            one.drill,
            one.broke,
            _("{minutes:.2f} min").format(minutes=one.rto_minutes),
            _("{seconds:.0f} s").format(seconds=one.rpo_seconds),
            _("{seconds:.0f} s").format(seconds=one.outage_seconds),
            str(one.lost + one.attachments_missing),
            str(one.duplicated),
            "-" if ratio is None else f"{100 * (ratio - 1):+.0f} %",
        )
    context.console.print(table)
    context.console.print(_("Trend: the RTO against the median of the earlier drills of the same kind."))


def _rehearse(
    context: Context, as_json: bool, disaster: Callable[[Estate, Callable[[str], None]], Disaster]
) -> int:
    import json
    from dataclasses import asdict

    from rmc_dr.cli.lab import lab_estate
    from rmc_dr.drill.rehearsal import rehearse
    from rmc_dr.lab import up

    context.json = as_json or context.json
    say: Any = (lambda _text: None) if context.json else context.console.print
    estate = up.up(lab_estate(context), say)
    result = rehearse(estate, disaster(estate, say), say)
    if context.json:
        click.echo(json.dumps({"event": "drill", **asdict(result)}))
    else:
        _show(context, result)
    return 0 if result.passed else 1


def _show(context: Context, result: DrillResult) -> None:
    from rich.table import Table

    from rmc_dr.words import drill_part

    table = Table(box=None, show_header=False)
    for label, value in (
        (_("RTO, measured"), _("{minutes:.2f} min").format(minutes=result.rto_minutes)),
        (_("RPO, measured"), _("{seconds:.0f} s").format(seconds=result.rpo_seconds)),
        (_("Outage as the users saw it"), _("{seconds:.0f} s").format(seconds=result.outage_seconds)),
        *((f"  {drill_part(name)}", _seconds(part)) for name, part in result.split.items()),
        (_("Acknowledged before the break"), result.acknowledged_before_break),
        (_("Acknowledged in all"), result.acknowledged),
        (_("Unknown (sent, not answered)"), result.unknown),
        (_("Present"), result.present),
        (_("Lost"), result.lost),
        (_("  of these after what any backup could hold, or by choice"), result.lost_allowed),
        (_("Duplicated"), result.duplicated),
        (_("Attachments acknowledged"), result.attachments_acknowledged),
        (_("Attachments missing"), result.attachments_missing),
        (_("  of these after what any backup could hold, or by choice"), result.attachments_allowed),
    ):
        table.add_row(label, str(value))
    context.console.print(table)
    if result.run:
        context.console.print(_("Report: rmc-dr report run {run}").format(run=result.run))


def _seconds(part: float | None) -> str:
    return _("could not be told") if part is None else _("{seconds:.1f} s").format(seconds=part)
