"""What `restore files --plan` says before anything changes, and the list of backups on a narrow terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from rmc_dr import backup, command, restore_files
from rmc_dr.backups import BackupsObservation, DatabaseBackup, FileSnapshot
from rmc_dr.backups.forecast import speed_of
from rmc_dr.cli import common, main
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.observe.backups import Silent
from rmc_dr.plans.moment import Moment

NOON = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)


def snapshot(name: str, hours: int, host: str = "app1", tag: str = "attachments") -> FileSnapshot:
    return FileSnapshot(name, host, tag, NOON + timedelta(hours=hours), 8112, 1_200_000_000, 5)


KNOWN = (
    snapshot("aaaa", -24), snapshot("bbbb", 0), snapshot("cccc", 24),
    snapshot("dddd", 30, tag="configuration"), snapshot("eeee", 30, host="db1"),
)  # fmt: skip


@pytest.fixture
def known(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> Estate:
    monkeypatch.setattr(common.Context, "_estate", estate)
    monkeypatch.setattr(restore_files, "observe_snapshots", lambda _estate: KNOWN)
    monkeypatch.setattr(command, "run_playbook", lambda *_w, **_o: pytest.fail("a plan changes nothing"))
    monkeypatch.setattr(restore_files, "files_speed", lambda _estate: None)
    return estate


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        (Moment(), "cccc"),
        (Moment(NOON + timedelta(hours=1)), "bbbb"),
        (Moment(NOON), "bbbb"),
        (Moment(NOON - timedelta(seconds=1)), "aaaa"),
    ],
)
def test_the_plan_names_the_snapshot_that_the_restore_takes(known: Estate, to: Moment, wanted: str) -> None:
    assert [plan.snapshot for plan in restore_files.plan_files(known, to, [])] == [wanted]


def test_no_snapshot_is_refused_as_the_restore_would_be(known: Estate) -> None:
    with pytest.raises(Refused, match="app1"):
        restore_files.plan_files(known, Moment(NOON - timedelta(days=9)), [])


def test_a_path_outside_is_refused_in_the_plan(known: Estate) -> None:
    with pytest.raises(BadInput):
        restore_files.plan_files(known, Moment(), ["../etc"])


def test_when_nobody_tells_it_is_said(known: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_estate: Estate) -> None:
        raise Silent("app1: Fatal: unable to open repository")

    monkeypatch.setattr(restore_files, "observe_snapshots", silent)
    with pytest.raises(Error, match="unable to open repository"):
        restore_files.plan_files(known, Moment(), [])


def test_the_plan_says_what_is_known_and_what_is_not(known: Estate) -> None:
    said = call("restore", "files", "--plan", "--path", "management/2026").output
    assert "app1: from snapshot cccc of 2026-11-25 " in said
    assert "8112 files, 1.2 GB" in said
    assert "Of it only: management/2026" in said
    assert "unknown until they are compared" in said
    [plan] = json.loads(call("restore", "files", "--plan", "--json").output)
    assert (plan["snapshot"], plan["files"], plan["bytes"], plan["paths"]) == (
        "cccc",
        8112,
        1_200_000_000,
        [],
    )


def test_the_plan_says_how_long_and_who_is_held_up(known: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call("restore", "files", "--plan").output
    assert "How long it takes is unknown: no verification has measured it." in said
    assert "only where a file differs the applications are stopped" in said
    speed = speed_of({"sample_bytes": 120_000_000, "sample_seconds": 10}, NOON)
    monkeypatch.setattr(restore_files, "files_speed", lambda _estate: speed)
    assert "about 1 min 40 s, at the speed that" in call("restore", "files", "--plan").output
    [plan] = json.loads(call("restore", "files", "--plan", "--json").output)
    assert plan["seconds"] == 100


def test_the_plan_is_shown_before_anybody_confirms(known: Estate) -> None:
    said = call("restore", "files")
    assert said.exit_code == 2
    assert "from snapshot cccc" in said.output


def test_a_path_is_no_template(known: Estate) -> None:
    for path in ("{{ vault }}", "a/{% x %}", "{# y"):
        with pytest.raises(BadInput):
            restore_files.plan_files(known, Moment(), [path])


def seen(**changes: Any) -> BackupsObservation:
    full, diff = "20261124-010012F", "20261124-010012F_20261125-010009D"
    database = tuple(
        DatabaseBackup(
            label, kind, NOON, NOON, 812_300_000_000, 812_300_000_000, needs, "0" * 24, "0" * 24, "17-1", "7",
            locked_until=NOON + timedelta(days=30), verified=NOON,
        )
        for label, kind, needs in ((full, "full", ()), (diff, "diff", (full,)))
    )  # fmt: skip
    whole: dict[str, Any] = {
        "at": NOON + timedelta(days=9), "database": database, "files": KNOWN, "archived": {},
        "labels": (full, diff), "archiver": None,
    }  # fmt: skip
    return BackupsObservation(**{**whole, **changes})


def listed(estate: Estate, monkeypatch: pytest.MonkeyPatch, looked: BackupsObservation) -> str:
    monkeypatch.setattr(common.Context, "_estate", estate)
    monkeypatch.setattr(backup, "look", lambda _estate: looked)
    return CliRunner().invoke(main, ["backup", "list"], env={"COLUMNS": "80"}).output


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_list_fits_a_terminal_of_80_columns(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("RMC_DR_LANG", language)
    said = listed(estate, monkeypatch, seen())
    entries = [line for line in said.splitlines() if line.startswith("  ")]
    assert len(entries) == 23
    assert max(map(cell_len, entries)) <= 80
    for whole in ("20261124-010012F_20261125-010009D", "812.3 GB", "cccc  app1  attachments", "2026-12-24 "):
        assert whole in said


def test_what_is_unknown_is_not_none(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    said = listed(estate, monkeypatch, seen(database=None, files=(), labels=None)).splitlines()
    assert said[said.index("Database") + 1] == "  unknown"
    assert said[said.index("Files") + 1] == "  none"
    said = listed(estate, monkeypatch, seen(labels=None, files=(snapshot("a", 0),)))
    assert "lock unknown, never verified" in said
