"""What is printed is what was said: no markup, no terminal sequence, no lost name, no early end."""

from __future__ import annotations

import ast
import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from rmc_dr import content, rebuild
from rmc_dr.cli import status
from rmc_dr.cli.common import Context
from rmc_dr.console import Console, name_column
from rmc_dr.estate import Estate
from rmc_dr.model import HostObservation, Reach
from rmc_dr.observe import hosts

PACKAGE = Path(__file__).parents[2] / "rmc_dr"
ODD = "Klinik [/b] [red]x[/red] \x1b[2J\u202e :bell: 数据"
SHOWN = "Klinik [/b] [red]x[/red] �[2J� :bell: 数据"
NAME = "20261125T170240Z-inspection-1f2e"
PROGRAM = [sys.executable, "-c", "from rmc_dr.cli import main; main()"]


def printed(what: Any, **options: Any) -> str:
    out = io.StringIO()
    Console(file=out, **options).print(what)
    return out.getvalue()


def rows() -> Table:
    table = Table(name_column("ID"), "Title", "By", "Reason", box=None)
    table.add_row(NAME, "A quarterly inspection", "somebody", "a reason of several words that is long")
    return table


def test_what_others_say_is_shown_as_it_is_and_steers_nothing() -> None:
    table = Table("a")
    table.add_row(ODD)
    for what in (ODD, table, Text(ODD)):
        assert SHOWN in printed(what, width=120)


def test_bare_rmc_dr_shows_the_centre_and_the_command_as_they_are(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.config.__dict__["centre"] = f"{ODD}\nx"
    monkeypatch.setattr(rebuild, "pair_state", lambda _estate: rebuild.PairState("unknown"))
    monkeypatch.setattr(hosts, "observe_host", lambda _estate, host: HostObservation(host.name, Reach.SILENT))
    monkeypatch.setattr(sys, "argv", ["rmc-dr", "-i", "[red]est"])
    context = Context()
    context.__dict__["_estate"] = ours
    said = CliRunner().invoke(status.status, obj=context, standalone_mode=False, catch_exceptions=False)
    assert said.output.splitlines()[0] == f"{SHOWN} x (lab)"
    assert "Next: rmc-dr -i '[red]est' " in said.output


def test_there_is_no_other_console_and_nobody_turns_markup_on() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console"
            for alias in node.names
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            on = [
                one
                for one in node.keywords
                if one.arg in ("markup", "emoji") and ast.unparse(one.value) != "False"
            ]
            if (
                (called == "Console" and "Console" in known)
                or called.endswith(("from_markup", "rich.print"))
                or on
            ):
                wrong.append(f"{path.name}:{node.lineno}: {called}")
    assert wrong == []


def test_a_name_is_whole_on_a_small_terminal_and_a_row_is_a_line_in_a_pipe() -> None:
    for width in (40, 60, 80):
        assert NAME in printed(rows(), width=width, force_terminal=True)
    assert [line.split() for line in printed(rows()).splitlines()][1][:2] == [NAME, "A"]
    assert len(printed(rows()).splitlines()) == 2


@pytest.mark.parametrize("columns", ["0", "00", ""])
def test_a_terminal_of_no_width_is_one_of_unknown_width(columns: str) -> None:
    words = [*PROGRAM, "incident", "findings"]
    done = subprocess.run(words, env={**os.environ, "COLUMNS": columns}, capture_output=True, text=True)
    assert (done.returncode, "application-stopped" in done.stdout) == (0, True)


def without_a_reader(*words: str) -> tuple[int, str]:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*PROGRAM, *words], stdout=write, stderr=subprocess.PIPE, text=True, cwd=content.root()
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["incident", "findings"], 0),
        (["incident", "findings", "--json"], 0),
        (["-i", "inventories/example", "estate", "check"], 2),
    ],
)
def test_a_reader_who_leaves_changes_nothing_of_how_a_command_ends(words: list[str], code: int) -> None:
    ended, said = without_a_reader(*words)
    assert ended == code
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("say", ["Context().console.print('x')", "click.echo('x')", "print('x', flush=True)"])
def test_work_goes_on_when_nobody_reads_any_more(tmp_path: Path, say: str) -> None:
    program = f"""
import click, sys
from pathlib import Path
from rmc_dr.cli.common import Context, Group
@click.group(cls=Group)
def main(): pass
@main.command()
def work():
    for n in range(3):
        {say}
        Path("{tmp_path}", str(n)).touch()
    sys.exit(7)
main(["work"])
"""
    read, write = os.pipe()
    os.close(read)
    try:
        assert subprocess.run([sys.executable, "-c", program], stdout=write).returncode == 7
    finally:
        os.close(write)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_terminal_is_still_seen_as_one(unbuffered: str) -> None:
    ours, theirs = pty.openpty()
    program = """
import sys
from rmc_dr.cli.terminal import make_ready
make_ready()
from rmc_dr.console import Console
sys.stdout.write("said at once\\n")
sys.stderr.write(repr((sys.stdout.isatty(), Console().is_terminal)))
sys.stderr.flush()
sys.stdin.read()
"""
    environment = {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": unbuffered}
    words = [sys.executable, "-c", program]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert os.read(ours, 100) == b"said at once\r\n"
        assert process.communicate()[1] == b"(True, True)"
    os.close(ours)
    os.close(theirs)
