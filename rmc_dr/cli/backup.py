"""`rmc-dr backup`: run, list, status and expire."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.backup_verify import verify
from rmc_dr.cli.common import Context, break_lock_option, pass_context, teller
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.backup import Plan
    from rmc_dr.backups import BackupsObservation, DatabaseBackup, FileSnapshot, Keeping

JSON_HELP = _("Print JSON for machines.")


@click.group(help=_("Take, list, judge, verify and expire backups."))
def backup() -> None:
    """The commands below."""


backup.add_command(verify)


@backup.command(
    help=_(
        "Back up the database, the files, or both.\n\n"
        "The database is read from the standby where there is one. Without --full or --diff a full backup is "
        "taken when none is younger than 7 days, else what changed since."
    )
)
@click.option("--database", is_flag=True, help=_("Only the database."))
@click.option("--files", is_flag=True, help=_("Only attachments and configuration."))
@click.option("--full", is_flag=True, help=_("The whole database."))
@click.option("--diff", is_flag=True, help=_("What changed in the database since the last full backup."))
@click.option("--plan", "only_plan", is_flag=True, help=_("Say what would be done, and do nothing."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def run(
    context: Context, /, database: bool, files: bool, full: bool, diff: bool, only_plan: bool, as_json: bool
) -> None:
    from rmc_dr import backup as story
    from rmc_dr.errors import BadInput

    context.json = as_json or context.json
    if (full and diff) or (files and not database and (full or diff)):
        raise BadInput(
            "backup-what",
            _("A backup of the database is either full or differential; files have no such kinds."),
            _("For example: rmc-dr backup run --database --full"),
        )
    estate = context.estate()
    everything = not (database or files)
    plan = story.make_plan(
        estate,
        database=database or everything,
        files=files or everything,
        kind="full" if full else "diff" if diff else None,
    )
    if only_plan:
        _show_plan(context, plan)
        return
    if not context.json:
        _show_plan(context, plan)
    done = story.run(estate, plan, teller(context))
    if context.json:
        context.emit({**asdict(plan), **asdict(done)})
        return
    if done.label:
        context.console.print(_("Database: {label}").format(label=done.label))
    for host, snapshots in sorted(done.snapshots.items()):
        for snapshot in snapshots:
            context.console.print(
                _("Files of {host}: {name}, snapshot {id}, {count} files").format(
                    host=host, name=snapshot["name"], id=snapshot["id"], count=snapshot["files"]
                )
            )


@backup.command(
    name="list",
    help=_("List the backups: age, size, what each depends on, lock, last proof, what is missing."),
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def list_(context: Context, /, as_json: bool) -> None:
    from rmc_dr import backup as story
    from rmc_dr.backups import faults
    from rmc_dr.backups.judge import describe

    seen = story.look(context.estate())
    found = faults(seen)
    if as_json or context.json:
        context.emit({**asdict(seen), "faults": [asdict(fault) for fault in found]})
        return
    console = context.console
    for line in (*_database_lines(seen), *_files_lines(seen)):
        console.print(line)
    for what, said in seen.errors.items():
        console.print(_("Unknown: {what}: {said}").format(what=what, said=said), style="yellow")
    for fault in found:
        console.print(_("Missing: {what}").format(what=describe(fault)), style="red")


@backup.command(help=_("One line for monitoring; the exit code is 0 well, 1 warning, 2 critical, 3 unknown."))
@click.option(
    "--notify", "tell", is_flag=True, help=_("Send it to whom the estate names, unless all is well.")
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def status(context: Context, /, tell: bool, as_json: bool) -> None:
    from rmc_dr import backup as story
    from rmc_dr import schedule
    from rmc_dr.backups import Level, level
    from rmc_dr.errors import Error
    from rmc_dr.words import printable

    try:
        estate = context.estate()
        seen, late = story.look(estate), schedule.late(estate)
        found = story.judge(estate, seen, late)
    except Error as error:
        click.echo(
            _("BACKUP {level}: {said}").format(level=Level.UNKNOWN.name, said=printable(error.message))
        )
        sys.exit(int(Level.UNKNOWN))
    worst = level(found)
    if tell and worst is not Level.OK:
        failed = story.send_news(estate, story.bad_news(estate, seen, late))
        if failed:
            click.echo(_("The bad news could not be sent: {said}").format(said=failed), err=True)
    if as_json or context.json:
        remarks = [{"level": item.level.name, "code": item.code, "text": item.text} for item in found]
        context.emit({"level": worst.name, "remarks": remarks, "at": seen.at})
    else:
        said = "; ".join(remark.text for remark in found) or _well(seen)
        click.echo(_("BACKUP {level}: {said}").format(level=worst.name, said=printable(said)))
    sys.exit(int(worst))


@backup.command(
    help=_(
        "Expire old backups with the keeper's key.\n\n"
        "The newest chains and snapshots stay, as many as the estate names; so does what a lock protects, "
        "and what was last verified. Locks of older files that are still needed are extended. Nothing goes "
        "while the backups are not well. It is done on the verification host."
    )
)
@click.option("--plan", "only_plan", is_flag=True, help=_("Say what would go, and do nothing."))
@click.option("--yes", is_flag=True, help=_("Do not ask."))
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def expire(context: Context, /, only_plan: bool, yes: bool, break_lock: str | None, as_json: bool) -> None:
    from rmc_dr import expiry as story

    context.json = as_json or context.json
    estate = context.estate()
    if only_plan or not yes:
        plan = story.plan_expiry(estate)
        _show_keeping(context, plan)
        if only_plan or not click.confirm(_("Expire?")):
            return
    done = story.expire(estate, teller(context), break_lock)
    if context.json:
        context.emit(asdict(done))
    else:
        gone = ", ".join([*done.expires, *done.snapshots])
        context.console.print(_("Expired: {labels}").format(labels=gone or _("nothing")))


def _show_plan(context: Context, plan: Plan) -> None:
    if context.json:
        context.emit(asdict(plan))
        return
    if plan.host:
        context.console.print(
            _("Database: {kind} backup on {host}, {why}.").format(
                kind=_kind(plan.kind or ""), host=plan.host, why=plan.why
            )
        )
    if plan.files:
        context.console.print(_("Files of {hosts}.").format(hosts=", ".join(plan.files)))


def _show_keeping(context: Context, plan: Keeping) -> None:
    if context.json:
        context.emit(asdict(plan))
        return
    context.console.print(
        _("{count} full backups stay, with all that depends on them. To go: {labels}").format(
            count=plan.full, labels=", ".join(plan.expires) or _("nothing")
        )
    )
    context.console.print(
        _("Snapshots of files to go: {ids}").format(ids=", ".join(plan.snapshots) or _("nothing"))
    )
    reasons = {
        "locked": _("a lock protects it"),
        "lock-unknown": _("nobody knows whether a lock protects it"),
        "verified": _("it was the last to be verified"),
    }
    for label, reason in plan.because:
        context.console.print(_("{label} stays: {reason}").format(label=label, reason=reasons[reason]))


def _database_lines(seen: BackupsObservation) -> Iterator[str]:
    """One block an entry: no label and no time is cut where a terminal has 80 columns."""
    from rmc_dr.words import size

    yield _("Database")
    for one in seen.database or ():
        yield f"  {one.label}"
        yield "    " + _("{kind}, {age} old, {size}, {stored} stored").format(
            kind=_kind(one.kind), age=_age(seen.at, one.stopped), size=size(one.size), stored=size(one.stored)
        )
        yield f"    {_kept(seen, one)}"
        yield from ("    " + _("needs {label}").format(label=label) for label in one.needs)
    yield from _none(seen.database)


def _files_lines(seen: BackupsObservation) -> Iterator[str]:
    from rmc_dr.words import size

    yield _("Files")
    if seen.files and seen.labels is not None:
        yield "  " + _("oldest pack: {lock}").format(lock=_locked(seen, seen.files_until))
    for one in seen.files or ():
        yield f"  {one.id}  {one.host}  {one.name}"
        yield "    " + _("{age} old, {files} files, {size}").format(
            age=_age(seen.at, one.taken), files=one.files, size=size(one.size)
        )
        yield f"    {_kept(seen, one)}"
    yield from _none(seen.files)


def _none(found: Sequence[object] | None) -> Iterator[str]:
    if not found:
        yield "  " + (_("unknown") if found is None else _("none"))


def _kept(seen: BackupsObservation, one: DatabaseBackup | FileSnapshot) -> str:
    """Until when locks protect it whole, and when it was last proven."""
    proof = _("verified {moment}").format(moment=_when(one.verified)) if one.verified else _("never verified")
    return f"{_locked(seen, one.locked_until)}, {proof}"


def _locked(seen: BackupsObservation, until: datetime | None) -> str:
    if until:
        return _("locked until {moment}").format(moment=_when(until))
    return _("no lock") if seen.labels is not None else _("lock unknown")


def _kind(kind: str) -> str:
    return {"full": _("full"), "diff": _("differential"), "incr": _("incremental")}.get(kind, kind)


def _age(now: datetime, then: datetime) -> str:
    from rmc_dr.words import spoken_duration

    return spoken_duration((now - then).total_seconds())


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _well(seen: BackupsObservation) -> str:
    newest = seen.newest
    return _("{label}, {age} old, archive up to date").format(
        label=newest.label if newest else "-", age=_age(seen.at, newest.stopped) if newest else "-"
    )
