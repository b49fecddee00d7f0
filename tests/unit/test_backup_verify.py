"""A verification from first look to verdict; hosts and playbooks are played, record and locks are real."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from receivers import Hook, webhook
from test_backup import PRIMARY, STANDBY, Stage, silent
from test_backups import DIFF, FULL, seen

from rmc_dr import backup as backups
from rmc_dr import backup_record
from rmc_dr import backup_verify as story
from rmc_dr.backups import Level
from rmc_dr.backups.judge import Limits, remarks
from rmc_dr.cli.backup import backup as command
from rmc_dr.cli.common import Context
from rmc_dr.errors import Error, Interrupted, Locked
from rmc_dr.estate import Application, Estate, Secrets
from rmc_dr.model import Check
from rmc_dr.runner import Failure, Outcome
from rmc_dr.store.packs import Packs

STAGES = ["scratch", "repository", "copy", "recover", "pages", "business", "attachments", "journey", "sweep"]
NONE = {"value": "0"}
GOOD: dict[str, dict[str, Any]] = {
    "scratch": {"checks": [{"name": "room", "green": True}], "stop": False},
    "repository": {"checks": [{"name": "repository", "green": True}], "read": [DIFF.label, FULL.label]},
    "copy": {"checks": [{"name": "copy", "green": True}], "measured": {"copy_seconds": 9.0, "copy_bytes": 5}},
    "recover": {
        "checks": [{"name": "recovery", "green": True}, {"name": "isolated", "green": True}],
        "measured": {"recover_seconds": 4.0},
        "reached": {"newest": 1000.0, "at": 1030.0, "next": 70},
    },
    "pages": {"checks": [{"name": "amcheck", "green": True}]},
    "business": {"answers": {"patients": {"value": "3"}, "newest-check": {}, "check-without-patient": NONE}},
    "attachments": {
        "checks": [{"name": "sample", "green": True}],
        "measured": {"snapshots": ["aaaa"], "one_of": {"management": {"id": "an-id", "sha256": "a" * 64}}},
    },
    "journey": {"measured": {"ready_seconds": 7.0}},
    "sweep": {"checks": [{"name": "sweep", "green": True}]},
}  # fmt: skip


GAP = seen(archived={"17-1": ("000000010000000000000005", "000000010000000000000027")})


class World(Stage):
    """The stages of a verification as they end; each may be given another end."""

    def __init__(self) -> None:
        super().__init__(PRIMARY, STANDBY)
        self.said = {name: json.loads(json.dumps(said)) for name, said in GOOD.items()}
        self.said["business"]["answers"]["newest-check"]["value"] = f"{datetime.now(UTC):%F %T%z}"
        self.broken: dict[str, str] = {}
        self.given: dict[str, dict[str, Any]] = {}
        self.travelled: list[Application] = []
        self.passes = True
        self.next: int | None = 72
        self.packs = Packs(3, 5_000, (), {"a" * 64: "mark"})
        self.known: list[Any] = []

    def play(self, _estate: Estate, playbook: str, **options: Any) -> Outcome:
        stage = playbook.removeprefix("stages/").removeprefix("scratch-").removesuffix(".yml")
        self.given[stage] = options["variables"]
        self.during()
        if options["canceled"]():
            return Outcome("canceled", 1.0)
        if stage in self.broken:
            return Outcome("failed", 1.0, failures=(Failure("verify1", "a task", self.broken[stage]),))
        return Outcome("ok", 1.0, facts={"verify1": {"verification": self.said[stage]}})

    def travel(self, _estate: Estate, host: Any, app: Application, _through: Path) -> list[Check]:
        self.travelled.append(app)
        return [Check(f"journey {app.name} on {host.name}", self.passes, "" if self.passes else "status 500")]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, state: Path, estate: Estate) -> World:
    played = World()

    @contextmanager
    def through(words: list[str]) -> Iterator[Path]:
        assert "nsenter --net=" in words[-1]
        yield Path("/socket")

    monkeypatch.setattr(backups, "observe_backups", played.look)
    monkeypatch.setattr(story, "observe_pair", played.pair)
    monkeypatch.setattr(story, "run_playbook", played.play)
    monkeypatch.setattr(story, "next_transaction", lambda *_: played.next)
    monkeypatch.setattr(story.target_lock, "take", lambda *_: played.locks.append("take"))
    monkeypatch.setattr(story.target_lock, "release", lambda *_: played.locks.append("release"))
    monkeypatch.setattr(story.journey, "travel", played.travel)
    monkeypatch.setattr(story, "relayed", through)

    def read_new(_estate: Estate, known: Any, _stop: Any) -> Packs:
        played.known.append(known)
        return played.packs

    monkeypatch.setattr(story.packs, "read_new", read_new)
    return played


def red(verdict: Any) -> list[str]:
    return [proof.name for proof in verdict.red]


def test_a_clean_night_is_green_and_kept(estate: Estate, world: World) -> None:
    verdict = story.verify(estate, "night", silent)
    assert verdict.green, verdict.red
    assert list(world.given) == STAGES
    assert world.locks == ["take", "release"]
    assert (verdict.rpo_seconds, verdict.rto_seconds) == (30.0, 20.0)
    assert verdict.labels == (DIFF.label, FULL.label, "aaaa")
    assert [app.name for app in world.travelled] == ["management", "verification"]
    assert world.travelled[0].journey[-1] == {
        "get": "/management/api/attachments/an-id",
        "sha256": "a" * 64,
        "auth": "token",
    }
    (entry,) = backup_record.entries(estate.name)
    assert (entry.what, entry.kind, entry.ok, entry.host) == ("verify", "night", True, "verify1")
    assert set(backup_record.verified(estate.name)) == {DIFF.label, FULL.label, "aaaa"}
    assert set(backup_record.last_read(estate.name)) == {DIFF.label, FULL.label}
    assert json.loads((story.folder(verdict.started) / "verdict.json").read_text())["green"] is True


def test_what_the_playbooks_are_given(estate: Estate, world: World) -> None:
    story.verify(estate, "night", silent)
    common = {
        "run_id": "verify-lab",
        "verification_label": DIFF.label,
        "verification_room_bytes": 2_400 + 2**30,
    }
    assert world.given["pages"] == common
    assert world.given["copy"] == common
    assert world.given["recover"] == {**common, "verification_until": "000000010000000000000027"}
    assert world.given["repository"] == {
        **common,
        "verification_sets": [DIFF.label],
        "verification_whole": False,
        "verification_folders": [],
        "verification_packs": ["1/28"],
        "verification_items": [FULL.label, DIFF.label, "packs 1/28"],
        "verification_database": True,
        "verification_files": True,
    }
    assert world.given["attachments"] == {**common, "verification_compare": True}
    assert world.given["scratch"] == {**common, "verification_lease_seconds": story.LEASE_SECONDS}


@pytest.mark.parametrize(
    ("scope", "left_out"),
    [
        ("database", {"attachments"}),
        ("files", {"copy", "recover", "pages", "business", "journey"}),
        ("full", set()),
    ],
)
def test_each_scope_leaves_out_its_part(estate: Estate, world: World, scope: Any, left_out: set[str]) -> None:
    verdict = story.verify(estate, scope, silent)
    assert verdict.green, verdict.red
    assert list(world.given) == [name for name in STAGES if name not in left_out]


@pytest.mark.parametrize(
    ("stage", "not_tried"),
    [
        ("scratch", STAGES[1:-1]),
        ("repository", []),
        ("copy", ["recover", "pages", "business", "journey"]),
        ("recover", ["pages", "business", "journey"]),
        ("pages", []),
        ("business", []),
        ("attachments", []),
        ("journey", []),
    ],
)
def test_a_stage_that_fails_is_red_and_the_rest_is_still_looked_at(
    estate: Estate, world: World, stage: str, not_tried: list[str]
) -> None:
    world.broken[stage] = "No space left on device"
    verdict = story.verify(estate, "night", silent)
    assert list(world.given) == [name for name in STAGES if name not in not_tried], (
        "the sweep is never left out"
    )
    assert {stage, *not_tried} <= set(red(verdict))
    assert any("No space left" in proof.detail for proof in verdict.red)
    assert verdict.labels == ()
    assert not next(backup_record.entries(estate.name)).ok


def test_damage_that_was_found_keeps_nothing_from_being_looked_at(estate: Estate, world: World) -> None:
    world.said["repository"]["checks"] = [
        {"name": "wal", "green": False, "detail": "damaged", "objects": ["seg"]}
    ]
    world.said["repository"]["read"] = []
    verdict = story.verify(estate, "night", silent)
    assert list(world.given) == STAGES
    assert [(proof.name, proof.objects) for proof in verdict.red] == [("wal", ("seg",))]
    assert backup_record.last_read(estate.name) == {}
    assert backup_record.last_red(estate.name) == ("wal: damaged",)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda world: world.said["business"]["answers"].pop("patients"), "business"),
        (lambda world: world.said["business"]["answers"].update(patients={"value": "-1"}), "business"),
        (lambda world: world.said["business"]["answers"].update(patients={"problem": "42P01"}), "business"),
        (lambda world: setattr(world, "passes", False), "journey"),
        (lambda world: world.said["recover"]["reached"].update(newest=100.0), "rpo"),
        (lambda world: setattr(world, "seen", GAP), "archive"),
        (lambda world: setattr(world, "seen", seen(labels=())), "objects"),
        (lambda world: setattr(world, "seen", seen(errors={"restic": "silent"}, files=None)), "seen"),
        (lambda world: world.said["recover"].update(checks=[{"name": "isolated"}]), "isolated"),
    ],
)  # fmt: skip
def test_each_fault_has_its_red_proof(
    estate: Estate, world: World, change: Callable[[World], Any], name: str
) -> None:
    change(world)
    assert name in red(story.verify(estate, "night", silent))


def test_a_part_is_not_red_for_what_the_other_part_lacks(estate: Estate, world: World) -> None:
    world.seen = seen(labels=())
    assert "objects" in red(story.verify(estate, "database", silent))
    assert story.verify(estate, "files", silent).green
    world.seen = seen(errors={"restic": "silent"}, files=None)
    assert story.verify(estate, "database", silent).green
    assert "seen" in red(story.verify(estate, "files", silent))


def test_an_idle_night_loses_nothing(estate: Estate, world: World) -> None:
    world.next = 70
    world.said["recover"]["reached"]["newest"] = 1.0
    verdict = story.verify(estate, "night", silent)
    assert (verdict.rpo_seconds, verdict.green) == (0.0, True)


def test_without_a_replayed_commit_the_copy_is_as_of_its_backup(estate: Estate, world: World) -> None:
    world.said["recover"]["reached"] = {"newest": None, "at": DIFF.stopped.timestamp() + 40, "next": 70}
    assert story.verify(estate, "night", silent).rpo_seconds == 40


def test_stopped_by_the_operator_it_sweeps_and_records_nothing(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def stopped() -> Iterator[Callable[[], bool]]:
        yield lambda: len(world.given) > 2

    monkeypatch.setattr(story, "canceled_by_signal", stopped)
    with pytest.raises(Interrupted):
        story.verify(estate, "night", silent)
    assert list(world.given) == ["scratch", "repository", "copy", "sweep"]
    assert world.locks == ["take", "release"]
    assert list(backup_record.entries(estate.name)) == []


def test_one_verification_at_a_time_while_backups_go_on(estate: Estate, world: World) -> None:
    said: list[str] = []

    def meanwhile() -> None:
        world.during = lambda: None
        for repositories in (("verify",), ("database", "files", "verify"), ("database", "files")):
            try:
                with backups.one_at_a_time(estate, *repositories):
                    said.append("free")
            except Locked as error:
                said.append(error.code)

    world.during = meanwhile
    story.verify(estate, "night", silent)
    assert said == ["backup-running", "backup-running", "free"], "itself, an expiry, a backup"


def test_where_nobody_can_say_what_there_is_it_is_red(estate: Estate, world: World, hook: Hook) -> None:
    told = notifying(estate, hook)
    world.seen = seen(database=None, errors={"pgbackrest": "silent"})
    with pytest.raises(Error) as error:
        story.verify(told, "night", silent)
    assert error.value.code == "no-backup"
    assert world.given == {}
    assert "silent" in backup_record.last_red(estate.name)[0]
    assert "silent" in hook.said[0]["message"]


def notifying(estate: Estate, hook: Hook, **more: Any) -> Estate:
    """The estate with a receiver that keeps what it is told."""
    config = estate.config.model_copy(update={"backup": estate.config.backup.model_copy(update=more)})
    return replace(estate, config=config, secrets=Secrets({"notify": {"addresses": hook.address}}))


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as receiver:
        yield receiver


def test_bad_news_is_sent_and_good_news_is_not(
    estate: Estate, world: World, hook: Hook, tmp_path: Path
) -> None:
    told = notifying(estate, hook, textfile=tmp_path / "rmc-dr.prom")
    story.verify(told, "night", silent)
    assert hook.said == []
    assert (
        'rmc_dr_verification_green{estate="lab",scope="night"} 1.000'
        in (tmp_path / "rmc-dr.prom").read_text()
    )
    world.passes = False
    story.verify(told, "night", silent)
    assert "journey management on verify1 status 500" in hook.said[0]["message"]
    assert "green" in (tmp_path / "rmc-dr.prom").read_text()


def test_who_could_not_be_told_is_named_without_his_address(estate: Estate, hook: Hook) -> None:
    told = notifying(estate, hook)
    assert [backups.send_news(one, "x") for one in (estate, told)] == [None, None]
    hook.answers = 500
    assert backups.send_news(told, "x") == "1-json"


def test_a_red_verification_alarms_until_a_green_one(estate: Estate, state: Path) -> None:
    now = datetime.now(UTC)

    def end(ok: bool, scope: str, *said: str) -> None:
        backup_record.append(
            estate.name, backup_record.Entry("verify", now, now, ok, scope, about={"red": list(said)})
        )

    def level() -> Level | None:
        limits = Limits(60, 26, 26, 30, (), {}, backup_record.last_red(estate.name))
        return next((one.level for one in remarks(seen(), limits) if one.code == "verification-red"), None)

    assert level() is None
    end(False, "night", "wal: damaged")
    assert level() is Level.CRITICAL
    end(True, "files")
    assert level() is Level.CRITICAL, "the files alone take nothing back"
    end(True, "night")
    assert level() is None
    end(False, "database", "dump: broken")
    end(True, "database")
    assert level() is None


def run(estate: Estate, *words: str) -> Any:
    context = Context()
    context.__dict__["_estate"] = estate
    return CliRunner().invoke(command, ["verify", *words], obj=context, standalone_mode=False)


def test_the_command_says_green_or_red(estate: Estate, world: World) -> None:
    said = run(estate)
    assert said.return_value == 0, said.output
    assert "an estimate from measured speed" in said.output
    assert "30 s (measured)" in said.output
    world.passes = False
    said = run(estate, "--json")
    assert said.return_value == 1
    document = json.loads(said.output)
    assert (document["green"], document["scope"]) == (False, "night")
    said = run(estate, "--full")
    assert "RED  journey on the restored copy: journey management on verify1 status 500" in said.output
    assert run(estate, "--full", "--files").exception.code == "verify-what"


def test_the_plan_changes_nothing(estate: Estate, world: World) -> None:
    said = run(estate, "--plan")
    assert DIFF.label in said.output
    assert world.given == {}
    assert json.loads(run(estate, "--plan", "--json").output)["label"] == DIFF.label


def test_silence_is_told_as_well(estate: Estate, world: World, hook: Hook) -> None:
    """A status that is not well goes to the same people; nobody is woken while all is well."""
    told = notifying(estate, hook)
    context = Context()
    context.__dict__["_estate"] = told
    world.seen = seen(database=())
    said = CliRunner().invoke(command, ["status", "--notify"], obj=context, standalone_mode=False)
    assert said.exit_code == 2
    assert "there is no backup of the database" in hook.said.pop()["message"]
    CliRunner().invoke(command, ["status"], obj=context, standalone_mode=False)
    assert hook.said == []
