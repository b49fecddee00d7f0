"""However a command ends, it says one sentence and a hint, with a documented exit code; never a traceback."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rmc_dr import content
from rmc_dr.cli.common import Group, with_estate

PROGRAM = [sys.executable, "-c", "from rmc_dr.cli import main; main()"]


def run(monkeypatch: pytest.MonkeyPatch, error: Exception, *words: str) -> int:
    @click.group(cls=Group)
    def main() -> None:
        """A command line of one command."""

    @main.command()
    @click.option("--json", is_flag=True)
    def fail(**_options: bool) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["rmc-dr", "fail", *words])
    with pytest.raises(SystemExit) as end:
        main.main(["fail", *words])
    return int(str(end.value.code))


def test_a_file_that_may_not_be_read(monkeypatch, capsys):
    assert run(monkeypatch, PermissionError(13, "Permission denied", "/etc/secret")) == 2
    said = capsys.readouterr()
    assert "/etc/secret: Permission denied." in said.err
    assert "as root" in said.err


def test_the_system_refuses(monkeypatch, capsys):
    assert run(monkeypatch, OSError(5, "Input/output error", "/var/lib/rmc-dr/x"), "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"] == "system-error"


def test_another_disk_that_is_full_costs_no_document(monkeypatch, capsys):
    assert run(monkeypatch, OSError(28, "No space left on device", "/var/lib/rmc-dr/x"), "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"] == "system-error"


def test_a_defect_is_said_and_kept(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(monkeypatch, ValueError("no such thing")) == 1
    said = capsys.readouterr().err
    (kept,) = tmp_path.iterdir()
    assert "Traceback" not in said
    assert str(kept) in said
    assert "ValueError: no such thing" in kept.read_text()


def test_a_full_disk_behind_the_output():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", ["<&- 2>&-", "2>&-", "<&- >&- 2>&-", "<&-"])
@pytest.mark.parametrize(
    ("words", "code"), [("runs", 0), ("-i inventories/example estate check", 2), ("report nothing", 2)]
)
def test_closed_streams_change_nothing_of_how_a_command_ends(
    tmp_path: Path, closed: str, words: str, code: int
):
    program = f"from rmc_dr import content; from pathlib import Path; content.STATE = Path('{tmp_path}'); "
    line = f'"{sys.executable}" -c "{program}{PROGRAM[-1]}" {words} {closed}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=content.root())
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr
    assert bool(done.stdout) is (">&- 2" not in closed and words != "report nothing")


def test_what_a_terminal_cannot_show_is_replaced(tmp_path: Path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "RMC_DR_LANG": "zh"}
    for words in (["-i", "inventories/example", "estate", "check"], ["runs"], ["nonsense"]):
        done = subprocess.run(
            [*PROGRAM, *words], env=environment, capture_output=True, text=True, cwd=content.root()
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert "UnicodeEncodeError" not in said


def test_a_language_that_there_is_not_is_said_once():
    environment = {**os.environ, "RMC_DR_LANG": "fr"}
    done = subprocess.run([*PROGRAM, "--help"], env=environment, capture_output=True, text=True)
    assert done.stderr == "RMC_DR_LANG=fr: there are only zh and en; English it is.\n"
    assert "Usage:" in done.stdout
    for known in ("zh", "zh_CN.UTF-8", "en", "EN_us", ""):
        environment["RMC_DR_LANG"] = known
        assert not subprocess.run([*PROGRAM, "--help"], env=environment, capture_output=True).stderr


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["db", "status"], "Run `rmc-dr resume`, or `rmc-dr` alone; `rmc-dr lab up` makes a lab."),
        (
            ["-i", "my estate", "db", "status"],
            "Run `rmc-dr -i 'my estate' resume`, or `rmc-dr` alone; `rmc-dr lab up` makes a lab.",
        ),
    ],
)
def test_a_hint_names_the_estate_where_the_operator_had_to(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], told: str
):
    monkeypatch.setattr("sys.argv", ["rmc-dr", *typed])
    assert with_estate("Run `rmc-dr resume`, or `rmc-dr` alone; `rmc-dr lab up` makes a lab.") == told


def on_a_terminal(program: str, *words: str) -> str:
    """What a terminal would get: nothing between strips an escape."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", program, *words], stdout=theirs, stderr=theirs, stdin=theirs, check=False
    )
    os.close(theirs)
    assert done.returncode in (0, 1, 2)
    said = b""
    try:
        while some := os.read(ours, 65536):
            said += some
    except OSError:  # the last reader of a pseudo-terminal gets EIO
        pass
    os.close(ours)
    return said.decode()


HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe\x9b31m"
STEERS = ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e")


@pytest.mark.parametrize(
    "program",
    [
        "import sys; from rmc_dr.cli.common import say_error; from rmc_dr.errors import Error; "
        "say_error(Error('x', f'the host said {sys.argv[1]}', f'Hint {sys.argv[1]}'))",
        "import sys; from rmc_dr.cli import main; main([f'--no-such{sys.argv[1]}'])",
        "import sys; from rmc_dr.cli.common import Context, teller; "
        "Context().console.print(f'the host said {sys.argv[1]}', style='red'); "
        "from rich.table import Table; table = Table(); table.add_column('x'); "
        "table.add_row(f'the host said {sys.argv[1]}'); Context().console.print(table)",
    ],
    ids=["error", "misuse", "console"],
)
def test_nothing_that_a_host_said_or_somebody_typed_steers_a_terminal(program: str) -> None:
    said = on_a_terminal(program, HOSTILE)
    assert "owned" in said
    assert not [sign for sign in STEERS if sign in said], ascii(said)


def test_what_a_playbook_tells_steers_no_terminal() -> None:
    program = (
        "import sys; from rmc_dr.cli import common; common.Context.incident_line = lambda self: None; "
        "tell = common.teller(common.Context()); "
        "tell('note', text=sys.argv[1]); tell('task', status='started', task='[red]' + sys.argv[1])"
    )
    said = on_a_terminal(program, HOSTILE)
    assert said.count("owned") == 2
    assert "[red]" in said
    assert not [sign for sign in STEERS if sign in said], ascii(said)


@pytest.mark.parametrize(
    "words",
    [
        ["incident", "show", "--json", "--bogus"],
        ["check", "--json", "--every", "x"],
        ["incident", "note", "--json"],
        ["nonsense", "--json"],
    ],
)
def test_a_usage_error_is_a_document_where_json_is_wanted(words: list[str]):
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True)
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert (said["error"], bool(said["message"]), bool(said["hint"])) == ("usage", True, True)


def test_who_gives_up_is_a_document_too(monkeypatch, capsys):
    assert run(monkeypatch, click.Abort(), "--json") == 5  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out)["error"] == "given-up"


def test_a_broken_pipe_of_a_program_is_said_and_no_reader_who_left(monkeypatch, capsys):
    assert run(monkeypatch, BrokenPipeError(32, "Broken pipe")) == 1
    assert "Broken pipe" in capsys.readouterr().err
