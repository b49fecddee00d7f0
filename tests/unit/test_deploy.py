"""A deploy, with playbook and journeys played by the test: what it calls, records, and when it goes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_backups import FULL, HOUR, backup, seen
from test_pair import silent as silent_node
from test_pair import well, with_node

from rmc_dr import command, content, deploy, deploy_pass, exclusive, releases
from rmc_dr.cli import common, main
from rmc_dr.errors import BadInput, Error, Interrupted, Refused
from rmc_dr.estate import DEPLOYED_FILE, ESTATE_FILE, Estate
from rmc_dr.kit.manifest import KitFile
from rmc_dr.migrations import Ran
from rmc_dr.model import Check
from rmc_dr.pair import Role
from rmc_dr.record import RunState, find, read, runs
from rmc_dr.release_terms import Terms
from rmc_dr.runner import Failure, Outcome

HELD = ["1.0.0", "1.1.0"]
AGREED = datetime(2026, 11, 24, 12, tzinfo=UTC)
TERMS = Terms("修正报表打印", False, "李主任", AGREED)
FOLDER = "applications/management/1.1.0/migrations"
DEPLOY = {"deploy_application": "management", "deploy_release": "1.1.0"}
BACK = {"deploy_application": "management", "deploy_release": "1.0.0", "deploy_from_host": True}
UNDO = {
    "deploy_application": "management", "deploy_undo": "0001-a.sql", "deploy_undo_release": "1.1.0",
}  # fmt: skip


class World:
    """Stands in for the kit, the hosts and the playbook; ``plan`` is what each pass of it leads to."""

    def __init__(self) -> None:
        self.files = {f"applications/management/{release}/app.war": "e" * 64 for release in HELD}
        self.expired = False
        self.plan: list[tuple[Outcome, set[str]]] = []
        self.played: list[tuple[str, dict[str, Any]]] = []
        self.sick: set[str] = set()
        self.pair = well()
        self.ran = [Ran({}, False)]
        self.backups = seen()
        self.out: float | None = 7.5

    def verify(self, *_arguments: Any) -> Any:
        files = {name: KitFile(sha256=digest, size=1) for name, digest in self.files.items()}
        return SimpleNamespace(sha256="a" * 64, files=files, in_date=lambda _now: not self.expired)

    def run_playbook(self, _estate: Estate, playbook: str, *, variables: Any, **_others: Any) -> Outcome:
        told = {name: value for name, value in variables.items() if name != "run_id"}
        self.played.append((Path(playbook).stem, told))
        outcome, self.sick = self.plan.pop(0)
        return outcome

    def travel(self, _estate: Estate, _host: Any, app: Any) -> Sequence[Check]:
        bad = app.name in self.sick
        return [Check(f"journey {app.name}", not bad, "answered 503" if bad else "")]

    def migrated(self, *_arguments: Any) -> Ran:
        return self.ran.pop(0) if len(self.ran) > 1 else self.ran[0]


class Still:
    """A pulse that was measured already."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def beats(self) -> bool:
        return True

    def out_seconds(self, _since: float) -> float | None:
        return self.world.out


@pytest.fixture
def copied(estate: Estate, tmp_path: Path) -> Estate:
    """The estate with a folder of its own, in which deployed.yml may be written."""
    inventory = tmp_path / "inventory"
    target = inventory / ESTATE_FILE
    target.parent.mkdir(parents=True)
    target.write_text((estate.inventory / ESTATE_FILE).read_text())
    return replace(estate, inventory=inventory)


@pytest.fixture
def world(state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    assert state == content.STATE
    world = World()
    monkeypatch.setattr(deploy.kit_verify, "verify", world.verify)
    monkeypatch.setattr(command, "run_playbook", world.run_playbook)
    monkeypatch.setattr(command, "observe_pair", lambda _estate: world.pair)
    monkeypatch.setattr(deploy, "observe_pair", lambda _estate: world.pair)
    monkeypatch.setattr(deploy, "observe_migrations", world.migrated)
    monkeypatch.setattr(deploy, "observe_backups", lambda *_: world.backups)
    monkeypatch.setattr(deploy_pass.journey, "travel", world.travel)
    monkeypatch.setattr(deploy_pass, "Pulse", lambda _estate: Still(world))
    monkeypatch.setattr(exclusive, "hold_estate_lock", lambda *_: nullcontext(lambda: True))
    return world


def passed(before: str, release: str, *, migrated: Sequence[str] = ()) -> tuple[Outcome, set[str]]:
    facts = {"before": before, "release": release, "switched": True, "migrated": list(migrated)}
    return Outcome("ok", 1.0, facts={"app1": facts}), set()


def failed(before: str, *, switched: bool, migrated: Sequence[str] = ()) -> tuple[Outcome, set[str]]:
    facts = {"before": before, "release": "1.1.0", "switched": switched, "migrated": list(migrated)}
    failure = Failure("app1", "a task", "what it said")
    return Outcome("failed", 1.0, facts={"app1": facts}, failures=(failure,)), set()


def sick(pass_: tuple[Outcome, set[str]], *names: str) -> tuple[Outcome, set[str]]:
    return pass_[0], set(names)


def go(estate: Estate, terms: Terms = TERMS, **words: Any) -> deploy.Deployed:
    prepared = deploy.prepare(estate, "management", "1.1.0", words.pop("expired", None))
    return deploy.deploy(estate, prepared, terms, [], **words)


def last(run: str = "last") -> RunState:
    return RunState.of(read(find(run)))


def deployed(estate: Estate) -> str:
    path = estate.inventory / DEPLOYED_FILE
    return path.read_text() if path.exists() else ""


def test_a_deploy_is_proven_and_kept_beside_the_estate(copied: Estate, world: World) -> None:
    world.plan = [passed("1.0.0", "1.1.0")]
    text = (copied.inventory / ESTATE_FILE).read_text()
    done = go(copied)
    assert world.played == [("deploy", DEPLOY)]
    assert (done.before, done.release, done.pinned, done.users_out_seconds) == ("1.0.0", "1.1.0", True, 7.5)
    assert [check.name for check in done.checks] == ["journey management", "journey verification"]
    assert deployed(copied).endswith('deployed_releases:\n  management: "1.1.0"\n')
    assert (copied.inventory / ESTATE_FILE).read_text() == text


def test_its_record_says_what_was_agreed_and_what_came_of_it(copied: Estate, world: World) -> None:
    world.plan = [passed("1.0.0", "1.1.0")]
    go(copied)
    state = last()
    assert (state.plan, state.target, state.outcome, state.open) == ("deploy", "management", "done", False)
    assert state.about["kit"] == "a" * 64
    options = state.about["options"]
    assert (options["notes"], options["training"]) == ("修正报表打印", False)
    assert options["consent"] == {"by": "李主任", "at": "2026-11-24T12:00:00.000Z"}
    assert (state.deployed["state"], state.deployed["users_out_seconds"]) == ("deployed", 7.5)
    assert state.accepted == ()


def test_what_was_accepted_is_kept_and_only_where_it_decided(copied: Estate, world: World) -> None:
    world.plan = [passed("1.0.0", "1.1.0")] * 2
    go(copied, expired="in any case", accept_no_backup="in any case")
    assert last().accepted == ()
    world.expired = True
    terms = Terms("紧急修正", True, without_consent="night, users out")
    done = go(copied, terms, expired="the vendor's word")
    kept = [(event.event, event.get("reason")) for event in last(done.run).accepted]
    assert kept == [
        ("kit-expired-accepted", "the vendor's word"),
        ("consent-not-asked", "night, users out"),
    ]


def test_a_failed_journey_brings_the_release_before_it_back(copied: Estate, world: World) -> None:
    world.plan = [sick(passed("1.0.0", "1.1.0"), "management"), passed("1.1.0", "1.0.0")]
    with pytest.raises(Error) as caught:
        go(copied)
    assert (caught.value.code, world.played[1]) == ("deploy-rolled-back", ("deploy", BACK))
    assert "answered 503" in caught.value.message
    assert (last().outcome, last().code, last().deployed["state"]) == (
        "failed",
        "deploy-rolled-back",
        "rolled-back",
    )
    assert deployed(copied) == ""


def test_an_application_that_falls_with_it_brings_it_back_too(copied: Estate, world: World) -> None:
    world.plan = [sick(passed("1.0.0", "1.1.0"), "verification"), passed("1.1.0", "1.0.0")]
    with pytest.raises(Error, match="journey verification") as caught:
        go(copied)
    assert caught.value.code == "deploy-rolled-back"


def test_an_application_that_was_sick_before_judges_nothing(copied: Estate, world: World) -> None:
    world.sick = {"verification"}
    world.plan = [sick(passed("1.0.0", "1.1.0"), "verification")]
    assert [check.name for check in go(copied).checks] == ["journey management"]
    assert any("verification fails its journey already" in note.get("text") for note in last().notes)


def test_a_failure_before_the_switch_changes_nothing(copied: Estate, world: World) -> None:
    world.plan = [failed("1.0.0", switched=False)]
    with pytest.raises(Error, match="what it said") as caught:
        go(copied)
    assert (caught.value.code, len(world.played)) == ("deploy-failed", 1)
    assert "1.0.0" in caught.value.hint
    assert last().deployed["state"] == "not-deployed"


def test_both_releases_failing_is_said(copied: Estate, world: World) -> None:
    world.plan = [failed("1.0.0", switched=True), sick(passed("1.1.0", "1.0.0"), "management")]
    with pytest.raises(Error) as caught:
        go(copied)
    assert (caught.value.code, last().deployed["state"]) == ("deploy-broken", "broken")


def test_a_first_deploy_has_nothing_to_go_back_to(copied: Estate, world: World) -> None:
    world.plan = [failed("", switched=True)]
    with pytest.raises(Error) as caught:
        go(copied)
    assert (caught.value.code, len(world.played)) == ("deploy-failed", 1)


def test_one_that_is_stopped_says_how_to_go_on(copied: Estate, world: World) -> None:
    world.plan = [(Outcome("canceled", 1.0), set())]
    with pytest.raises(Interrupted):
        go(copied)
    assert (last().outcome, last().open) == ("interrupted", False)


def bring(world: World, *names: str) -> None:
    world.files.update({f"{FOLDER}/{name}": "d" * 64 for name in names})


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


def test_a_rollback_takes_the_hosts_own_copy(copied: Estate, world: World) -> None:
    world.plan = [passed("1.1.0", "1.0.0")]
    plan = deploy.plan_back(copied, "management")
    assert [stage.name for stage in plan.stages] == ["back"]
    done = deploy.roll_back(copied, plan, [])
    assert world.played == [("deploy", {"deploy_application": "management", "deploy_from_host": True})]
    assert (done.release, last().plan) == ("1.0.0", "deploy-back")


def test_a_rollback_that_fails_says_what_is_current(copied: Estate, world: World) -> None:
    world.plan = [failed("1.1.0", switched=False)]
    with pytest.raises(Error) as caught:
        deploy.roll_back(copied, deploy.plan_back(copied, "management"), [])
    assert (caught.value.code, "Current is 1.1.0" in caught.value.hint) == ("rollback-failed", True)


def test_what_is_refused_before_anything_changes(
    copied: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput) as caught:
        deploy.prepare(copied, "laboratory", "1.1.0")
    assert (caught.value.code, "management" in caught.value.hint) == ("unknown-application", True)
    with pytest.raises(BadInput) as caught:
        deploy.prepare(copied, "management", "9.9.9")
    assert (caught.value.code, "1.0.0, 1.1.0" in caught.value.hint) == ("release-absent", True)
    with pytest.raises(BadInput):
        deploy.plan_back(copied, "laboratory")
    monkeypatch.setattr(exclusive, "open_run", lambda _estate: SimpleNamespace(run_id="a-run"))
    with pytest.raises(Refused) as refused:
        go(copied)
    assert (refused.value.code, world.played) == ("open-run", [])


def test_a_folder_that_cannot_be_written_is_said(
    copied: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.plan = [passed("1.0.0", "1.1.0")]

    def fail(*_arguments: Any, **_words: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(deploy.deployed, "write_atomically", fail)
    assert not go(copied).pinned


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
    assert len(world.played) == 1


def test_the_plan_says_what_it_costs(typed: Any, world: World) -> None:
    bring(world, "0001-a.sql")
    world.backups = seen(database=())
    said = typed("--release", "1.1.0", "--plan").output
    for word in (
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


def test_earlier_deploys_say_how_long_users_will_be_out(copied: Estate, world: World) -> None:
    assert deploy.prepare(copied, "management", "1.1.0").window is None
    for seconds in (8.0, 12.0, 9.0):
        world.plan, world.out = [passed("1.0.0", "1.1.0")], seconds
        go(copied)
    world.plan, world.out = [passed("1.0.0", "1.1.0")], None
    go(copied)
    assert deploy.prepare(copied, "management", "1.1.0").window == releases.Window(9.0, 8.0, 12.0, 3)
