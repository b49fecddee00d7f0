"""`rmc-dr restore`."""

from __future__ import annotations

from typing import Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _


@click.group(help=_("Bring data back from the backups."))
def restore() -> None:
    """What is overwritten has a safety copy first, and the plan says what will be lost."""


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
@click.option("--on", "host", metavar="HOST", help=_("The host to restore on, where none takes writes."))
@click.option("--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask for the host's name (for automation)."))
@click.option("--break-lock", metavar="RUN", help=_("Take the host from another run, named in full."))
@click.option("--json", "as_json", is_flag=True, help=_("Print the plan, or the events of the run, as JSON."))
@pass_context
def database(
    context: Context, /, moment: str, label: str | None, host: str | None, as_json: bool, **options: Any
) -> None:
    from datetime import UTC, datetime

    from rmc_dr.cli.rebuild import rebuild_by_plan
    from rmc_dr.plans.moment import parse

    zone = context.estate().config.timezone
    to = parse(moment, zone, datetime.now(UTC))
    target = host or _primary(context)
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
