"""What `rmc-dr deploy` asks for and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deploy_world import (
    World,
    bring,
    copy_of,
    passed,
    stand_in,
)
from test_backups import seen

from rmc_dr import content
from rmc_dr.cli import common, main
from rmc_dr.estate import Estate


@pytest.fixture
def copied(estate: Estate, tmp_path: Path) -> Estate:
    return copy_of(estate, tmp_path)


@pytest.fixture
def world(state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    assert state == content.STATE
    return stand_in(World(), monkeypatch)


@pytest.fixture
def typed(copied: Estate, world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(common.Context, "_estate", copied)
    world.plan = [passed("1.0.0", "1.1.0")]

    def call(*words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, ["deploy", "management", *words], input=stdin, standalone_mode=False)

    return call


TOLD = ("--notes", "修正报表打印", "--training", "no", "--consent", "李主任")


def test_without_a_terminal_everything_must_be_said(typed: Any, world: World) -> None:
    done = typed("--release", "1.1.0", "--yes")
    assert (done.exit_code, world.played) == (2, [])
    assert "--notes, --training, --consent" in done.output
    assert typed("--release", "1.1.0", "--plan").exit_code == 0
    assert typed("--release", "1.1.0", *TOLD).exit_code == 2, "nobody typed its name"
    assert world.played == []
    assert typed("--release", "1.1.0", *TOLD, "--yes").exit_code == 0
    assert len(world.played) == len(world.kept) == 1


def test_keeping_the_scene_is_skipped_only_with_a_reason(typed: Any, world: World) -> None:
    assert typed("--release", "1.1.0", *TOLD, "--yes", "--skip-preserve", " ").exit_code == 2
    assert world.played == []
    assert typed("--release", "1.1.0", *TOLD, "--yes", "--skip-preserve", "users wait").exit_code == 0
    assert (len(world.played), world.kept) == (1, [])
    world.plan = [passed("1.1.0", "1.0.0")]
    assert typed("--rollback", "--yes", "--skip-preserve", "users wait").exit_code == 0
    assert (len(world.played), world.kept) == (2, [])


def test_the_plan_says_what_it_costs(typed: Any, world: World) -> None:
    bring(world, "0001-a.sql")
    world.backups = seen(database=())
    said = typed("--release", "1.1.0", "--plan").output
    for word in (
        "Preserve what can still be",
        "at most 20 min",
        "management: 1.0.0 -> 1.1.0",
        "not measured",
        "CANNOT BE TAKEN BACK: 0001-a.sql",
        "no backup",
    ):
        assert word in said
    document = json.loads(typed("--release", "1.1.0", "--plan", "--json").output)
    assert (document["event"], document["final"]) == ("plan", ["0001-a.sql"])


def test_json_ends_with_what_came_of_it(typed: Any) -> None:
    lines = typed("--release", "1.1.0", *TOLD, "--yes", "--json").output.splitlines()
    done = json.loads(lines[-1])
    assert (done["event"], done["release"], done["users_out_seconds"]) == ("deploy", "1.1.0", 7.5)
