"""Stop, start and restart: in which order what is played, when it is refused, and what the record says.

Ansible and the hosts are stood in for here; tests/lab/test_service.py plays the same on real ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_world import at_hand
from test_pair import silent, well, with_node, with_view

from rmc_dr import service
from rmc_dr.cli import status
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.fence import Fences
from rmc_dr.model import Check, HostObservation, Reach
from rmc_dr.pair import Holding, PairObservation, Role
from rmc_dr.record import RunState, find, open_run, read, runs
from rmc_dr.runner import Failure, Outcome

START = ["voters", "pair-up", "close", "start", "open"]


class World:
    """What stands in for Ansible and the hosts: remembers what is played and answers as told."""

    def __init__(self) -> None:
        self.played: list[str] = []
        self.pair: PairObservation = well()
        self.serving = True
        self.silent: set[str] = set()
        self.fails = ""
        self.proven = True
        self.holdings: tuple[Holding, ...] = ()
        self.variables: dict[str, Any] = {}

    def run_playbook(self, _estate: Estate, playbook: str, *, variables: Any, **_rest: Any) -> Outcome:
        stage = Path(playbook).stem
        self.played.append(stage)
        self.variables[stage] = variables
        if stage == self.fails:
            return Outcome("failed", 0.1, failures=(Failure("app1", "a task", "what it said"),))
        self.serving = {"quiesce": False, "start": True}.get(stage, self.serving)
        self.pair = {"pair-down": down(), "pair-up": well()}.get(stage, self.pair)
        return Outcome("ok", 0.1, changed=1)

    def observe_host(self, _estate: Estate, host: Any) -> HostObservation:
        reach = Reach.SILENT if host.name in self.silent else Reach.SYSTEM
        return HostObservation(host.name, reach, serving=self.serving)


def down() -> PairObservation:
    """Both PostgreSQLs and Patronis are stopped."""
    seen = well()
    for index in (0, 1):
        seen = with_node(seen, index, **{**silent(index), "role": Role.DOWN})
        seen = with_view(seen, index, answered=False, cluster_seen=False, role=None)
    return seen


@pytest.fixture
def world(state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    at_hand(monkeypatch, world)
    monkeypatch.setattr(service, "observe_pair", lambda _estate: world.pair)
    monkeypatch.setattr(service, "observe_host", world.observe_host)
    monkeypatch.setattr(service, "observe_holdings", lambda *_: world.holdings)
    monkeypatch.setattr(
        service.fence, "status", lambda _estate, host: Fences(host.name, Reach.SYSTEM, "open")
    )
    monkeypatch.setattr(service.journey, "prove", lambda *_: [Check("journey", world.proven, "503")])
    monkeypatch.setattr(service, "PRIMARY_SECONDS", 0)
    return world


def last() -> RunState:
    return RunState.of(read(find("last")))


def test_a_write_freeze_leaves_the_databases_up(estate: Estate, world: World):
    service.stop(estate, [], writes=True)
    assert world.played == ["preserve", "quiesce", "close"]
    assert (last().plan, last().outcome) == ("stop-writes", "done")


def test_a_stop_ends_the_pair_last_and_keeps_what_both_held(estate: Estate, world: World):
    service.stop(estate, [], writes=False)
    assert world.played == ["preserve", "quiesce", "close", "pair-down"]
    events = read(find("last"))
    stopped = next(event.seq for event in events if event.get("name") == "pair-down")
    before = [event for event in events if event.event == "observation" and event.seq < stopped]
    assert (before[-1].get("pair"), set(before[-1].get("lsns"))) == ("healthy", {"db1", "db2"})


def test_the_scene_is_left_only_with_a_reason_that_is_recorded(estate: Estate, world: World):
    service.restart(estate, [], writes=True, skip_preserve="power goes in a minute")
    assert "preserve" not in world.played
    assert [event.get("reason") for event in last().accepted] == ["power goes in a minute"]


def test_a_start_proves_the_applications_before_users_come_in(estate: Estate, world: World):
    world.pair, world.serving = down(), False
    service.start(estate, [])
    assert world.played == START
    assert [check.get("passed") for check in last().checks] == [True]


def test_a_start_of_what_serves_only_lets_the_users_in(estate: Estate, world: World):
    service.start(estate, [])
    assert world.played == ["open"]


def test_a_start_after_a_write_freeze_leaves_the_pair_alone(estate: Estate, world: World):
    world.serving = False
    service.start(estate, [])
    assert world.played == ["close", "start", "open"]


def test_a_restart_is_a_stop_and_a_start(estate: Estate, world: World):
    service.restart(estate, [], writes=False)
    assert world.played == ["preserve", "quiesce", "close", "pair-down", *START]
    world.played.clear()
    service.restart(estate, [], writes=True)
    assert world.played == ["preserve", "quiesce", "close", "close", "start", "open"]


def test_a_restart_may_write_the_configuration_anew_while_nothing_runs(estate: Estate, world: World):
    plan = service.plan_restart(estate, writes=True, reconfigure=True)
    planned = [stage.name for stage in plan.stages]
    assert planned == ["preserve", "quiesce", "close", "reconfigure", "voters", "pair-up", "start", "open"]
    service.restart(estate, [], writes=True, reconfigure=True)
    assert world.played == ["preserve", "quiesce", "close", "reconfigure", "close", "start", "open"]


def test_unproven_applications_keep_their_users_out(estate: Estate, world: World):
    world.serving, world.proven = False, False
    with pytest.raises(Error, match="503") as error:
        service.start(estate, [])
    assert error.value.code == "not-proven"
    assert world.played == ["close", "start"]


def test_a_host_that_is_silent_is_left_out(estate: Estate, world: World):
    world.pair, world.serving, world.silent = down(), False, {"db2"}
    service.start(estate, [])
    assert world.variables["pair-up"]["pair"] == "db1"
    assert world.variables["voters"]["voters"] == "db1,store1"
    world.silent = {"db1", "db2"}
    with pytest.raises(Refused) as refused:
        service.stop(estate, [], writes=False)
    assert refused.value.code == "hosts-silent"


def test_a_pair_whose_nodes_both_wrote_is_not_started(estate: Estate, world: World):
    world.pair, world.serving = down(), False
    one = Holding("db1", "in production", "7", 1, (), 100, 95, "2026-11-22 10:00:00.1")
    world.holdings = (one, replace(one, name="db2", timeline=2, forks=((1, 90),)))
    with pytest.raises(Refused) as refused:
        service.start(estate, [])
    assert refused.value.code == "both-hold-writes"
    for told in ("timeline 2 since 0/5A", "last byte 0/64", "2026-11-22 10:00:00.1"):
        assert told in refused.value.message
    assert world.played == []
    assert list(runs()) == []
    # Where Patroni runs already there is nothing left to decide.
    world.holdings = tuple(replace(node, managed=True) for node in world.holdings)
    service.start(estate, [])
    assert world.played == START


def test_neither_is_a_split_pair_started_or_stopped(estate: Estate, world: World):
    world.pair = with_node(well(), 1, role=Role.PRIMARY)
    with pytest.raises(Refused):
        service.start(estate, [])
    with pytest.raises(Refused):
        service.restart(estate, [], writes=False)
    with pytest.raises(Refused):
        service.stop(estate, [], writes=False)
    assert world.played == []
    service.stop(estate, [], writes=True)
    assert world.played == ["preserve", "quiesce", "close"]


def test_a_failed_command_is_said_kept_and_blocks_nobody(estate: Estate, world: World):
    world.fails = "quiesce"
    with pytest.raises(Error, match="what it said"):
        service.stop(estate, [], writes=True)
    assert (last().outcome, last().open) == ("failed", False)
    assert open_run(estate.name) is None
    world.fails = ""
    service.stop(estate, [], writes=True)


def test_a_start_that_finds_no_primary_says_so(estate: Estate, world: World):
    world.pair, world.serving = down(), False
    world.fails = "pair-up"
    with pytest.raises(Error):
        service.start(estate, [])
    assert world.played == ["voters", "pair-up"]


SERVING = HostObservation("app1", Reach.SYSTEM, serving=True)
DEAD = HostObservation("app1", Reach.SYSTEM, serving=False)


@pytest.mark.parametrize(
    ("run", "app1", "pair", "stopped", "expected"),
    [
        (None, DEAD, "no-primary", True, "rmc-dr start"),
        (None, DEAD, "split-brain", True, "rmc-dr db status"),
        (None, DEAD, "healthy", False, "rmc-dr rebuild appserver app1 --plan"),
        ("a-run", DEAD, "healthy", True, "rmc-dr resume"),
        (None, SERVING, "healthy", False, ""),
        (None, SERVING, "healthy", True, "rmc-dr fence release app1"),
    ],
)
def test_bare_rmc_dr_tells_what_was_stopped_from_what_is_dead(
    run: str | None, app1: HostObservation, pair: str, stopped: bool, expected: str
):
    assert status._next(run, [app1], pair, ["app1"] if stopped else [], proven=True) == expected


def test_a_proof_of_the_backups_that_is_old_comes_next():
    assert status._next(None, [SERVING], "healthy", [], proven=False) == "rmc-dr backup status"
    assert status._next(None, [DEAD], "healthy", [], proven=False) != "rmc-dr backup status"


def test_an_inspection_that_is_overdue_comes_after_all_that_is_wrong():
    assert status._next(None, [SERVING], "healthy", [], proven=True, inspected=False) == "rmc-dr inspect"
    assert status._next(None, [SERVING], "healthy", [], proven=False, inspected=False) != "rmc-dr inspect"
