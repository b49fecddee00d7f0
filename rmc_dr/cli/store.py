"""`rmc-dr store check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.model import Check


@click.group(help=_("Look at the object store that backups lie in."))
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
        markup=False,
    )
    if failed:
        context.console.print(_("Next: {command}").format(command=hint(failed[0].name)), markup=False)
