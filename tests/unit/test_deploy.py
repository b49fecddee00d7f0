"""A deploy, with playbook and journeys played by the test: what it calls, when it goes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmc_dr import content, deploy, exclusive
from rmc_dr.errors import BadInput, Error, ExitCode, Refused
from rmc_dr.estate import ESTATE_FILE, Estate
from rmc_dr.model import Check
from rmc_dr.runner import Failure, Outcome

HELD = ["1.0.0", "1.1.0"]


class Kit:
    """The kit's manifest; ``expired`` says whether it may only be used with a reason."""

    sha256 = "a" * 64
    expired = False

    def __init__(self, files: dict[str, None]) -> None:
        self.files = files

    def in_date(self, _now: datetime) -> bool:
        return not self.expired


class Stage:
    """Plays the playbook and the journey; ``plan`` is what each pass leads to."""

    def __init__(self, *plan: tuple[Outcome, bool]) -> None:
        self.plan = list(plan)
        self.calls: list[dict[str, Any]] = []
        self.journey_passes = True

    def run_playbook(self, _estate: Estate, playbook: str, *, variables: Any, **_others: Any) -> Outcome:
        assert playbook == "deploy.yml"
        self.calls.append(dict(variables))
        outcome, self.journey_passes = self.plan.pop(0)
        return outcome

    def travel(self, *_arguments: Any) -> Sequence[Check]:
        return [Check("journey", self.journey_passes, "" if self.journey_passes else "answered 503")]


def ok(before: str, release: str) -> Outcome:
    return Outcome("ok", 1.0, facts={"app1": {"before": before, "release": release, "switched": True}})


def failed(before: str, release: str, *, switched: bool) -> Outcome:
    facts = {"app1": {"before": before, "release": release, "switched": switched}}
    return Outcome("failed", 1.0, facts=facts, failures=(Failure("app1", "a task", "what it said"),))


@pytest.fixture
def copied(estate: Estate, tmp_path: Path, state: Path) -> Estate:
    """The estate with an estate.yml that may be written."""
    assert state == content.STATE
    inventory = tmp_path / "inventory"
    target = inventory / ESTATE_FILE
    target.parent.mkdir(parents=True)
    target.write_text((estate.inventory / ESTATE_FILE).read_text())
    return replace(estate, inventory=inventory)


def play(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> Stage:
    files = {f"applications/management/{release}/app.war": None for release in HELD}
    monkeypatch.setattr(deploy.kit_verify, "verify", lambda *_: Kit(files))
    monkeypatch.setattr(deploy, "run_playbook", stage.run_playbook)
    monkeypatch.setattr(deploy.journey, "travel", stage.travel)
    monkeypatch.setattr(exclusive, "hold_estate_lock", lambda *_: nullcontext())
    return stage


def silent(_event: str, **_fields: Any) -> None:
    pass


def test_a_deploy_is_proven_and_written_into_the_estate(
    copied: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = play(monkeypatch, Stage((ok("1.0.0", "1.1.0"), True)))
    file = copied.inventory / ESTATE_FILE
    text = file.read_text()
    done = deploy.deploy(copied, "management", "1.1.0", silent)
    assert stage.calls == [{"deploy_application": "management", "deploy_release": "1.1.0"}]
    assert (done.before, done.release, done.pinned) == ("1.0.0", "1.1.0", True)
    assert file.read_text() == text.replace('"1.0.0"', '"1.1.0"', 1)


def test_a_failed_journey_brings_the_release_before_it_back(
    copied: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = play(monkeypatch, Stage((ok("1.0.0", "1.1.0"), False), (ok("1.1.0", "1.0.0"), True)))
    text = (copied.inventory / ESTATE_FILE).read_text()
    with pytest.raises(Error) as caught:
        deploy.deploy(copied, "management", "1.1.0", silent)
    assert caught.value.code == "deploy-rolled-back"
    assert caught.value.exit_code is ExitCode.FAILED
    assert stage.calls[1] == {
        "deploy_application": "management",
        "deploy_release": "1.0.0",
        "deploy_from_host": True,
    }
    assert (copied.inventory / ESTATE_FILE).read_text() == text


def recorded() -> list[dict[str, Any]]:
    lines = (content.STATE / "deploys" / "record.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]


def test_a_deploy_is_recorded_with_what_was_accepted(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Stage((ok("1.0.0", "1.1.0"), True), (ok("1.0.0", "1.1.0"), True)))
    deploy.deploy(copied, "management", "1.1.0", silent, "in any case")
    begun, ended = recorded()
    assert (begun["outcome"], ended["outcome"]) == ("begun", "deployed")
    assert (ended["application"], ended["release"], ended["kit"]) == ("management", "1.1.0", "a" * 64)
    assert ended["accepted_expired_kit"] is None, "it decided nothing"
    monkeypatch.setattr(Kit, "expired", True)
    deploy.deploy(copied, "management", "1.1.0", silent, "the vendor's word")
    assert [line["accepted_expired_kit"] for line in recorded()[2:]] == ["the vendor's word"] * 2


def test_a_failed_deploy_is_recorded_by_its_code(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    play(
        monkeypatch,
        Stage((failed("1.0.0", "1.1.0", switched=False), True), (failed("", "", switched=False), True)),
    )
    with pytest.raises(Error):
        deploy.deploy(copied, "management", "1.1.0", silent)
    with pytest.raises(Error):
        deploy.roll_back(copied, "management", silent)
    assert [line["outcome"] for line in recorded()] == ["begun", "deploy-failed", "begun", "rollback-failed"]


def test_a_failure_before_the_switch_changes_nothing(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = play(monkeypatch, Stage((failed("1.0.0", "1.1.0", switched=False), True)))
    with pytest.raises(Error, match="what it said") as caught:
        deploy.deploy(copied, "management", "1.1.0", silent)
    assert caught.value.code == "deploy-failed"
    assert "1.0.0" in caught.value.hint
    assert len(stage.calls) == 1


def test_both_releases_failing_is_said(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Stage((failed("1.0.0", "1.1.0", switched=True), True), (ok("1.1.0", "1.0.0"), False)))
    with pytest.raises(Error) as caught:
        deploy.deploy(copied, "management", "1.1.0", silent)
    assert caught.value.code == "deploy-broken"


def test_a_first_deploy_has_nothing_to_go_back_to(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = play(monkeypatch, Stage((failed("", "1.1.0", switched=True), True)))
    with pytest.raises(Error) as caught:
        deploy.deploy(copied, "management", "1.1.0", silent)
    assert caught.value.code == "deploy-failed"
    assert len(stage.calls) == 1


def test_a_rollback_takes_the_hosts_own_copy(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = play(monkeypatch, Stage((ok("1.1.0", "1.0.0"), True)))
    done = deploy.roll_back(copied, "management", silent)
    assert stage.calls == [{"deploy_application": "management", "deploy_from_host": True}]
    assert done.release == "1.0.0"


def test_what_is_refused_before_anything_changes(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = play(monkeypatch, Stage())
    with pytest.raises(BadInput) as caught:
        deploy.deploy(copied, "laboratory", "1.1.0", silent)
    assert (caught.value.code, "management" in caught.value.hint) == ("unknown-application", True)
    with pytest.raises(BadInput) as caught:
        deploy.deploy(copied, "management", "9.9.9", silent)
    assert (caught.value.code, "1.0.0, 1.1.0" in caught.value.hint) == ("release-absent", True)
    monkeypatch.setattr(exclusive, "open_run", lambda _estate: SimpleNamespace(run_id="a-run"))
    with pytest.raises(Refused) as refused:
        deploy.deploy(copied, "management", "1.1.0", silent)
    assert refused.value.code == "open-run"
    assert stage.calls == []


def test_an_estate_that_cannot_be_written_is_said(copied: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Stage((ok("1.0.0", "1.1.0"), True)))

    def fail(*_arguments: Any, **_words: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(deploy, "write_atomically", fail)
    assert not deploy.deploy(copied, "management", "1.1.0", silent).pinned
