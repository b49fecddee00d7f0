"""`rmc-dr report monthly` and `rmc-dr report drill`: from the records of this machine, no host is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context, not_blank, pass_context
from rmc_dr.cli.publishing import give_out, publishing
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.drill_record import DrillResult
    from rmc_dr.report import Report


@click.command(
    help=_(
        "The monthly report for the telephone conference, from the records of this machine alone: "
        "it works in the office. Without --month: this month, up to now."
    )
)
@click.option("--month", metavar="YYYY-MM", callback=not_blank, help=_("The month, as in 2026-11."))
@publishing
@pass_context
def monthly(context: Context, /, month: str | None, **given: Any) -> int:
    from datetime import UTC, datetime

    from rmc_dr.report.month import Terms, gather, window
    from rmc_dr.report.monthly import build

    estate, now = context.estate(), datetime.now(UTC)
    config = estate.config
    terms = Terms(estate.name, config.centre, config.timezone, config.s3.lock_days, config.inspection.days)
    asked = window(month, config.timezone, now)
    return give_out(context, lambda: build(gather(terms, asked, now), now), with_data=True, **given)


@click.command(
    help=_(
        "The report of a drill: what it measured, against what is promised and the drills before. RUN is the "
        "drill's run, its time, a part of either, or `last`."
    )
)
@click.argument("run", default="last")
@publishing
@pass_context
def drill(context: Context, /, run: str, **given: Any) -> int:
    from datetime import UTC, datetime

    from rmc_dr.drill_record import results
    from rmc_dr.report.drill import Targets, build

    config, kept = context.estate().config, results()
    found = _drill(kept, run)
    promised = config.targets
    targets = Targets(config.centre, config.timezone, promised.rto_hours, promised.rpo_minutes)
    record, now = _run(found.run), datetime.now(UTC)
    return give_out(context, lambda: build(found, kept, record, targets, now), with_data=True, **given)


def _drill(kept: list[DrillResult], typed: str) -> DrillResult:
    """Raises BadInput where no drill fits, or several."""
    from rmc_dr.errors import BadInput
    from rmc_dr.names import fitting

    newest_first = list(reversed(kept))
    for name in ("run", "name"):
        names = [getattr(one, name) for one in newest_first]
        matches = fitting(
            typed, [one for one in names if one] if name == "run" and typed != "last" else names
        )
        if len(matches) == 1:
            return newest_first[names.index(matches[0])]
    raise BadInput(
        "unknown-drill",
        _("There is no drill {drill}, or several fit.").format(drill=typed[:80]),
        _("`rmc-dr drill history` lists them; give its time, its run, or `last`."),
    )


def _run(name: str) -> Report | None:
    """The record of what rmc-dr did; None where there is none any more that can be read."""
    from rmc_dr.errors import Error
    from rmc_dr.record import find, read
    from rmc_dr.report import build

    try:
        return build(read(find(name))) if name else None
    except Error:
        return None
