"""A deploy, with playbook and journeys played by the test: what it calls, records, and when it goes back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deploy_world import (
    BACK,
    DEPLOY,
    World,
    copy_of,
    deployed,
    failed,
    go,
    last,
    passed,
    sick,
    stand_in,
)

from rmc_dr import content, deploy, deploy_pass, exclusive, releases
from rmc_dr.errors import BadInput, Error, Interrupted, Refused
from rmc_dr.estate import ESTATE_FILE, Estate
from rmc_dr.release_terms import Terms
from rmc_dr.runner import Outcome


class Pops(list[Any]):
    """Passes that are made when they are played."""

    def pop(self, _index: Any = -1) -> Any:
        return super().pop(0)()


@pytest.fixture
def copied(estate: Estate, tmp_path: Path) -> Estate:
    return copy_of(estate, tmp_path)


@pytest.fixture
def world(state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    assert state == content.STATE
    return stand_in(World(), monkeypatch)


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


def test_a_rollback_takes_the_hosts_own_copy(copied: Estate, world: World) -> None:
    world.plan = [passed("1.1.0", "1.0.0")]
    plan = deploy.plan_back(copied, "management")
    assert [stage.name for stage in plan.stages] == ["preserve", "back"]
    done = deploy.roll_back(copied, plan, Terms(), [])
    assert world.played == [("deploy", {"deploy_application": "management", "deploy_from_host": True})]
    assert (done.release, last().plan, last().about["options"]) == ("1.0.0", "deploy-back", {})


def test_the_scene_is_kept_before_a_deploy_and_before_its_way_back(copied: Estate, world: World) -> None:
    world.plan = [passed("1.0.0", "1.1.0")]
    go(copied)
    assert (world.kept, last().accepted) == ([0], ())
    world.plan = [sick(passed("1.0.0", "1.1.0"), "management"), passed("1.1.0", "1.0.0")]
    with pytest.raises(Error):
        go(copied)
    assert [stage for stage, _variables in world.played] == ["deploy"] * 3
    assert world.kept == [0, 1, 2], "before the second deploy, and before it goes back"


def test_nothing_is_kept_twice_where_nothing_was_switched(copied: Estate, world: World) -> None:
    world.plan = [failed("1.0.0", switched=False)]
    with pytest.raises(Error):
        go(copied)
    assert world.kept == [0]


def test_the_scene_is_kept_before_a_rollback_by_hand(copied: Estate, world: World) -> None:
    world.plan = [passed("1.1.0", "1.0.0")] * 2
    plan = deploy.plan_back(copied, "management")
    deploy.roll_back(copied, plan, Terms(), [])
    assert world.kept == [0]
    done = deploy.roll_back(copied, plan, Terms(), [], skip_preserve="every second counts")
    assert world.kept == [0]
    assert [(one.event, one.get("reason")) for one in last(done.run).accepted] == [
        ("preserve-skipped", "every second counts")
    ]


def test_a_reason_skips_every_scene_of_a_deploy_and_is_recorded(copied: Estate, world: World) -> None:
    world.plan = [sick(passed("1.0.0", "1.1.0"), "management"), passed("1.1.0", "1.0.0")]
    with pytest.raises(Error):
        go(copied, skip_preserve="users wait")
    assert (world.kept, len(world.played)) == ([], 2)
    assert {one.get("reason") for one in last().accepted} == {"users wait"}


def test_a_scene_that_cannot_be_kept_holds_up_no_way_back(copied: Estate, world: World) -> None:
    def spoilt() -> tuple[Outcome, set[str]]:
        world.keeping = Outcome("failed", 1.0)
        return sick(passed("1.0.0", "1.1.0"), "management")

    world.plan = Pops([spoilt, lambda: passed("1.1.0", "1.0.0")])
    with pytest.raises(Error) as caught:
        go(copied)
    assert (caught.value.code, world.played[1]) == ("deploy-rolled-back", ("deploy", BACK))
    assert any("preserve failed" in str(note.get("text")) for note in last().notes)


def test_one_that_is_stopped_before_its_way_back_says_how_to_go_back(copied: Estate, world: World) -> None:
    def stopped() -> tuple[Outcome, set[str]]:
        world.keeping = Outcome("canceled", 1.0)
        return sick(passed("1.0.0", "1.1.0"), "management")

    world.plan = Pops([stopped])
    with pytest.raises(Interrupted, match="rmc-dr deploy management --rollback"):
        go(copied)
    assert len(world.played) == 1


def test_how_long_keeping_takes_is_no_time_that_users_are_out(
    copied: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pulse is felt only once the scene is kept."""
    felt: list[int] = []
    still = deploy_pass.Pulse
    monkeypatch.setattr(deploy_pass, "Pulse", lambda one: felt.append(len(world.kept)) or still(one))
    world.plan = [sick(passed("1.0.0", "1.1.0"), "management"), passed("1.1.0", "1.0.0")]
    with pytest.raises(Error):
        go(copied)
    assert felt == [1, 2]


def test_a_rollback_that_fails_says_what_is_current(copied: Estate, world: World) -> None:
    world.plan = [failed("1.1.0", switched=False)]
    with pytest.raises(Error) as caught:
        deploy.roll_back(copied, deploy.plan_back(copied, "management"), Terms(), [])
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


def test_earlier_deploys_say_how_long_users_will_be_out(copied: Estate, world: World) -> None:
    assert deploy.prepare(copied, "management", "1.1.0").window is None
    for seconds in (8.0, 12.0, 9.0):
        world.plan, world.out = [passed("1.0.0", "1.1.0")], seconds
        go(copied)
    world.plan, world.out = [passed("1.0.0", "1.1.0")], None
    go(copied)
    assert deploy.prepare(copied, "management", "1.1.0").window == releases.Window(9.0, 8.0, 12.0, 3)
