"""`rmc-dr audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from datetime import datetime

    from rmc_dr.audit import Assessment, Audit
    from rmc_dr.timeline import Happening

STYLES = {"error": "red", "warning": "yellow", "info": ""}


@click.command(
    help=_(
        "One timeline of what all hosts saw: logins, sudo, restarts, errors, failed connections and "
        "replication. Clocks are corrected; the first error and what may be lost are named. "
        "Without a window: the last hour."
    )
)
@click.option("--from", "since", metavar="TIME", help=_("Begin of the window, with its time zone."))
@click.option("--to", "until", metavar="TIME", help=_("End of the window, with its time zone."))
@click.option("--evidence", metavar="ID", help=_("Read what was kept, not the hosts as they are now."))
@click.option(
    "--words", is_flag=True, help=_("Show the log lines themselves as well: they may hold patients' data.")
)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def audit(
    context: Context,
    /,
    since: str | None,
    until: str | None,
    evidence: str | None,
    words: bool,
    as_json: bool,
) -> None:
    from datetime import UTC, datetime, timedelta

    from rmc_dr import audit as story

    context.json = as_json or context.json
    estate = context.estate()
    now = datetime.now(UTC)
    begin, end = _moment(since, context, now), _moment(until, context, now)
    _refuse_backwards(begin, end)
    if evidence is not None:
        found = story.of_evidence(estate, evidence, begin, end)
    else:
        end = end or now
        found = story.live(estate, begin or end - timedelta(hours=1), end)
    story.attach_to_incident(estate, found)
    if context.json:
        context.emit(_document(found, words))
    else:
        _show(context, found, words)


def _moment(text: str | None, context: Context, now: datetime) -> datetime | None:
    from rmc_dr.plans.moment import read_time

    return None if text is None else read_time(text, context.estate().config.timezone, now)


def _refuse_backwards(begin: datetime | None, end: datetime | None) -> None:
    from rmc_dr.errors import BadInput

    if begin and end and begin >= end:
        raise BadInput(
            "window-backwards",
            _("The window ends before it begins."),
            _("Give the earlier time with --from and the later one with --to."),
        )


def _document(found: Audit, words: bool) -> Any:
    from rmc_dr.record import plain

    document = plain(found)
    if not words:
        for one in (*document["timeline"], document["first_error"]):
            if one:
                del one["words"]
    return document


def _show(context: Context, found: Audit, words: bool) -> None:
    from rmc_dr.words import printable

    say = context.console.print
    for one in found.timeline:
        say(_told(one), style=STYLES[one.weight])
        if words:
            say(f"      {printable(one.words)}", style="dim")
    say(
        _("{count} entries out of {lines} lines.").format(count=len(found.timeline), lines=found.lines),
        style="bold",
    )
    first = _told(found.first_error) if found.first_error else _("none in this window")
    say(_("First error: {first}").format(first=first))
    for name, clock in found.clocks.items():
        if abs(clock.ahead) > max(1.0, clock.within):
            say(_("{host}: its clock is {ahead:+.1f} s off; corrected.").format(host=name, ahead=clock.ahead))
    for name, count in found.unreadable.items():
        say(_("{file}: {count} lines could not be read.").format(file=name, count=count))
    for line in found.not_had:
        say(_("not had: {what}").format(what=printable(line)))
    _show_assessment(context, found.assessment)


def _told(one: Happening) -> str:
    times = f" (x{one.count})" if one.count > 1 else ""
    at = one.at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{at}  {one.host:8}  {one.kind:18}  {one.what}{times}  [{one.source}:{one.line}]"


def _show_assessment(context: Context, found: Assessment) -> None:
    from rmc_dr.words import lsn, size

    say = context.console.print
    wal = found.unarchived
    if wal.bytes is None:
        say(_("WAL that no archive holds: unknown (newest {newest}).").format(newest=lsn(wal.newest)))
    else:
        say(
            _(
                "WAL that no archive holds: {size}, from {archived} to {newest}; {host} holds it. "
                "Acknowledged writes in it are lost only if every database host is."
            ).format(
                size=size(wal.bytes), archived=lsn(wal.archived), newest=lsn(wal.newest), host=wal.holder
            )
        )
    for one in found.attachments:
        counts = {
            "rows": one.rows,
            "files": one.files,
            "missing": one.rows_without_file,
            "orphaned": one.files_without_row,
        }
        told = {key: _("unknown") if value is None else str(value) for key, value in counts.items()}
        say(
            _(
                "Attachments of {application}: {rows} in the database, {files} files; rows without a file: "
                "{missing}, files without a row: {orphaned}."
            ).format(application=one.application, **told)
        )
