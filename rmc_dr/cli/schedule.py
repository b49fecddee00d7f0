"""`rmc-dr schedule`: install, remove and status."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.rounds.record import Due
    from rmc_dr.schedule import Timer


@click.group(help=_("The backups' timetable on this machine."))
def schedule() -> None:
    """The commands below."""


@schedule.command(
    help=_(
        "Install and start the timers: a full backup each week, a differential one on the other days, files "
        "every day, a verification every night, expiry each week."
    )
)
@click.option(
    "--at", default="01:00", show_default=True, metavar="HH:MM", help=_("When the night's work begins.")
)
@click.option(
    "--full-on",
    default="Sun",
    show_default=True,
    metavar="Mon|...|Sun",
    help=_("The day of the full backup."),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def install(context: Context, /, at: str, full_on: str, as_json: bool) -> None:
    from rmc_dr.schedule import install as put

    context.json = as_json or context.json
    _show(context, put(context.estate(), at, full_on))


@schedule.command(help=_("Stop the timers and remove them."))
@pass_context
def remove(context: Context, /) -> None:
    from rmc_dr.schedule import remove as take

    removed = take(context.estate())
    click.echo(_("Removed: {units}").format(units=", ".join(removed) or _("nothing")))


@schedule.command(help=_("Show the timers and when each last did its work. 0: all in time; 1: not so."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def status(context: Context, /, as_json: bool) -> None:
    from datetime import UTC, datetime

    from rmc_dr.schedule import inspection
    from rmc_dr.schedule import status as look

    context.json = as_json or context.json
    timers, due = look(context.estate()), inspection(context.estate())
    late = due.late(datetime.now(UTC))
    if context.json:
        context.emit([*map(asdict, timers), {"job": "inspection", **asdict(due), "late": late}])
    else:
        _show(context, timers)
        context.console.print(_inspection(due, late=late))
    sys.exit(0 if not late and all(timer.active and not timer.late for timer in timers) else 1)


def _inspection(due: Due, *, late: bool) -> str:
    last = due.last.astimezone().strftime("%Y-%m-%d") if due.last else _("never")
    until = due.until.astimezone().strftime("%Y-%m-%d") if due.until else "-"
    said = _("inspection: LATE, due {until}; last {last}; `rmc-dr inspect`") if late else _(
        "inspection: due {until}; last {last}"
    )  # fmt: skip
    return said.format(until=until, last=last)


def _show(context: Context, timers: list[Timer]) -> None:
    if context.json:
        context.emit([asdict(timer) for timer in timers])
        return
    for timer in timers:
        last = (
            timer.last_success.astimezone().strftime("%Y-%m-%d %H:%M") if timer.last_success else _("never")
        )
        state = _("not installed")
        if timer.installed:
            state = _("late") if timer.late else _("runs") if timer.active else _("stopped")
        context.console.print(
            _("{job}: {state}; {calendar}; next {next}; last ended well {last}").format(
                job=timer.job, state=state, calendar=timer.calendar or "-", next=timer.next or "-", last=last
            )
        )
