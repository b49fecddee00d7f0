"""`rmc-dr runs`, `runs show`, `runs abandon` and `rmc-dr report`: what was done, from the records."""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, a_reason, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.record import RunSummary

JSON_HELP = _("Print JSON for machines.")


@click.group(invoke_without_command=True, help=_("List the runs, newest first."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.pass_context
def runs(ctx: click.Context, as_json: bool) -> None:
    context = ctx.ensure_object(Context)
    context.json = as_json or context.json
    if ctx.invoked_subcommand is None:
        _list(context)


@runs.command(help=_("Show what a run did, line by line. RUN is a name, a part of one, or `last`."))
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help=_("Print the journal's events as JSON lines."))
@pass_context
def show(context: Context, /, run: str, as_json: bool) -> None:
    from rich.text import Text

    from rmc_dr.record import RunState, find, read, to_line
    from rmc_dr.view import tell

    events = read(find(run))
    if as_json or context.json:
        for event in events:
            click.echo(to_line(event), nl=False)
        return
    state = RunState()
    for event in events:
        if line := tell(event, state):
            context.console.print(Text(line))
        state = state.after(event)


@runs.command(help=_("Close a run that will not be resumed. RUN is a name, a part of one, or `last`."))
@click.argument("run")
@click.option("--reason", required=True, callback=a_reason, help=_("Why it is given up; kept in its record."))
@pass_context
def abandon(context: Context, /, run: str, reason: str) -> None:
    from rmc_dr.errors import Refused
    from rmc_dr.record import Journal, RunState, find, local_lock, read

    path = find(run)
    state = RunState.of(read(path))
    if not state.open:
        raise Refused(
            "run-closed",
            _("The run {run} is closed already.").format(run=path.name),
            _("`rmc-dr report {run}` tells how it ended.").format(run=path.name),
        )
    with local_lock(state.estate, path.name), Journal.open(path.name) as journal:
        journal.append("run-abandoned", reason=reason, operator=getpass.getuser())
    context.console.print(_("The run {run} is given up.").format(run=path.name))
    if state.changed != "no":
        context.console.print(
            _("It had changed {target}; look at `rmc-dr fence status {target}` before users go on.").format(
                target=state.target
            )
        )


@click.command(help=_("Print the report of a run. RUN is a name, a part of one, or `last`."))
@click.argument("run", default="last")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help=_("Write one self-contained page to this file."),
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option("--lang", type=click.Choice(["en", "zh"]), help=_("The language of the report."))
@pass_context
def report(context: Context, /, run: str, html: Path | None, as_json: bool, lang: str | None) -> None:
    from rmc_dr.record import find, plain, read
    from rmc_dr.report import as_html, build, print_report

    if lang:
        os.environ["RMC_DR_LANG"] = lang
    made = build(read(find(run)))
    if html:
        _write(html, as_html(made))
        context.console.print(_("Written: {path}").format(path=html))
    elif as_json or context.json:
        context.emit({**plain(made), "within_target": made.within_target})
    else:
        print_report(made, context.console)


def _write(path: Path, text: str) -> None:
    from rmc_dr.errors import BadInput

    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(
            "cannot-write",
            _("{path} cannot be written: {error}.").format(path=path, error=error.strerror),
            _("Name a file in a folder that exists and has room."),
        ) from error


def _list(context: Context) -> None:
    from rich.text import Text

    from rmc_dr import record

    found = list(record.runs())
    if context.json:
        over = record.superseded(found)
        context.emit([_as_json(run, run.open and run.run_id not in over) for run in found])
    elif not found:
        context.console.print(_("There are no runs yet."))
    else:
        for line in _lines(found, record.superseded(found)):
            context.console.print(Text(line))


def _as_json(run: RunSummary, is_open: bool) -> dict[str, object]:
    state = run.state
    return {
        "run": run.run_id,
        "estate": state.estate,
        "plan": state.plan,
        "target": state.target,
        "started": state.started.isoformat() if state.started else None,
        "outcome": state.outcome,
        "open": is_open,
        "rto_seconds": state.rto_seconds,
        "damaged": run.damaged or None,
    }


def _lines(found: list[RunSummary], superseded: Collection[str]) -> list[str]:
    from rich.cells import cell_len

    from rmc_dr.words import duration, outcome_word, printable

    rows = [(_("RUN"), _("TARGET"), _("TOOK"), _("OUTCOME"))]
    for run in found:
        outcome = _("damaged") if run.damaged else outcome_word(run.state.outcome)
        if run.open:
            outcome += " " + (_("(superseded)") if run.run_id in superseded else _("(open: rmc-dr resume)"))
        rows.append((run.run_id, printable(run.state.target), duration(run.state.elapsed_seconds), outcome))
    widths = [max(cell_len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join(text + " " * (width - cell_len(text)) for text, width in zip(row[:3], widths, strict=True))
        + f"  {row[3]}"
        for row in rows
    ]
