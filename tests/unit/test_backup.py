"""Taking and expiring backups; hosts and playbook are played by the test, record and locks are real."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from role_module import program
from test_backups import DIFF, FULL, NOW, SNAPSHOT, backup, seen

from rmc_dr import backup as story
from rmc_dr import backup_record, content, expiry
from rmc_dr.backups import BackupsObservation, Room, Surroundings
from rmc_dr.errors import BadInput, Error, Locked, Refused
from rmc_dr.estate import Estate
from rmc_dr.observe import backups
from rmc_dr.observe import expiry as expiry_eyes
from rmc_dr.pair import Limits, Node, PairObservation, Role
from rmc_dr.runner import Failure, Outcome

HOSTS = ("app1", "db1", "db2")
SNAPSHOTS = {host: {"snapshots": [{"name": "configuration", "id": "1", "files": 1}]} for host in HOSTS}


class Stage:
    """Stands in for the pair, the look at the backups and the playbook."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        self.seen = seen()
        self.outcome = Outcome("ok", 3.0, facts={**SNAPSHOTS, "db2": {"label": "L", **SNAPSHOTS["db2"]}})
        self.played: list[tuple[str, dict[str, Any]]] = []
        self.during: Callable[[], object] = lambda: None
        self.locks: list[str] = []

    def pair(self, _estate: Estate) -> PairObservation:
        return PairObservation(self.nodes, (), (), Limits(1, 1.0))

    def look(self, _estate: Estate, _verified: Any) -> BackupsObservation:
        return self.seen

    def play(self, _estate: Estate, playbook: str, **options: Any) -> Outcome:
        self.played.append((playbook, options["variables"]))
        self.during()
        return self.outcome


PRIMARY, STANDBY = Node("db1", Role.PRIMARY), Node("db2", Role.STANDBY, streaming=True)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, state: Path) -> Stage:
    assert state == content.STATE
    stands_in = Stage(PRIMARY, STANDBY)
    monkeypatch.setattr(story, "observe_pair", stands_in.pair)
    monkeypatch.setattr(story, "observe_backups", stands_in.look)
    monkeypatch.setattr(story, "run_playbook", stands_in.play)
    monkeypatch.setattr(expiry, "run_playbook", stands_in.play)
    monkeypatch.setattr(story, "running", lambda *_: None)
    monkeypatch.setattr(expiry.target_lock, "take", lambda *_: stands_in.locks.append("take"))
    monkeypatch.setattr(expiry.target_lock, "release", lambda *_: stands_in.locks.append("release"))
    return stands_in


def silent(_event: str, **_fields: Any) -> None:
    pass


def plan(estate: Estate, **asked: Any) -> story.Plan:
    return story.make_plan(estate, **{"database": True, "files": True, **asked})


def test_the_standby_is_read_where_one_follows(estate: Estate, stage: Stage) -> None:
    assert plan(estate).host == "db2"
    stage.nodes = (PRIMARY, Node("db2", Role.STANDBY, streaming=False))
    lonely = plan(estate)
    assert lonely.host == "db1"
    assert "unprotected" in lonely.why


@pytest.mark.parametrize("nodes", [(STANDBY,), (PRIMARY, Node("db2", Role.PRIMARY))])
def test_without_exactly_one_primary_it_refuses(
    estate: Estate, stage: Stage, nodes: tuple[Node, ...]
) -> None:
    stage.nodes = nodes
    with pytest.raises(Refused) as error:
        plan(estate)
    assert error.value.code == "no-primary"
    assert plan(estate, database=False).files == HOSTS


@pytest.mark.parametrize(
    ("backups", "kind"),
    [
        ((), "full"),
        (None, "full"),
        ((FULL, DIFF), "diff"),
        ((backup("20261117-010000F", age=timedelta(days=7)), DIFF), "full"),
        ((backup("20261123-010000F", damaged=True),), "full"),
        ((backup("20261123-010000F", first=90, last=91),), "full"),
    ],
)
def test_a_full_backup_is_due_without_a_sound_young_one(
    estate: Estate, stage: Stage, backups: Any, kind: str
) -> None:
    stage.seen = seen(database=backups)
    assert plan(estate).kind == kind
    assert plan(estate, kind="full").kind == "full"


def test_what_was_done_is_kept(estate: Estate, stage: Stage) -> None:
    done = story.run(estate, plan(estate), silent)
    assert (done.label, set(done.snapshots)) == ("L", set(HOSTS))
    assert stage.played == [
        ("backup.yml", {"backup_host": "db2", "backup_files": True, "pgbackrest_type": "diff"})
    ]
    database, files = backup_record.entries(estate.name)
    assert (database.what, database.kind, database.ok, database.about) == (
        "database",
        "diff",
        True,
        {"label": "L"},
    )
    assert (files.what, files.ok, set(files.about["snapshots"])) == ("files", True, set(HOSTS))
    assert backup_record.last_ended_well(estate.name, "database") == database.ended
    assert backup_record.last_ended_well(estate.name, "database", ("full",)) is None
    backup_record.forget(estate.name)
    assert list(backup_record.entries(estate.name)) == []


def test_half_a_success_is_recorded_as_what_it_is(estate: Estate, stage: Stage) -> None:
    facts = {"db2": {"label": "L", **SNAPSHOTS["db2"]}, "db1": SNAPSHOTS["db1"]}
    stage.outcome = Outcome("failed", 3.0, facts=facts, failures=(Failure("app1", "a task", "unreachable"),))
    with pytest.raises(Error, match="app1: a task: unreachable") as error:
        story.run(estate, plan(estate), silent)
    assert "L, db1, db2" in error.value.hint.replace("db2, db1", "db1, db2")
    database, files = backup_record.entries(estate.name)
    assert (database.ok, files.ok) == (True, False)
    assert files.about["failed"] == ["app1: a task: unreachable"]


def test_one_backup_of_a_repository_at_a_time(estate: Estate, stage: Stage) -> None:
    refused: list[str] = []

    def another() -> None:
        stage.during = lambda: None
        with pytest.raises(Locked) as error:
            story.run(estate, plan(estate, database=False), silent)
        refused.append(error.value.code)
        story.run(estate, plan(estate, files=False), silent)

    stage.during = another
    story.run(estate, plan(estate, database=False), silent)
    assert refused == ["backup-running"]


def test_a_torn_line_of_the_record_is_left_out(estate: Estate, stage: Stage) -> None:
    story.run(estate, plan(estate), silent)
    path = backup_record.folder() / f"{estate.name}.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as file:
        file.write('{"what": "files", "started": "2026-')
    assert len(list(backup_record.entries(estate.name))) == 2


def test_what_was_verified_comes_from_the_record(estate: Estate, state: Path) -> None:
    for ok, labels in ((True, ["A", "B"]), (False, ["C"])):
        backup_record.append(
            estate.name, backup_record.Entry("verify", NOW, NOW, ok, about={"labels": labels})
        )
    assert backup_record.verified(estate.name) == {"A": NOW, "B": NOW}


def all_snapshots() -> tuple[Any, ...]:
    names = [("app1", "attachments"), *((host, "configuration") for host in HOSTS)]
    return tuple(replace(SNAPSHOT, host=host, name=name) for host, name in names)


def test_an_expiry_keeps_what_must_stay(estate: Estate, stage: Stage) -> None:
    fresh = backup("20261123-010000F", age=timedelta(hours=20))
    locked = backup("20261025-010000F", age=timedelta(days=30), locked_until=NOW + timedelta(days=5))
    free = backup("20261015-010000F", age=timedelta(days=40), locked_until=NOW - timedelta(days=5))
    old = (free, locked, fresh)
    more = backup("20261124-010000F", age=timedelta(hours=2))
    snapshots = all_snapshots()
    ended = [
        replace(snapshots[0], id=f"{number}" * 8, taken=NOW - timedelta(days=30 + number), own_lock=NOW)
        for number in range(3)
    ]
    stage.seen = seen(database=(*old, more), files=(*ended, *snapshots))
    done = expiry.expire(estate, silent)
    assert done.full == 3
    assert done.expires == ("20261015-010000F",)
    assert done.snapshots == ("11111111", "22222222")
    assert stage.played == [
        ("backup-expire.yml", {"pgbackrest_keep_full": 3, "file_backup_gone": ["11111111", "22222222"]})
    ]
    assert stage.locks == ["take", "release"]
    (entry,) = backup_record.entries(estate.name)
    assert entry.about["expired"] == ["20261015-010000F"]
    assert (entry.host, entry.about["snapshots"]) == ("verify1", ["11111111", "22222222"])


def test_an_expiry_needs_the_host_that_no_database_runs_on(estate: Estate, stage: Stage) -> None:
    without = {name: host for name, host in estate.hosts.items() if "verifier" not in host.groups}
    for call in (expiry.plan_expiry, lambda one: expiry.expire(one, silent)):
        with pytest.raises(BadInput, match="verifier"):
            call(replace(estate, hosts=without))
    assert stage.played == []


def test_what_a_killed_expiry_left_at_work_is_waited_for(
    estate: Estate, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(story, "end_leftovers", ended.append)
    monkeypatch.setattr(story, "expiring", lambda _estate: "verify1")
    for call in (lambda: expiry.expire(estate, silent), lambda: story.run(estate, plan(estate), silent)):
        with pytest.raises(Locked, match="verify1") as error:
            call()
        assert error.value.code == "backup-running"
    assert stage.played == []
    assert ended == ["expire-lab"] * 2


def test_an_expiry_is_looked_for_on_its_host_and_a_silent_host_holds_no_backup_up(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    ends = [0, 3, None]

    def ask(_estate: Estate, host: Any, remote: str, seconds: float) -> Any:
        asked.append((host.name, remote))
        if (code := ends.pop(0)) is None:
            raise subprocess.TimeoutExpired("ssh", seconds)
        return subprocess.CompletedProcess([], code)

    monkeypatch.setattr(expiry_eyes.ssh, "ask", ask)
    assert [expiry_eyes.expiring(estate) for _again in range(3)] == ["verify1", "", ""]
    assert asked == [("verify1", "systemctl is-active --quiet rmc-dr-expiry.scope")] * 3
    for task in ("pgbackrest", "file_backup"):
        text = (content.root() / f"roles/{task}/tasks/expire.yml").read_text()
        assert f"--unit={expiry_eyes.SCOPE.removesuffix('.scope')}" in text


def test_bad_news_is_told_in_the_estates_language(estate: Estate) -> None:
    chinese = replace(estate, config=estate.config.model_copy(update={"language": "zh"}))
    told = story.bad_news(chinese, seen(database=()), {})
    assert "there is no backup of the database" not in told
    assert "there is no backup of the database" in story.bad_news(estate, seen(database=()), {})


def test_an_expiry_is_not_refused_because_room_is_short(estate: Estate, stage: Stage) -> None:
    """It is what makes room."""
    full = Surroundings(room={"bucket": Room(99, 100)})
    stage.seen = seen(files=all_snapshots(), surroundings=full)
    assert expiry.expire(estate, silent).expires == ()


def test_nothing_expires_while_the_backups_are_not_well(estate: Estate, stage: Stage) -> None:
    stage.seen = seen(files=())
    with pytest.raises(Refused) as error:
        expiry.expire(estate, silent)
    assert error.value.code == "backups-not-well"
    assert stage.played == []


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=6),
    ),
    st.integers(0, 60),
)
def test_a_sweep_takes_only_what_was_hidden_long_ago(
    keys: dict[str, list[tuple[int, bool]]], days: int
) -> None:
    """Ages in days, the youngest shown; true is a marker, which hides but is no version."""
    versions, expected = [], set()
    for key, found in sorted(keys.items()):
        ages = sorted(found)
        for index, (age, marker) in enumerate(ages):
            name = f"{key}{index}"
            size = {} if marker else {"Size": 1}
            when = NOW - timedelta(days=age)
            versions.append(
                {"Key": key, "VersionId": name, "IsLatest": index == 0, "LastModified": when, **size}
            )
            if index and ages[index - 1][0] > days:
                expected.add(name)
    swept = program("roles/store/module_utils/store_hidden.py").long_hidden(versions, NOW, days)
    taken = {version["VersionId"] for version in swept}
    assert len(taken) == len(expected)
    assert not any(version["IsLatest"] for version in versions if version["VersionId"] in taken)


def test_the_playbooks_take_what_python_gives() -> None:
    playbooks = content.root() / "playbooks"
    backup_text = (playbooks / "backup.yml").read_text()
    assert all(name in backup_text for name in ("backup_host", "backup_files", "pgbackrest_type"))
    plays = yaml.safe_load((playbooks / "backup-expire.yml").read_text())
    assert [play["hosts"] for play in plays] == ["verifier", "verifier", "store"], "never a database host"
    for role, names in (
        ("pgbackrest", ("pgbackrest_type", "pgbackrest_keep_full")),
        ("file_backup", ("file_backup_gone",)),
    ):
        defaults = (content.root() / f"roles/{role}/defaults/main.yml").read_text()
        assert all(f"{name}:" in defaults for name in names)


def test_hosts_that_wait_for_a_dead_store_cost_about_a_minute_in_all(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def silent(words: list[str], *, timeout: float, **_more: Any) -> None:
        waited.append(timeout)
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(backups.Silent):
        backups.observe_snapshots(estate)
    assert len(waited) == len(estate.group("appserver")) + len(estate.group("dbserver")) + 1
    assert sum(waited) <= 75
