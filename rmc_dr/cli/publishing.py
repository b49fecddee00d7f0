"""What the commands that give out a report share: their options, and what they say at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context
from rmc_dr.errors import BadInput
from rmc_dr.i18n import _, speaking

if TYPE_CHECKING:
    from rmc_dr.report.document import Document


def a_folder(_ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A callback: a folder that can be made or written to, before anything is done. Raises BadInput."""
    if value is None or _can_be(value):
        return value
    raise BadInput(
        "cannot-write",
        _("{option} names no folder that can be written to.").format(option=param.opts[0]),
        _("Name a folder that is there, or one that can be made."),
    )


def _can_be(folder: Path) -> bool:
    try:
        known = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        return known.is_dir() and os.access(known, os.W_OK)
    except OSError:  # a name that is too long
        return False


language = click.option("--lang", type=click.Choice(["en", "zh"]), help=_("The language of the report."))
as_json_option = click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))


def publishing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that gives out a report: to, lang, no_archive and as_json."""
    for option in (
        as_json_option,
        click.option("--no-archive", is_flag=True, help=_("Do not send it to the store now.")),
        language,
        click.option(
            "--to",
            type=click.Path(file_okay=False, path_type=Path),
            callback=a_folder,
            help=_("The folder that the files are written to; else the one where reports are kept."),
        ),
    ):
        command = option(command)
    return command


def spoken(lang: str | None) -> AbstractContextManager[None]:
    """Speak this language, else the operator's."""
    return speaking(lang) if lang else nullcontext()


def give_out(
    context: Context,
    build: Callable[[], Document],
    *,
    to: Path | None,
    lang: str | None,
    no_archive: bool,
    as_json: bool,
    incident: str = "",
    said: Mapping[str, Any] | None = None,
    with_data: bool = False,
) -> int:
    """Build in the language that is wanted, publish, and say what came of it; the exit code.

    The report is noted in ``incident``, with what is ``said`` of it beside. ``with_data``: JSON holds the
    report for machines as well, under ``report``.
    """
    from rmc_dr.publish.story import publish
    from rmc_dr.report.render import named

    context.json = as_json or context.json
    with spoken(lang):
        document = build()
    done = publish(
        context.estate(), document, to=to, to_store=not no_archive, incident=incident, said=said or {}
    )
    if context.json:
        context.emit(
            {
                "id": done.entry.id,
                "kind": done.entry.kind,
                "about": done.entry.about,
                "files": {path.suffix[1:]: str(path) for path in done.paths},
                "archived": not done.not_archived,
                "not_archived": done.not_archived or None,
                "missing_characters": [named(sign) for sign in done.missing],
                "without_pdf": done.without_pdf or None,
                **({"report": document.data} if with_data else {}),
            }
        )
        return _ended(done.not_archived, no_archive)
    say = context.console.print
    for path in done.paths:
        say(str(path.absolute()))
    if done.without_pdf:
        say(
            _("No PDF could be made: {why}. Install what docs/runbooks/report.md names.").format(
                why=done.without_pdf
            ),
            style="yellow",
        )
    if done.missing:
        say(
            _("No font here has {characters}; the PDF shows their numbers. Install fonts-hanazono.").format(
                characters=", ".join(map(named, done.missing))
            ),
            style="yellow",
        )
    if done.not_archived and not no_archive:
        say(done.not_archived, style="yellow")
    elif not done.not_archived:
        say(_("Archived in the store: {id}").format(id=done.entry.id))
    return _ended(done.not_archived, no_archive)


def _ended(not_archived: str, no_archive: bool) -> int:
    return int(bool(not_archived) and not no_archive)
