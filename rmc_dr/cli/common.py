"""What every command shares: the estate it works on, the terminal it speaks to, how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rmc_dr import content
from rmc_dr.cli.click_words import lend_catalogue
from rmc_dr.cli.terminal import make_ready
from rmc_dr.errors import BadInput, Error
from rmc_dr.i18n import _
from rmc_dr.words import printable, tame

if TYPE_CHECKING:  # loaded when used: --help should answer at once
    from collections.abc import Callable

    from rmc_dr.console import Console
    from rmc_dr.estate import Estate

lend_catalogue()
SKIP_PRESERVE_HELP = _("Do not keep the scene first (`rmc-dr preserve`); the reason is recorded.")
# Not `rmc-dr` alone, nor what takes no estate but its own.
COMMAND = re.compile(r"\brmc-dr (?=[a-z])(?!lab\b|drill\b)")
DEFAULT_INVENTORIES = (Path("/etc/rmc-dr/inventory"),)


@dataclass
class Context:
    """One invocation. ``json`` asks for machine-readable output on standard output."""

    inventory: Path | None = None
    json: bool = False

    @cached_property
    def console(self) -> Console:
        from rmc_dr.console import Console

        return Console(soft_wrap=True)

    @cached_property
    def _estate(self) -> Estate:
        from rmc_dr.estate import load

        return load(self.inventory or default_inventory())

    def estate(self) -> Estate:
        """The estate that -i, RMC_DR_INVENTORY or /etc/rmc-dr/inventory names. Raises BadInput.

        From here on local time is the centre's, whatever this machine's clock shows.
        """
        os.environ["TZ"] = self._estate.config.timezone
        time.tzset()
        return self._estate

    def incident_line(self) -> str | None:
        """The open incident's class and leading clock, if the estate has one; for people to see."""
        from rmc_dr.incident.words import open_line

        return open_line(self.estate().name)

    def emit(self, data: Any) -> None:
        """Print one JSON document."""
        click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))

    def emit_event(self, event: str, said: Any, **more: Any) -> None:
        """Print what happened as one JSON line among others."""
        from rmc_dr.journal import plain

        click.echo(json.dumps({"event": event, **plain(said), **more}, ensure_ascii=False))


pass_context = click.make_pass_decorator(Context, ensure=True)


def a_reason(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """An option's callback: a reason that is kept in a record says something. Raises BadInput."""
    if value is not None and not value.strip():
        raise BadInput(
            "no-reason",
            _("{option} was given without a reason.").format(option=param.opts[0]),
            _("Say why in a few words; whoever reads the record asks for it."),
        )
    return value and value.strip()


def not_blank(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A callback: what was given says something; an empty word in a script is a variable that was not set.

    Raises BadInput.
    """
    if value is not None and not value.strip():
        raise BadInput(
            "blank",
            _("{option} was given without a word.").format(option=param.opts[0]),
            _("Write it out, or leave it out; in a script, look whether a variable is empty."),
        )
    return value


break_lock_option = click.option(
    "--break-lock",
    metavar="RUN",
    callback=not_blank,
    help=_("Go on although that other run holds the lock; it is named in full."),
)


def consent_options(command: Any) -> Any:
    """The options that say who of the hospital agreed, as `release_terms.consented` reads them."""
    for option in (
        click.option(
            "--without-consent",
            metavar="REASON",
            callback=a_reason,
            help=_("Why nobody was asked, in an emergency."),
        ),
        click.option(
            "--consent-at",
            metavar="TIME",
            callback=not_blank,
            help=_("When, with its time zone; without it: now."),
        ),
        click.option("--consent", metavar="WHO", callback=not_blank, help=_("Who of the hospital agreed.")),
    ):
        command = option(command)
    return command


def host_names(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """An option's callback: each name is one that a host can bear. Raises BadInput."""
    from rmc_dr.estate_files import refuse_odd_name

    for name in value if isinstance(value, tuple) else [] if value is None else [value]:
        refuse_odd_name(name)
    return value


def teller(context: Context) -> Callable[..., None]:
    """Tells a playbook's events as lines; silent where JSON is wanted."""
    from rmc_dr.history import Progress
    from rmc_dr.view import Rate, how_far
    from rmc_dr.words import duration, stage_title

    rate = Rate()

    if not context.json and (line := context.incident_line()):
        context.console.print(line, style="bold")

    def tell(event: str, **fields: Any) -> None:
        if context.json:
            return
        if event == "task" and fields.get("status") == "started":
            context.console.print(f"  {printable(fields['task'])}", style="dim")
        elif event == "stage":
            context.console.print(stage_title(str(fields["name"])))
        elif event == "note":
            context.console.print(f"  {printable(fields['text'])}")
        elif event == "progress":
            done, total = fields["done"], fields["total"]
            rate.add(time.monotonic(), done)
            told = f"  {how_far(done, total)}"
            left = Progress("", done, total).left_seconds(rate.per_second())
            if left is not None:
                told += "  " + _("{left} left").format(left=duration(left))
            context.console.print(told)

    return tell


def lab_inventory() -> Path:
    return content.root() / "inventories" / "lab"


def default_inventory() -> Path:
    for path in DEFAULT_INVENTORIES:
        if path.is_dir():
            return path
    if (content.STATE / "lab" / "private" / "vault.yml").exists():
        return lab_inventory()
    raise BadInput(
        "no-inventory",
        _("No estate is named."),
        _("Give -i INVENTORY or set RMC_DR_INVENTORY; to rehearse, run `rmc-dr lab up`."),
    )


class Group(click.Group):
    """A group of commands whose errors end in one sentence, a hint and a documented exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        make_ready()
        try:
            result = super().main(*args, **kwargs)
        except Error as error:
            _end(error)
        except click.exceptions.Abort:
            said = _("Given up. Nothing more is done.")
            _last_word("given-up", said, "")
            click.echo(said, err=True)
            sys.exit(5)
        except click.ClickException as error:
            _last_word("usage", error.format_message(), _("--help says what may be written."))
            _say_misuse(error)
            sys.exit(error.exit_code)
        except OSError as error:
            _end(_of_the_system(error))
        except Exception as error:  # noqa: BLE001 the last word is a sentence, whatever happened
            _end(_unforeseen(error))
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Raises Error for a broken pipe, which click would take for a reader who left, and say nothing."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _of_the_system(error) from error


def _end(error: Error) -> NoReturn:
    _last_word(error.code, error.message, error.hint)
    say_error(error)
    sys.exit(int(error.exit_code))


def _say_misuse(error: click.ClickException) -> None:
    """Click's own words repeat what was typed."""
    said = io.StringIO()
    error.show(said)
    click.echo(tame(said.getvalue()), nl=False, err=True)


def _last_word(code: str, message: str, hint: str) -> None:
    try:
        if "--json" in sys.argv:
            click.echo(json.dumps({"error": code, "message": message, "hint": hint}, ensure_ascii=False))
        sys.stdout.flush()
    except OSError:  # its disk is full: what is still buffered must not fail once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_system(error: OSError) -> Error:
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if isinstance(error, PermissionError):
        return BadInput("not-permitted", f"{what}.", _("Run rmc-dr as root."))
    return Error(
        "system-error",
        _("The system refused: {what}.").format(what=what),
        _("Mend what it names, then run the command again; `rmc-dr` alone says whether a run is open."),
    )


def _unforeseen(error: Exception) -> Error:
    """A defect of rmc-dr. Where it happened is kept in a file for its developers."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="rmc-dr-defect-", suffix=".txt", delete=False) as kept:
        kept.write(traceback.format_exc())
    return Error(
        "defect",
        _("rmc-dr itself failed ({kind}: {what}); it is not known what was changed.").format(
            kind=type(error).__name__, what=" ".join(str(error).split())[:200]
        ),
        _("`rmc-dr` alone says whether a run is open. For the developers: {path}.").format(path=kept.name),
    )


def say_error(error: Error) -> None:
    """An error for people. What was typed, and what hosts said, may be in it: it steers no terminal."""
    mark = click.style(_("Error:"), fg="red", bold=True)
    click.echo(f"{mark} {printable(error.message)}", err=True)
    click.echo(_("Hint:") + f" {printable(with_estate(error.hint))}", err=True)


def with_estate(text: str) -> str:
    """The commands in a sentence with the -i that the operator typed: without it they mean another estate."""
    words = sys.argv[1:]
    typed = next((words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-i", "--inventory")), None)
    if typed is None:
        return text
    return COMMAND.sub(lambda _found: f"rmc-dr -i {shlex.quote(typed)} ", text)
