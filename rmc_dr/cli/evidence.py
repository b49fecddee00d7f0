"""`rmc-dr preserve` and `rmc-dr evidence`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.estate import Estate
    from rmc_dr.evidence.folder import Kept
    from rmc_dr.evidence.manifest import Manifest
    from rmc_dr.preserve import Preserved

JSON_HELP = _("Print JSON for machines.")


@click.command(
    help=_(
        "Keep the scene before anything is restarted: logs, threads, locks, network, configuration of every "
        "host, sealed, signed, encrypted and copied to the store. It changes nothing on a host."
    )
)
@click.option("--host", "hosts", metavar="HOST", multiple=True, help=_("Only this host; may be repeated."))
@click.option("--hours", type=click.IntRange(1, 744), help=_("How far back logs are read."))
@click.option("--heap", is_flag=True, help=_("The Java heap as well; it is large, and takes a minute."))
@click.option("--reason", default="", metavar="TEXT", help=_("Why; it stands in the custody."))
@click.option("--run", default="", metavar="RUN", help=_("The run that this is for."))
@click.option(
    "--disk",
    default="",
    metavar="DEVICE",
    help=_("Read this old root partition of the one --host, which runs its rescue system."),
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def preserve(
    context: Context,
    /,
    hosts: tuple[str, ...],
    hours: int | None,
    heap: bool,
    reason: str,
    run: str,
    disk: str,
    as_json: bool,
) -> int:
    from rmc_dr import preserve as story

    context.json = as_json or context.json
    if disk and len(hosts) != 1:
        from rmc_dr.errors import BadInput

        raise BadInput(
            "disk-of-whom",
            _("--disk needs the one host whose disk it is."),
            _("Give one --host as well; it must run its rescue system."),
        )
    done = story.preserve(context.estate(), story.Wanted(hosts, reason, run, hours, heap, disk))
    if context.json:
        context.emit(_summary(done))
    else:
        _show_preserved(context, done)
    return int(bool(done.not_copied))


def _summary(done: Preserved) -> dict[str, Any]:
    """Short: a run's record and its report keep it. What a host said in a log is not in it."""
    return {
        "id": done.id,
        "path": str(done.path),
        "files": len(done.manifest.had),
        "bytes": done.manifest.bytes,
        "not_had": _not_had(done.manifest),
        "copied": not done.not_copied,
        "finished": list(done.finished),
    }


def _not_had(manifest: Manifest) -> list[str]:
    """What is missing; of a host that did not answer one line."""
    from rmc_dr.words import printable

    hosts = [f"{name}: {printable(why)}" for name, why in manifest.silent.items()]
    pieces = [
        f"{piece.host} {piece.source}: {printable(piece.why)}"
        for piece in manifest.not_had
        if piece.host not in manifest.silent
    ]
    return hosts + pieces


def _show_preserved(context: Context, done: Preserved) -> None:
    from rmc_dr.words import size

    say = context.console.print
    say(
        _("{files} files ({size}) are sealed: {path}").format(
            files=len(done.manifest.had), size=size(done.manifest.bytes), path=done.path
        ),
    )
    for line in _not_had(done.manifest):
        say("  " + _("not had: {what}").format(what=line))
    for name in done.finished:
        say("  " + _("an earlier one is finished: {id}").format(id=name))
    if done.not_copied:
        say(done.not_copied, style="yellow")
    else:
        say(_("The store holds a locked copy. Next: {command}").format(command="rmc-dr evidence verify"))


@click.group(help=_("List, show and verify the evidence that was kept."))
def evidence() -> None:
    """What lies on this machine; the files themselves may hold patients' data."""


@evidence.command("list", help=_("Every collection on this machine, newest first."))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def list_(context: Context, /, as_json: bool) -> None:
    from rmc_dr.evidence import folder

    context.json = as_json or context.json
    rows = [_row(context.estate(), kept) for kept in folder.all_of(context.estate().name)]
    if context.json:
        context.emit(rows)
        return
    if not rows:
        context.console.print(_("No evidence was kept yet. `rmc-dr preserve` keeps it."))
        return
    from rich.table import Table
    from rich.text import Text

    from rmc_dr.console import name_column
    from rmc_dr.words import printable, size

    table = Table(name_column("ID"), _("State"), _("Files"), _("Size"), _("Not had"), _("Reason"), box=None)
    for row in rows:
        numbers = (str(row["files"]), size(row["bytes"]), str(row["not_had"]))
        table.add_row(row["id"], _state(row), *numbers, Text(printable(row["reason"])))
    context.console.print(table)


def _row(estate: Estate, kept: Kept) -> dict[str, Any]:
    from rmc_dr.evidence import custody, manifest
    from rmc_dr.evidence.folder import COLLECTING
    from rmc_dr.files import read_json

    try:
        sealed = manifest.read(kept) if kept.sealed else manifest.of_leftover(kept)
    except (OSError, ValueError):
        sealed = manifest.Manifest(kept.id, read_json(kept.path / COLLECTING), (), {}, {}, interrupted=True)
    return {
        "id": kept.id,
        "state": _stand(kept, copied=custody.tells(estate, kept, custody.COPIED)),
        "interrupted": sealed.interrupted,
        "files": len(sealed.had),
        "bytes": sealed.bytes,
        "not_had": len(sealed.not_had),
        "reason": str(sealed.about.get("reason", "")),
        "run": str(sealed.about.get("run", "")),
        "began": sealed.about.get("began"),
    }


def _stand(kept: Kept, *, copied: bool) -> str:
    if kept.sealed:
        return "copied" if copied else "sealed"
    return "collecting" if kept.busy else "unsealed"


def _state(row: dict[str, Any]) -> str:
    words = {
        "copied": _("sealed, copied"),
        "sealed": _("sealed, no copy in the store"),
        "collecting": _("being collected"),
        "unsealed": _("not sealed: cut off"),
    }
    return words[row["state"]]


@evidence.command(help=_("What one collection holds, what it lacks, and who did what with it."))
@click.argument("name", metavar="[ID]", default="last")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def show(context: Context, /, name: str, as_json: bool) -> None:
    from dataclasses import asdict

    from rmc_dr.evidence import custody, folder

    context.json = as_json or context.json
    estate = context.estate()
    kept = folder.find(estate.name, name)
    held = _held(kept)
    entries = custody.read(estate, kept)
    if context.json:
        context.emit(
            {
                "sealed": kept.sealed,
                "path": str(kept.path),
                **asdict(held),
                "custody": [{"good": entry.good, **entry.said} for entry in entries],
            }
        )
        return
    from rmc_dr.words import custody_word

    _show_manifest(context, kept, held)
    context.console.print(_("Custody:"))
    for entry in entries:
        said = entry.said
        mark = "" if entry.good else _(" (changed since)")
        did = custody_word(str(said.get("did")))
        line = f"  {said.get('time')}  {did}  {said.get('operator')}@{said.get('control')}{mark}"
        context.console.print(line)


def _held(kept: Kept) -> Manifest:
    from rmc_dr.errors import Error
    from rmc_dr.evidence import manifest

    try:
        return manifest.read(kept) if kept.sealed else manifest.of_leftover(kept)
    except ValueError:
        raise Error(
            "evidence-damaged",
            _("The manifest of {id} cannot be read.").format(id=kept.id),
            _("`rmc-dr evidence verify {id}` says what was changed; the store may hold a copy.").format(
                id=kept.id
            ),
        ) from None


def _show_manifest(context: Context, kept: Kept, held: Manifest) -> None:
    from rich.table import Table
    from rich.text import Text

    from rmc_dr.words import printable, size

    say = context.console.print
    about = held.about
    say(f"{kept.id}  {kept.path}")
    for key, title in (("began", _("Began")), ("operator", _("Operator")), ("reason", _("Reason"))):
        say(f"  {title}: {printable(about.get(key, ''))}")
    for host, clock in held.clocks.items():
        key = about.get("hosts", {}).get(host, {}).get("host_key", "")
        ahead = _("{ahead:+.3f} s, give or take {within:.3f} s").format(
            ahead=clock.ahead, within=clock.within
        )
        say("  " + _("{host}: clock {ahead}; key {key}").format(host=host, ahead=ahead, key=key))
    table = Table(_("File"), _("Size"), "SHA-256", _("May hold patients' data"), _("Not had"), box=None)
    for piece in held.pieces:
        table.add_row(
            Text(piece.file or f"{piece.host} {piece.source}"),
            size(piece.bytes),
            piece.sha256[:16],
            _("yes") if piece.patient else "",
            Text(printable(piece.why)),
        )
    say(table)


@evidence.command(help=_("Prove that evidence is what was sealed, here and in the store: every byte."))
@click.argument("name", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def verify(context: Context, /, name: str | None, as_json: bool) -> int:
    from dataclasses import asdict

    from rmc_dr.evidence import folder
    from rmc_dr.evidence.check import check

    context.json = as_json or context.json
    estate = context.estate()
    chosen = folder.all_of(estate.name) if name is None else [folder.find(estate.name, name)]
    found = {kept.id: list(check(estate, kept)) for kept in chosen if not kept.busy}
    if context.json:
        context.emit({key: [asdict(one) for one in checks] for key, checks in found.items()})
    else:
        _show_checks(context, found)
    return int(not all(one.passed for checks in found.values() for one in checks))


def _show_checks(context: Context, found: dict[str, Any]) -> None:
    from rmc_dr.words import printable

    for name, checks in found.items():
        for one in checks:
            if not one.passed:
                line = f"{name}  {_('FAILED')}  {printable(one.name)}: {one.detail}"
                context.console.print(line, style="red")
        passed = sum(one.passed for one in checks)
        context.console.print(
            _("{id}: {passed} of {count} checks passed.").format(id=name, passed=passed, count=len(checks))
        )
    if not found:
        context.console.print(_("No evidence was kept yet. `rmc-dr preserve` keeps it."))
