"""Whatever is typed wrongly ends in one sentence, a hint and exit code 2 or 3, before anything is touched."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner, Result

from rmc_dr.cli import main
from rmc_dr.estate import Estate

ODD_NAMES = (
    "no-such",
    "../../etc/passwd",
    "db1;reboot",
    "-x",
    "\x1b[2J",
    "",
    " ",
    "数据库一",
    "{{ 7*7 }}",
    "a" * 300,
)
ODD_TIMES = (
    "yesterday", "2026-13-45", "2026-02-30T10:00:00+08:00", "2026-11-24T02:30:00", "02:30", "",
    "9999-01-01T00:00:00+00:00", "2026-11-24T02:30:00+99:00", "\x00", "now", "1e9",
    "２０２６-11-24T02:30:00+08:00",
)  # fmt: skip
BLANK = ("", "  ", "\t\n")
MARK = click.style("Error:", fg="red", bold=True)  # the one escape that is rmc-dr's own
FOLDERS = ("/dev/null/x", "/proc/1/no-such/x", "a" * 300)
NUMBERS = ("", "x", "-1", "1e400", "nan", "inf", "99999999999999999999")
CHOICES = ("", "nothing-of-the-kind", "\x1b[31m", "ALL ", "0")

# What may stand nowhere: by the option's or the argument's own name, and where that name means several
# things, by the command as well.
ODD: dict[str, tuple[str, ...]] = {
    "--from": ODD_TIMES,
    "--to": ODD_TIMES,
    "db failover --to": ODD_NAMES,
    "db switchover --to": ODD_NAMES,
    "--solved-at": ODD_TIMES,
    "--noticed": ODD_TIMES,
    "--consent-at": ODD_TIMES,
    "incident note --at": ODD_TIMES,
    "schedule install --at": ("25:00", "noon", "", "3", "03:00:00:00", "\x00"),
    "schedule install --full-on": ("Someday", "", "8", "\x1b"),
    "--evidence": ODD_NAMES,
    "--break-lock": BLANK,
    "--month": ("\x1b[2Jx", "2026-13", "november", "2026-1", "3000-01", "", "２０２６-11", "\x00"),
    "--tick": ODD_NAMES,
    "--fault": (*ODD_NAMES, "label-printers", "label-printers=", "no-such=x", "=x"),
    "host": ODD_NAMES,
    "hosts": ODD_NAMES,
    "group": ODD_NAMES,
    "--on": ODD_NAMES,
    "--host": ODD_NAMES,
    "--replace-healthy": ODD_NAMES,
    "application": ODD_NAMES,
    "--release": ODD_NAMES[1:],
    "run": ODD_NAMES,
    "--run": ODD_NAMES,
    "incident": ODD_NAMES,
    "--incident": ODD_NAMES,
    "name": ODD_NAMES,
    "--finding": ODD_NAMES,
    "--backup": ODD_NAMES,
    "database": ODD_NAMES,
    "table": (
        "checks",
        "a.b",
        "management..checks",
        "no-such.public.checks",
        "",
        "management.public.a;b",
        "\x00",
    ),
}
REASONS = (
    "--reason", "--skip-preserve", "--without-files", "--accept-expired-kit", "--without-consent",
    "--accept-no-backup", "--consent", "--patches-consent", "--unprotected", "cause", "what", "text",
)  # fmt: skip
# A word that is only known to be wrong after a look: at the store, at the pair.
AFTER_A_LOOK = ("--backup", "group")
ANY_WORD = {  # paths that are written, words for a shell, and what another test beats on
    "check --textfile", "kit build --liberty", "preserve --disk", "report run --html",
    "restore files --path", "deploy --notes", "host adopt --disk", "host adopt --confirm", "check --confirm",
}  # fmt: skip
WHAT_STANDS_BESIDE = {"host": "db1", "application": "management", "command": "true", "name": "db1"}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))
    elif path[0] != "lab":  # its words are a developer's, and name this machine's own machines
        yield " ".join(path), command


def takes_words(command: click.Command) -> list[click.Parameter]:
    return [one for one in command.params if not (isinstance(one, click.Option) and one.is_flag)]


def spelled(parameter: click.Parameter) -> str:
    return parameter.opts[-1] if isinstance(parameter, click.Option) else str(parameter.name)


def odd(path: str, parameter: click.Parameter) -> tuple[str, ...] | None:
    name = spelled(parameter)
    if name == "--to" and isinstance(parameter.type, click.Path):
        return FOLDERS
    for key in (f"{path} {name}", name):
        if key in ODD:
            return ODD[key]
    if name in REASONS:
        return BLANK
    if isinstance(parameter.type, click.Choice):
        return CHOICES
    if isinstance(parameter.type, click.types._NumberRangeBase):
        return NUMBERS
    if isinstance(parameter.type, click.Path) and parameter.type.exists:
        return ("/no/such/file", "", "/dev/null/x", "\x1b")
    return None


CASES = [
    pytest.param(path, spelled(parameter), value, id=f"{path} {spelled(parameter)} {ascii(value)[:24]}")
    for path, command in commands(main)
    for parameter in takes_words(command)
    for value in odd(path, parameter) or ()
]


def test_every_word_that_a_command_takes_is_tried():
    untried = {
        f"{path} {spelled(parameter)}"
        for path, command in commands(main)
        for parameter in takes_words(command)
        if odd(path, parameter) is None
    }
    assert untried == ANY_WORD


def test_there_are_many():
    assert len(CASES) >= 200


@pytest.fixture
def touched(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a command reached for: no process starts, nothing is connected."""
    reached: list[str] = []

    def refuse(*words: Any, **_options: Any) -> NoReturn:
        reached.append(str(words[1:])[:200])
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda _self: None)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("rmc_dr.estate.load", lambda _inventory: ours)
    monkeypatch.setenv("RMC_DR_INVENTORY", str(ours.inventory))
    return reached


def words_for(path: str, name: str, value: str) -> list[str]:
    """The command with this one word wrong, and with what else it asks for."""
    command = dict(commands(main))[path]
    given: list[str] = []
    for parameter in takes_words(command):
        if spelled(parameter) == name and isinstance(parameter, click.Option):
            given += [f"{name}={value}"]
        elif isinstance(parameter, click.Option) and parameter.required:
            given += [spelled(parameter), "words"]
    said = [
        value if spelled(one) == name else WHAT_STANDS_BESIDE.get(str(one.name), "words")
        for one in takes_words(command)
        if isinstance(one, click.Argument) and (one.required or spelled(one) == name)
    ]
    return [*path.split(), *given, "--", *said]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("path", "name", "value"), CASES)
def test_a_wrong_word_is_refused_in_a_sentence(
    path: str, name: str, value: str, touched: list[str], state: Path
):
    before = everything(state)
    said: Result = CliRunner().invoke(main, words_for(path, name, value), color=True)
    text = said.output.replace(MARK, "Error:")
    assert "itself failed" not in text, text
    assert said.exit_code in (2, 3) or (name in AFTER_A_LOOK and said.exit_code == 1), text
    assert "Hint:" in text or "--help" in text, text
    assert "\x1b" not in text, "a word is not printed raw"
    assert touched == [] or name in AFTER_A_LOOK
    assert everything(state) == before
