"""`rmc-dr runs`, `runs show` and `runs abandon`: what was done, from the records."""

from __future__ import annotations

import getpass
from collections.abc import Collection
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
            _("`rmc-dr report run {run}` tells how it ended.").format(run=path.name),
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
