"""What --fix of `rmc-dr diagnose` refuses while users are served, and whom a freeze has told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from check_world import GIB
from diagnose_run import Run, World, run, world
from diagnose_world import WORLDS, inside, well

from rmc_dr import diagnosis, frozen, journey, response
from rmc_dr.diagnose.sight import Memory
from rmc_dr.diagnose.tree import trees
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate
from rmc_dr.incident import record

__all__ = ["run", "world"]  # pytest finds them here
LEAVES = {name for name, leaf in trees().leaves.items() if leaf.mend in diagnosis.MENDS}
FREEZE = ("db-timeout", "--fix", "--yes")
STOPPED = [("stop", {"writes": True, "skip_preserve": None})]
MAIL, HOOK = "mailtos://a@b", "jsons://c"


def test_neither_network_nor_datasource_opens_an_incident_whose_outbox_tells(
    run: Run, world: World, ours: Estate, carried: list[str]
) -> None:
    world.are("role-locked")
    world.vault, world.dead = (MAIL, HOOK), {HOOK}
    done = run(*FREEZE)
    assert done.return_value == 1
    assert world.did == STOPPED
    state = record.open_incident(ours.name)
    assert state
    assert (state.findings, state.nature.klass) == (("role-locked",), "critical")
    assert [event.get("leaf") for event in state.attached("diagnosis")] == ["role-locked"]
    notice = state.notices[-1]
    assert notice.get("kind") == "frozen"
    assert "the application's role may not log in" in str(notice.get("text"))
    assert (MAIL, notice.get("title"), notice.get("text")) in world.sent
    mine = {one.get("to"): one.event for one in state.deliveries if one.get("notice") == notice.seq}
    assert mine == {"1-mailtos": "notice-sent", "2-jsons": "notice-failed"}
    assert carried[-1] == str(ours.inventory), "a process goes on asking whoever did not take it"
    for said in (
        "Nobody writes any more, and the scene is kept.",
        f"Noted in the incident {state.incident}.",
        "Told: 1-mailtos.",
        "Not reached, asked again for a day: 2-jsons.",
    ):
        assert said in done.output, done.output


def test_a_freeze_joins_the_open_incident_and_says_that_nobody_is_named(
    run: Run, world: World, ours: Estate
) -> None:
    incident = response.start(ours, "nobody can log in", ()).incident
    world.are("role-locked")
    done = run(*FREEZE)
    state = record.read(incident)
    assert state.notices[-1].get("kind") == "frozen"
    assert len(state.attached("diagnosis")) == 1
    assert "The vault names nobody who could be told" in done.output
    assert "Told" not in done.output
    assert world.sent == []


def test_a_freeze_without_an_incident_tells_once_and_says_whom_nobody_asks_again(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_words: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(frozen, "open_incident", broken)
    monkeypatch.setattr(diagnosis, "open_incident", broken)
    world.are("role-locked")
    world.vault, world.dead = (MAIL, HOOK), {HOOK}
    done = run(*FREEZE)
    assert world.did == STOPPED
    assert [address for address, _title, _text in world.sent] == [MAIL, HOOK]
    assert "Told: 1-mailtos." in done.output
    assert "Not reached, and nobody asks again: 2-jsons. Call somebody." in done.output
    assert "No incident could be written" in done.output


def test_another_process_that_carries_the_news_is_waited_for(
    run: Run, world: World, ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the outbox; what it has not delivered in time counts as asked again."""
    monkeypatch.setattr(frozen.outbox, "deliver", lambda *_words, **_given: None)
    world.are("role-locked")
    world.vault = (MAIL,)
    told = [json.loads(line) for line in run(*FREEZE, "--json").output.splitlines()][-1]
    state = record.open_incident(ours.name)
    assert state
    assert told == {
        "event": "frozen", "incident": state.incident, "took": [], "retried": ["1-mailtos"], "missed": []
    }  # fmt: skip


def test_a_scene_that_was_not_kept_is_not_claimed(run: Run, world: World) -> None:
    world.are("role-locked")
    assert "the scene was not kept" in run(*FREEZE, "--skip-preserve", "no time").output


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_what_would_stop_a_server_that_users_log_in_to_is_refused(
    run: Run, world: World, ours: Estate, leaf: str
) -> None:
    """Unless the fault is one that users meet all the same, as where nothing can be written."""
    world.are(leaf)
    world.logs_in = {app.name: True for app in ours.config.applications.apps}
    for words in (("--plan",), ("--fix", "--yes")):
        done = run(WORLDS[leaf][0], *words)
        if trees().leaves[leaf].felt:
            assert done.exception is None, done.exception
        else:
            error = done.exception
            assert isinstance(error, Refused)
            assert (error.code, int(error.exit_code)) == ("users-served", 3)
            assert "Users log in to every application of app1" in error.message
            assert "at a quiet time: `rmc-dr " in error.hint
    assert bool(world.did) == trees().leaves[leaf].felt


def test_which_faults_users_meet_although_they_can_log_in() -> None:
    """A pool that is full or a role that is locked stops nobody who got in; a disk that is full does."""
    felt = {name for name, leaf in trees().leaves.items() if leaf.felt}
    assert felt == {"database-down", "database-torn", "lock-idle", "lock-busy", "disk-full", "inodes-full"}
    assert felt <= LEAVES


def test_one_application_that_keeps_its_users_out_is_enough(run: Run, world: World, ours: Estate) -> None:
    world.are("memory-heap", "healthy")
    world.logs_in = {ours.config.applications.apps[0].name: True}
    assert run("appserver", "--fix", "--yes").return_value == 0
    assert [what for what, _given in world.did] == ["restart"]


def test_a_journey_that_logs_nobody_in_proves_nothing(
    run: Run, world: World, ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be shown by a server that nobody can work with."""
    steps = [journey.Step(get="/management/")]
    monkeypatch.setattr(diagnosis.journey, "read_steps", lambda _app: steps)
    world.are("application-stale", "healthy")
    world.logs_in = {app.name: True for app in ours.config.applications.apps}
    assert run("login", "--fix", "--yes").return_value == 0


def test_a_journey_that_cannot_be_read_keeps_nobody_from_a_mend(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def invalid(_app: Any) -> None:
        raise BadInput("journey-invalid", "It is none.", "Correct it.")

    monkeypatch.setattr(diagnosis.journey, "read_steps", invalid)
    world.are("role-locked")
    assert run(*FREEZE).return_value == 1
    assert world.did == STOPPED


def test_a_heap_that_is_over_says_so(run: Run, world: World, ours: Estate) -> None:
    memory = Memory(("java.lang.OutOfMemoryError",), heap_most=GIB, age=3000.0)
    world.sights = [inside(memory=memory)(well(ours))]
    done = run("appserver")
    assert "memory-heap" in done.output
    assert "it runs again since 50 min, and users log in" in " ".join(done.output.split())
    assert "Class: critical; but users log in just now" in done.output
    assert json.loads(run("appserver", "--json").output)["served"] is True
    world.are("memory-heap")
    done = run("appserver")
    assert "runs again" not in done.output
