"""`rmc-dr check`: one look at everything, and the watch that looks again and again."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.check_page import Textfile, next_step, plain
from rmc_dr.cli.check_watch import watch
from rmc_dr.cli.common import Context, pass_context, with_estate
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rmc_dr.check.confirm import Rule
    from rmc_dr.check.findings import Finding
    from rmc_dr.check.seen import Seen
    from rmc_dr.estate import Estate

UNKNOWN = 3
STYLES = {"WARNING": "yellow", "CRITICAL": "red", "UNKNOWN": "magenta"}
RUNBOOK = "docs/runbooks/check.md"


@click.command(
    help=_(
        "Look at everything at once, and say what is wrong, the worst first. Nothing is changed.\n\n"
        "0: all is well; 1: something is not."
    )
)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@click.option(
    "--nagios",
    "as_line",
    is_flag=True,
    help=_("One line for monitoring; the exit code is 0 well, 1 warning, 2 critical, 3 unknown."),
)
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help=_("Write it for Prometheus' node exporter too."),
)
@click.option("--watch", "watching", is_flag=True, help=_("Look again and again; tell what is confirmed."))
@click.option(
    "--every",
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(1, 86400),
    help=_("How often --watch looks."),
)
@click.option(
    "--confirm",
    default="2/3",
    show_default=True,
    metavar="N/M",
    help=_("An alarm needs N of the last M looks of --watch."),
)
@click.option("--looks", type=click.IntRange(1), metavar="COUNT", help=_("End --watch after so many looks."))
@pass_context
def check(
    context: Context,
    /,
    as_json: bool,
    as_line: bool,
    textfile: Path | None,
    watching: bool,
    every: float,
    confirm: str,
    looks: int | None,
) -> int:
    context.json = as_json or context.json
    rule = _rule(confirm)
    if watching:
        return watch(context, rule, every, looks, Textfile(textfile))
    if as_line:
        return _line(context, Textfile(textfile))
    estate, seen, found = _look(context)
    written = Textfile(textfile).write(estate, seen, found)
    if context.json:
        _print_json(context, estate, seen, found)
    else:
        _print(context, estate, seen, found)
    return int(bool(found) or not written)


def _rule(confirm: str) -> Rule:
    from rmc_dr.check.confirm import Rule
    from rmc_dr.errors import BadInput

    numbers = re.fullmatch(r"([1-9][0-9]{0,2})/([1-9][0-9]{0,2})", confirm)
    try:
        if numbers:
            return Rule(int(numbers[1]), int(numbers[2]))
    except ValueError:
        pass
    raise BadInput(
        "confirm-rule",
        _("{confirm} is no N/M with N not above M.").format(confirm=confirm),
        _("For example --confirm 2/3: two of the last three looks."),
    )


def _look(context: Context) -> tuple[Estate, Seen, list[Finding]]:
    """Loads what the look needs while Ansible reads the inventory: each takes most of a second."""
    from concurrent.futures import ThreadPoolExecutor

    import rmc_dr.estate  # noqa: F401 (before the other thread begins: no two threads import)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(context.estate)
        from rmc_dr.check.judge import judge
        from rmc_dr.check.look import look

        estate = reading.result()
    seen = look(estate)
    return estate, seen, judge(seen, estate.config.check)


def _line(context: Context, textfile: Textfile) -> int:
    from rmc_dr.errors import Error

    try:
        estate, seen, found = _look(context)
    except (Error, OSError) as error:
        from rmc_dr.check.monitoring import unknown

        click.echo(unknown(str(error)))
        return UNKNOWN
    from rmc_dr.backups import level
    from rmc_dr.check.monitoring import nagios

    click.echo(nagios(found, seen.seconds))
    textfile.write(estate, seen, found)
    return int(level(found))


def _print_json(context: Context, estate: Estate, seen: Seen, found: Sequence[Finding]) -> None:
    from rmc_dr.backups import level

    context.emit(
        {
            "estate": estate.name,
            "level": level(found).name,
            "findings": [plain(seen, finding) for finding in found],
            "seen": asdict(seen),
        }
    )


def _print(context: Context, estate: Estate, seen: Seen, found: Sequence[Finding]) -> None:
    from rich.table import Table

    from rmc_dr.words import printable

    console = context.console
    if not found:
        console.print(
            _("All is well with {estate}: {hosts} hosts in {seconds:.1f} s.").format(
                estate=estate.name, hosts=len(seen.hosts), seconds=seen.seconds
            ),
            style="green",
        )
        return
    table = Table(box=None, pad_edge=False)
    for title in (_("level"), _("where"), _("code")):
        table.add_column(title, no_wrap=True)
    table.add_column(_("what was seen"), overflow="fold")
    from rich.text import Text

    words = {"WARNING": _("warning"), "CRITICAL": _("critical"), "UNKNOWN": _("unknown")}
    for one in found:
        table.add_row(
            Text(words[one.level.name], style=STYLES[one.level.name]),
            Text(one.host or one.area.value),
            Text(one.code),
            Text(printable(one.text)),
        )
    console.print(table)
    console.print(
        _("{count} findings on {hosts} hosts, in {seconds:.1f} s.").format(
            count=len(found), hosts=len(seen.hosts), seconds=seen.seconds
        )
    )
    command = next_step(seen, found[0])
    if command:
        console.print(_("Next: {command}").format(command=with_estate(command)))
    console.print(_("What {code} means and what to do: {page}").format(code=found[0].code, page=RUNBOOK))
