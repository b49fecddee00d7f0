"""A deploy that migrates a database: what it needs before, and what it takes back afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deploy_world import (
    BACK,
    DEPLOY,
    TERMS,
    UNDO,
    World,
    bring,
    copy_of,
    failed,
    go,
    last,
    passed,
    sick,
    stand_in,
)
from test_backups import FULL, HOUR, backup, seen
from test_pair import silent as silent_node
from test_pair import well, with_node

from rmc_dr import content, deploy
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.migrations import Ran
from rmc_dr.pair import Role
from rmc_dr.record import runs
from rmc_dr.runner import Failure, Outcome


@pytest.fixture
def copied(estate: Estate, tmp_path: Path) -> Estate:
    return copy_of(estate, tmp_path)


@pytest.fixture
def world(state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    assert state == content.STATE
    return stand_in(World(), monkeypatch)


def test_migrations_are_known_before_and_need_a_young_backup(copied: Estate, world: World) -> None:
    bring(world, "0002-b.sql", "0001-a.sql", "0001-a.undo.sql")
    world.ran = [Ran({"0001-a.sql": "d" * 64}, False)]
    prepared = deploy.prepare(copied, "management", "1.1.0")
    assert [(one.name, one.undo) for one in prepared.migrations] == [("0002-b.sql", False)]
    world.backups = seen(database=(backup("20261123-010000F", age=27 * HOUR),))
    old = deploy.prepare(copied, "management", "1.1.0")
    with pytest.raises(Refused, match=r"27\.0 h old") as refused:
        deploy.deploy(copied, old, TERMS, [])
    assert (refused.value.code, list(runs()), world.played) == ("no-young-backup", [], [])
    world.plan = [passed("1.0.0", "1.1.0", migrated=["0002-b.sql"])]
    done = deploy.deploy(copied, old, TERMS, [], "the store burns")
    assert done.migrated == ("0002-b.sql",)
    assert [event.event for event in last().accepted] == ["no-backup-accepted"]


def test_without_a_primary_migrations_are_not_even_planned(copied: Estate, world: World) -> None:
    bring(world, "0001-a.sql")
    world.pair = with_node(well(), 0, **silent_node(0))
    with pytest.raises(Refused) as refused:
        deploy.prepare(copied, "management", "1.1.0")
    assert refused.value.code == "no-primary"


def test_an_empty_database_needs_no_migration(copied: Estate, world: World) -> None:
    bring(world, "0001-a.sql")
    world.ran = [Ran({}, True)]
    assert deploy.prepare(copied, "management", "1.1.0").migrations == ()


def test_a_failed_release_takes_its_migrations_back(copied: Estate, world: World) -> None:
    bring(world, "0001-a.sql", "0001-a.undo.sql")
    bad = sick(passed("1.0.0", "1.1.0", migrated=["0001-a.sql"]), "management")
    world.plan = [bad, (Outcome("ok", 1.0), set()), passed("1.1.0", "1.0.0")]
    with pytest.raises(Error) as caught:
        go(copied)
    assert caught.value.code == "deploy-rolled-back"
    assert world.played == [("deploy", DEPLOY), ("undo", UNDO), ("deploy", BACK)]
    assert last().deployed["undone"] is True


def test_the_release_before_comes_back_though_the_undo_fails(copied: Estate, world: World) -> None:
    bring(world, "0001-a.sql", "0001-a.undo.sql")
    bad = sick(passed("1.0.0", "1.1.0", migrated=["0001-a.sql"]), "management")
    no_undo = Outcome("failed", 1.0, failures=(Failure("app1", "undo", "it is locked"),))
    world.plan = [bad, (no_undo, set()), sick(passed("1.1.0", "1.0.0"), "management")]
    with pytest.raises(Error) as caught:
        go(copied)
    assert (caught.value.code, world.played[2]) == ("deploy-broken", ("deploy", BACK))
    assert "it is locked" in caught.value.hint
    assert "rmc-dr restore database --to 20" in caught.value.hint


def test_what_cannot_be_taken_back_is_left_and_said(copied: Estate, world: World) -> None:
    bring(world, "0001-a.sql", "0001-a.undo.sql", "0002-b.sql")
    bad = sick(passed("1.0.0", "1.1.0", migrated=["0001-a.sql", "0002-b.sql"]), "management")
    world.plan = [bad, passed("1.1.0", "1.0.0")]
    with pytest.raises(Error) as caught:
        go(copied)
    assert [stage for stage, _variables in world.played] == ["deploy", "deploy"]
    assert "cannot be taken back: 0001-a.sql, 0002-b.sql" in caught.value.hint


@pytest.mark.parametrize(
    ("ran", "said"),
    [
        (Ran({}, False), "None of its migrations has run"),
        (Ran({"0001-a.sql": "d" * 64}, False), "all the same"),
    ],
)
def test_what_a_cut_connection_has_left_is_looked_at(
    copied: Estate, world: World, ran: Ran, said: str
) -> None:
    bring(world, "0001-a.sql")
    world.ran = [Ran({}, False), Ran({}, False), ran]
    world.plan = [failed("1.0.0", switched=False)]
    with pytest.raises(Error) as caught:
        go(copied)
    assert said in caught.value.hint


def test_a_database_that_somebody_migrated_meanwhile_is_looked_at_anew(copied: Estate, world: World) -> None:
    bring(world, "0001-a.sql")
    world.ran = [Ran({}, False), Ran({"0001-a.sql": "d" * 64}, False)]
    with pytest.raises(Refused, match="somebody has migrated") as refused:
        go(copied)
    assert (refused.value.code, world.played, last().outcome) == ("gate-deploy", [], "refused")


def test_no_deploy_into_a_split_pair(copied: Estate, world: World) -> None:
    world.pair = with_node(well(), 1, role=Role.PRIMARY)
    with pytest.raises(Refused) as refused:
        go(copied)
    assert (refused.value.code, world.played) == ("gate-deploy", [])


@pytest.mark.parametrize(
    ("seen_", "said"),
    [
        (seen(), ""),
        (seen(database=(FULL,)), ""),
        (seen(database=(backup("20261123-010000F", age=27 * HOUR),)), "27.0 h old"),
        (seen(database=(backup("20261123-010000F", damaged=True),)), "there is no backup"),
        (seen(database=()), "there is no backup"),
        (seen(database=None, errors={"pgbackrest": "db1: no answer"}), "db1: no answer"),
    ],
)
def test_how_old_a_backup_may_be(seen_: Any, said: str) -> None:
    answer = deploy.young_enough(seen_, 26)
    assert answer.yes == (not said)
    assert said in answer.reason
