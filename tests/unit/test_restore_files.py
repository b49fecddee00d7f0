"""Attachments come back: fetched while users work, who are kept out only where a file differs.

Ansible and the hosts are stood in for here; tests/lab/test_restore.py plays the same on real ones.
"""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from command_world import at_hand
from test_pair import well
from test_service import down

from rmc_dr import command, content, restore_files
from rmc_dr.errors import Error, Interrupted, Refused
from rmc_dr.estate import Estate
from rmc_dr.model import Check, HostObservation, Reach
from rmc_dr.plans import read_stages
from rmc_dr.plans.moment import Moment
from rmc_dr.record import RunState, find, read
from rmc_dr.runner import Failure, Outcome
from rmc_dr.words import plan_title, stage_title

FETCHED = {"snapshot": "aaaa", "taken": "2026-11-24T00:00:00+00:00", "same": 5, "seconds": 3.0}
PUT = {"restored": 1, "replaced": 0, "same": 0, "aside": None, "seconds": 1.0}


class World:
    """What stands in for Ansible and the hosts: remembers what is played and answers as told."""

    def __init__(self) -> None:
        self.played: list[str] = []
        self.variables: dict[str, Any] = {}
        self.missing, self.differ = 1, 0
        self.serving: bool | None = True
        self.outcomes: dict[str, Outcome] = {}
        self.pair = well()
        self.proven = True
        self.canceled: dict[str, bool] = {}

    def run_playbook(self, _estate: Estate, playbook: str, *, variables: Any, **rest: Any) -> Outcome:
        stage = Path(playbook).stem.removeprefix("files-")
        self.played.append(stage)
        self.variables[stage] = variables
        self.canceled[stage] = rest["canceled"]()
        said = {"fetch": {**FETCHED, "missing": self.missing, "differ": self.differ}, "put": PUT}
        facts = {"app1": {stage: said[stage]}} if stage in said else {}
        return self.outcomes.get(stage, Outcome("ok", 0.1, facts=facts))

    def observe_host(self, _estate: Estate, host: Any) -> HostObservation:
        return HostObservation(host.name, Reach.SYSTEM, serving=self.serving)


@pytest.fixture
def world(state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    at_hand(monkeypatch, world)
    monkeypatch.setattr(restore_files, "observe_host", world.observe_host)
    monkeypatch.setattr(restore_files.journey, "prove", lambda *_: [Check("journey", world.proven, "503")])
    monkeypatch.setattr(restore_files, "_fetched", lambda *_: (3, 7))
    return world


def run(estate: Estate, **options: Any) -> list[restore_files.FilesBack]:
    return restore_files.restore_files(estate, Moment(), ["management"], [], **options)


def test_missing_files_come_back_while_users_work(estate: Estate, world: World) -> None:
    [done] = run(estate)
    assert world.played == ["fetch", "put", "sweep"]
    assert (done.restored, done.same, done.snapshot, done.seconds) == (1, 5, "aaaa", 4.0)
    assert world.variables["fetch"]["restore_paths"] == ["management"]
    assert world.variables["put"]["only_missing"] is True, "somebody may write the others right now"


def test_where_a_file_differs_nobody_writes_while_it_is_replaced(estate: Estate, world: World) -> None:
    world.differ = 1
    run(estate)
    assert world.played == ["fetch", "preserve", "quiesce", "close", "put", "start", "open", "sweep"]
    assert "only_missing" not in world.variables["put"]
    assert RunState.of(read(find("last"))).outcome == "done"


def test_applications_that_somebody_has_stopped_stay_stopped(estate: Estate, world: World) -> None:
    world.differ, world.serving = 1, False
    run(estate)
    assert world.played == ["fetch", "put", "sweep"]
    assert "only_missing" not in world.variables["put"]


def test_applications_of_which_nothing_is_known_may_write(estate: Estate, world: World) -> None:
    world.differ, world.serving = 1, None
    run(estate, skip_preserve="the power goes")
    assert world.played[1:4] == ["quiesce", "close", "put"]


def test_where_everything_is_there_nothing_is_moved(estate: Estate, world: World) -> None:
    world.missing = 0
    assert [done.same for done in run(estate)] == [5]
    assert world.played == ["fetch", "sweep"]


def test_users_are_not_kept_out_where_they_could_not_come_back(estate: Estate, world: World) -> None:
    world.differ, world.pair = 1, down()
    with pytest.raises(Refused) as refused:
        run(estate)
    assert (refused.value.code, world.played) == ("no-primary", ["fetch", "sweep"])


@pytest.mark.parametrize(("refused", "kind"), [(True, Refused), (False, Error)])
def test_what_the_host_refuses_is_a_sentence_and_nothing_stays(
    estate: Estate, world: World, refused: bool, kind: type[Error]
) -> None:
    said = "The snapshot holds nothing at managment. Nothing was changed."
    world.outcomes["fetch"] = Outcome("failed", 0.1, failures=(Failure("app1", "t", said, refused),))
    with pytest.raises(kind, match="holds nothing at") as failed:
        run(estate)
    assert (type(failed.value), failed.value.code) == (kind, "files-not-restored")
    assert world.played == ["fetch", "sweep"]


def test_what_was_stopped_in_the_middle_leaves_no_snapshot_on_the_disk(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.outcomes["fetch"] = Outcome("canceled", 0.1)
    monkeypatch.setattr(command, "canceled_by_signal", lambda: nullcontext(lambda: True))
    with pytest.raises(Interrupted):
        run(estate)
    assert world.canceled == {"fetch": True, "sweep": False}, "the operator's Ctrl-C does not end the sweep"


def test_who_is_kept_out_by_a_failure_is_said(estate: Estate, world: World) -> None:
    world.differ = 1
    world.outcomes["put"] = Outcome("failed", 0.1, failures=(Failure("app1", "t", "disk error"),))
    with pytest.raises(Error, match="disk error") as failed:
        run(estate)
    assert failed.value.hint.endswith("Users are kept out: `rmc-dr start` lets them in again.")
    assert world.played[-1] == "sweep"
    world.outcomes.clear()
    world.proven = False
    with pytest.raises(Error) as failed:
        run(estate)
    assert failed.value.code == "not-proven"


def test_how_far_it_is_goes_into_the_record(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_files, "meanwhile", lambda look, _every: nullcontext(look()))
    run(estate)
    [told] = [event for event in read(find("last")) if event.event == "progress"]
    assert (told.get("done"), told.get("total")) == (3, 7)


@pytest.mark.parametrize(
    ("said", "wanted"), [("3 7\n", (3, 7)), ("", None), ("3", None), ("cat: no", None), (None, None)]
)
def test_what_a_host_says_of_its_progress(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, said: str | None, wanted: Any
) -> None:
    def ask(*_words: Any) -> Any:
        if said is None:
            raise subprocess.TimeoutExpired("ssh", 1)
        return subprocess.CompletedProcess([], 0, said, "")

    monkeypatch.setattr(restore_files.ssh, "ask", ask)
    assert restore_files._fetched(estate, estate.host("app1")) == wanted


def test_by_hand_the_applications_are_stopped_before_anything_is_put() -> None:
    stages = read_stages(content.root() / "playbooks" / "restore-files.yml")
    names = [stage.name for stage in stages]
    assert names == ["fetch", "preserve", "quiesce", "close", "put", "start", "verify", "open", "sweep"]
    assert all(stage.target for stage in stages)
    assert plan_title("restore-files") != "restore-files"
    assert all(stage_title(name) != name for name in names)
