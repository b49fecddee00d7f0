"""`rmc-dr drill`: only ever against the lab."""

from __future__ import annotations

from typing import Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _


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
@click.option("--json", "as_json", is_flag=True, help=_("Print the events, then the result, as JSON lines."))
@pass_context
def appserver(context: Context, /, how: str, as_json: bool) -> int:
    import json
    from dataclasses import asdict

    from rmc_dr import drill as story
    from rmc_dr.cli.lab import lab_estate
    from rmc_dr.cli.rebuild import listeners
    from rmc_dr.lab import up

    context.json = as_json or context.json
    say: Any = (lambda _text: None) if context.json else context.console.print
    estate = up.up(lab_estate(context), say)
    result = story.appserver(estate, how, say, listeners(context))
    if context.json:
        click.echo(json.dumps({"event": "drill", **asdict(result)}))
    else:
        _show(context, result)
    return 0 if result.lossless else 1


def _show(context: Context, result: Any) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for label, value in (
        (_("RTO, measured"), _("{minutes:.2f} min").format(minutes=result.rto_minutes)),
        (_("Outage as the users saw it"), _("{seconds:.0f} s").format(seconds=result.outage_seconds)),
        (_("Acknowledged before the break"), result.acknowledged_before_break),
        (_("Acknowledged in all"), result.acknowledged),
        (_("Unknown (sent, not answered)"), result.unknown),
        (_("Present"), result.present),
        (_("Lost"), result.lost),
        (_("Duplicated"), result.duplicated),
        (_("Attachments acknowledged"), result.attachments_acknowledged),
        (_("Attachments missing"), result.attachments_missing),
    ):
        table.add_row(label, str(value))
    context.console.print(table)
    context.console.print(_("Report: rmc-dr report {run}").format(run=result.run))
