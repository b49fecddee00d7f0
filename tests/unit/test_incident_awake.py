"""The look at the clocks is taken every minute: while no incident is open it costs next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from rmc_dr import response
from rmc_dr.cli.common import Context
from rmc_dr.cli.incident import incident as command
from rmc_dr.estate import Estate
from rmc_dr.incident import record
from rmc_dr.journal import NAME

MILD = ("image-not-shown",)


def test_a_look_at_the_clocks_costs_next_to_nothing_while_nothing_is_open(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every minute, for years: no inventory is read, no vault opened, and no old incident gone through."""
    old = response.start(ours, "an old one", MILD)
    response.close(ours, "long ago")
    journal = record.folder_of(old.incident) / NAME
    now = datetime.now(UTC)
    assert record.awake(now), "its news may still wait"
    os.utime(journal, (0, 0))
    read: list[str] = []
    monkeypatch.setattr(record, "read", read.append)
    context = Context()
    monkeypatch.setattr(Context, "estate", lambda _self: pytest.fail("the estate was read"))
    said = CliRunner().invoke(command, ["watch"], obj=context, standalone_mode=False)
    assert said.output == "No incident is open.\n"
    assert read == []


def test_an_open_incident_that_nobody_touched_for_long_is_awake(ours: Estate) -> None:
    state = response.start(ours, "left alone", MILD)
    response.note(ours, 'he wrote "event": "incident-closed"')
    os.utime(record.folder_of(state.incident) / NAME, (0, 0))
    assert record.awake(datetime.now(UTC))


def test_the_reading_of_the_clocks_loads_nothing_that_a_look_does_not_need(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from rmc_dr import content; content.STATE = pathlib.Path(sys.argv[1])\n"
        "from rmc_dr.cli import main\n"
        "try: main(['incident', 'watch'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*[name for name in ('rmc_dr.estate', 'rmc_dr.secrets', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "No incident is open.\n\n"
