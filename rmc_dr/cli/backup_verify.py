"""`rmc-dr backup verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, break_lock_option, pass_context, teller
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.backups import Verdict
    from rmc_dr.verify_plan import Reading, Scope


@click.command(
    help=_(
        "Prove that the backups give back a working system, by doing it on the verification host.\n\n"
        "The newest chain is read to its last byte and restored; its pages, its business and the "
        "applications on it are checked; older chains take turns. Production is only looked at. "
        "0: green, 1: red."
    )
)
@click.option("--database", is_flag=True, help=_("Only the database, and the applications on it."))
@click.option("--files", is_flag=True, help=_("Only the files, without the database that lists them."))
@click.option("--full", is_flag=True, help=_("Everything, and every chain to its last byte."))
@click.option("--plan", "only_plan", is_flag=True, help=_("Say what would be read, and do nothing."))
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def verify(
    context: Context,
    /,
    database: bool,
    files: bool,
    full: bool,
    only_plan: bool,
    break_lock: str | None,
    as_json: bool,
) -> int:
    from rmc_dr import backup_verify as story

    context.json = as_json or context.json
    scope = _scope(database, files, full)
    estate = context.estate()
    if only_plan:
        _show_plan(context, story.plan(estate, scope))
        return 0
    verdict = story.verify(estate, scope, teller(context), break_lock)
    if context.json:
        context.emit({**asdict(verdict), "green": verdict.green})
    else:
        _show(context, verdict, str(story.folder(verdict.started)))
    return int(not verdict.green)


def _scope(database: bool, files: bool, full: bool) -> Scope:
    from rmc_dr.errors import BadInput

    if database + files + full > 1:
        raise BadInput(
            "verify-what",
            _("--database, --files and --full exclude each other."),
            _("Without any of them everything is verified, older chains by turns."),
        )
    return "database" if database else "files" if files else "full" if full else "night"


def _show_plan(context: Context, plan: Reading) -> None:
    if context.json:
        context.emit(asdict(plan))
        return
    context.console.print(
        _("On {host}: {label} is restored; read to the last byte: {read}").format(
            host=plan.host, label=plan.label or _("nothing"), read=", ".join(plan.items) or _("nothing")
        )
    )


def _show(context: Context, verdict: Verdict, place: str) -> None:
    from rmc_dr.words import spoken_duration

    console = context.console
    for proof in verdict.proofs:
        mark, style = (_("green"), "green") if proof.green else (_("RED"), "bold red")
        objects = f" [{', '.join(proof.objects[:10])}]" if proof.objects else ""
        line = f"{mark}  {proof_title(proof.name)}: {proof.detail or '-'}{objects}"
        console.print(line, style=style)
    if verdict.rpo_seconds is not None:
        console.print(
            _("Data loss if the primary were gone now: {time} (measured)").format(
                time=spoken_duration(verdict.rpo_seconds)
            )
        )
    if verdict.rto_seconds is not None:
        console.print(
            _("Recovery from the backups alone: {time} (an estimate from measured speed)").format(
                time=spoken_duration(verdict.rto_seconds)
            )
        )
    took = spoken_duration((verdict.ended - verdict.started).total_seconds())
    console.print(
        (_("The backups are proven, after {time}. Record: {place}") if verdict.green
         else _("The backups are NOT proven, after {time}. Record: {place}")).format(time=took, place=place)
    )  # fmt: skip


def proof_title(name: str) -> str:
    """What a proof is about; that a stage could not be done bears the stage's title."""
    from rmc_dr.words import stage_title

    return {
        "seen": _("everybody who knows of the backups answered"),
        "objects": _("objects are there, chains join"),
        "archive": _("the archive has no gap up to now"),
        "rotation": _("nothing stays unread for more than 30 days"),
        "room": _("room for the scratch"),
        "repository": _("the database's repository was read"),
        "wal": _("the archived WAL was read"),
        "packs": _("the files' repository was read"),
        "copy": _("the backup was restored"),
        "recovery": _("it recovered to the archive's end"),
        "isolated": _("the copy reaches nobody and archives nothing"),
        "rpo": _("data loss"),
        "checksums": _("every page's checksum"),
        "amcheck": _("every table and index"),
        "dump": _("every database can be dumped"),
        "business": _("business check"),
        "snapshot": _("the newest snapshot of attachments"),
        "sample": _("the sample came back"),
        "attachments": _("files against the database's list"),
        "journey": _("journey on the restored copy"),
        "sweep": _("the scratch is gone"),
    }.get(name) or stage_title(name)
