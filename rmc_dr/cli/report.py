"""`rmc-dr report`: a run's report, and the reports that were given out: list, open, archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.cli.publishing import a_folder, as_json_option, language, spoken
from rmc_dr.cli.report_regular import drill, monthly
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.publish.shelf import Entry


@click.group(help=_("Print the report of a run; list, open and archive the reports that were given out."))
def report() -> None:
    """The commands below, and those of report_regular."""


report.add_command(monthly)
report.add_command(drill)


@report.command(help=_("Print the report of a run. RUN is a name, a part of one, or `last`."))
@click.argument("run", default="last")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help=_("Write one self-contained page to this file."),
)
@as_json_option
@language
@pass_context
def run(context: Context, /, run: str, html: Path | None, as_json: bool, lang: str | None) -> None:
    from rmc_dr.record import find, plain, read
    from rmc_dr.report import as_html, build, print_report

    made = build(read(find(run)))
    with spoken(lang):
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


@report.command(name="list", help=_("Every report of the estate, here and in the store, newest first."))
@as_json_option
@pass_context
def list_(context: Context, /, as_json: bool) -> None:
    from rmc_dr.publish.story import all_known
    from rmc_dr.record import plain

    context.json = as_json or context.json
    found, silent = all_known(context.estate())
    if context.json:
        rows = [
            {**plain(one), "archived": one.archived, "locked_until": one.locked_until}
            for one in found.values()
        ]
        context.emit({"reports": rows, "store": silent or None})
        return
    if found:
        _print(context, list(found.values()))
    else:
        context.console.print(_("No report was given out yet."))
    if silent:
        context.console.print(silent, style="yellow")


def _print(context: Context, found: list[Entry]) -> None:
    from rich.table import Table
    from rich.text import Text

    from rmc_dr.console import name_column
    from rmc_dr.words import printable

    table = Table(
        name_column("ID"),
        _("Title"),
        _("About"),
        _("By"),
        _("Made on"),
        _("Locked until"),
        box=None,
        padding=(0, 2, 0, 0),
    )
    for one in found:
        locked = one.locked_until[:10] or (_("no lock") if one.archived else _("not archived"))
        words = (one.id, one.title, one.about, one.operator, one.control, locked)
        table.add_row(*(Text(printable(word)) for word in words))
    context.console.print(table)


@report.command(
    name="open",
    help=_("Bring a report out of the store, prove it, write its files. ID is a name, a part, or `last`."),
)
@click.argument("name", metavar="ID")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    callback=a_folder,
    help=_("The folder that the files are written to; else this one."),
)
@as_json_option
@pass_context
def open_(context: Context, /, name: str, to: Path, as_json: bool) -> None:
    from rmc_dr.publish.story import bring_back

    context.json = as_json or context.json
    entry, paths, silent = bring_back(context.estate(), name, to)
    if context.json:
        context.emit(
            {"id": entry.id, "files": [str(path) for path in paths], "not_from_store": silent or None}
        )
        return
    for path in paths:
        context.console.print(str(path.absolute()))
    if silent:
        context.console.print(
            _("From this machine, not from the store: {why}").format(why=silent), style="yellow"
        )
    else:
        context.console.print(_("Proven: the store's bytes are those that were made."))


@report.command(help=_("Send the reports to the store that it does not have yet. 0: all; 1: not so."))
@as_json_option
@pass_context
def archive(context: Context, /, as_json: bool) -> int:
    from rmc_dr.publish.story import catch_up

    context.json = as_json or context.json
    done, silent = catch_up(context.estate())
    if context.json:
        context.emit({"archived": [one.id for one in done], "not_archived": silent or None})
        return int(bool(silent))
    for one in done:
        context.console.print(_("archived: {id}").format(id=one.id))
    if silent:
        context.console.print(silent, style="yellow")
    elif not done:
        context.console.print(_("The store has every report."))
    return int(bool(silent))
