"""`rmc-dr incident report` and `rmc-dr incident progress`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.cli.publishing import give_out, publishing
from rmc_dr.i18n import _


@click.command(
    help=_(
        "The incident report: HTML, PDF and JSON from the journal, archived under the store's lock. INCIDENT "
        "is a name, a part of one, or `last`. 0: archived; 1: made, but not archived."
    )
)
@click.argument("incident", default="last")
@publishing
@pass_context
def report(context: Context, /, incident: str, **options: Any) -> int:
    from rmc_dr.publish import facts, incident_report

    known = facts.gather(context.estate(), incident)
    return give_out(context, lambda: incident_report.build(known), incident=known.state.incident, **options)


@click.command(
    help=_(
        "The progress report of a fault that lasts: one page for hospital and project team. INCIDENT is a "
        "name, a part of one, or `last`. 0: archived; 1: made, but not archived."
    )
)
@click.argument("incident", default="last")
@click.option(
    "--next-in",
    "minutes",
    metavar="MINUTES",
    type=click.IntRange(1, 7 * 24 * 60),
    help=_("In how many minutes the next report comes; it stands in this one."),
)
@publishing
@pass_context
def progress(context: Context, /, incident: str, minutes: int | None, **options: Any) -> int:
    from rmc_dr.publish import facts, progress_report

    known = facts.gather(context.estate(), incident)
    when = datetime.now(UTC) + timedelta(minutes=minutes) if minutes else None
    return give_out(
        context,
        lambda: progress_report.on_one_page(known, when),
        incident=known.state.incident,
        said={"next_report": when} if when else {},
        **options,
    )
