"""However a command ends, it says one sentence and a hint, with a documented exit code; never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

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
