"""`rmc-dr store check` and `store rewind`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, break_lock_option, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.model import Check
    from rmc_dr.store_rewind import Rewound


@click.group(help=_("Look at the object store that backups lie in, and undo what was done to it."))
def store() -> None:
    """Commands about the store."""


@store.command(help=_("Prove that the store answers, locks, and lets each key do what it may. 0: it does."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def check(context: Context, /, as_json: bool) -> int:
    from rmc_dr.store.check import check as prove

    estate = context.estate()
    checks = list(prove(estate))
    failed = [one for one in checks if not one.passed]
    if context.json or as_json:
        context.emit(
            {
                "endpoint": estate.config.s3.endpoint,
                "bucket": estate.config.s3.bucket,
                "checks": [asdict(one) for one in checks],
                "failed": len(failed),
            }
        )
    else:
        _show(context, checks, failed)
    return int(bool(failed))


@store.command(
    help=_("Bring the backups' objects back to what they were at a moment; nothing is deleted for it.")
)
@click.option(
    "--to",
    "moment",
    required=True,
    metavar="TIME",
    help=_("The last moment that is trusted, with its time zone."),
)
@click.option("--plan", "plan_only", is_flag=True, help=_("Print what would be done and change nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask (for automation)."))
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def rewind(
    context: Context, /, moment: str, plan_only: bool, yes: bool, break_lock: str | None, as_json: bool
) -> None:
    from datetime import UTC, datetime

    from rmc_dr import store_rewind as story
    from rmc_dr.cli.rebuild import confirm
    from rmc_dr.plans.moment import parse

    context.json = as_json or context.json
    estate = context.estate()
    to = parse(moment, estate.config.timezone, datetime.now(UTC))
    done = story.look(estate, to)
    if not plan_only:
        if not context.json:
            _show_rewound(context, done, _("To be done"))
        confirm(estate.config.s3.bucket, yes)
        done = story.rewind(estate, to, break_lock)
    if context.json:
        context.emit({"changed": not plan_only, **asdict(done)})
    else:
        _show_rewound(context, done, _("To be done") if plan_only else _("Done"))


def _show_rewound(context: Context, done: Rewound, heading: str) -> None:
    context.console.print(
        _("{heading}: {back} objects brought back, {hidden} newer ones hidden, {same} as they were.").format(
            heading=heading, back=done.back, hidden=done.hidden, same=done.same
        )
    )


def _show(context: Context, checks: list[Check], failed: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from rmc_dr.store.words import hint, title

    table = Table(box=None, show_header=False)
    for one in sorted(checks, key=lambda one: one.passed):
        mark = Text(_("passed"), "green") if one.passed else Text(_("failed"), "bold red")
        table.add_row(mark, title(one.name), Text(one.detail))
    context.console.print(table)
    endpoint = context.estate().config.s3.endpoint
    context.console.print(
        _("{passed} of {count} checks passed on {endpoint}.").format(
            passed=len(checks) - len(failed), count=len(checks), endpoint=endpoint
        ),
    )
    if failed:
        context.console.print(_("Next: {command}").format(command=hint(failed[0].name)))
