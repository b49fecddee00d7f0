"""`rmc-dr diagnose` on real hosts: a healthy lab is called healthy, and each fault by its own name, blind."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import confusion
import diagnose_faults
import pytest
from conftest import Lab, serving
from diagnose_faults import FAULTS, PROPERTIES, WRONG_PASSWORD
from fault_app import APP, RESTART
from pair import Pair, mend

pytestmark = pytest.mark.lab
ROUNDS = int(os.environ.get("RMC_DR_DIAGNOSE_ROUNDS", str(confusion.RUNS)))  # fewer prove nothing
ONLY = [name for name in os.environ.get("RMC_DR_DIAGNOSE_ONLY", "").split(",") if name]
GREEN_SECONDS = 240
FAILED = "could not be put in, asked or undone"  # in the matrix a wrong leaf like any other
TREES = ("login", "db-timeout", "appserver")


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    mend(lab)


def walk(lab: Lab, tree: str) -> dict[str, Any]:
    said = lab.run("diagnose", tree, "--json")
    document: dict[str, Any] = json.loads(said.out)
    assert said.code == int(not document["healthy"]), said.err
    return document


def until_green(lab: Lab) -> None:
    """By commands that know nothing of a diagnosis."""
    deadline = time.monotonic() + GREEN_SECONDS
    while not (lab.run("db", "status").code == 0 and serving(lab)):
        assert time.monotonic() < deadline, "the lab is not well again after the fault was undone"
        time.sleep(2)


def told(found: dict[str, Any]) -> str:
    way = "\n".join(f"  {step['question']} {step['seen']} -> {step['branch']}" for step in found["steps"])
    return f"{way}\n  => {found['leaf']}"


def one_run(lab: Lab, name: str, tree: str) -> str:
    """Put the fault in, ask once, take it out again; the leaf that was named, or `FAILED`."""
    try:
        pair = Pair(lab)  # who leads may have changed
        with FAULTS[name].inject(pair):
            time.sleep(FAULTS[name].settle)
            found = walk(lab, tree)
        if found["leaf"] != name:
            print(f"{name}:\n{told(found)}", flush=True)  # noqa: T201
        until_green(lab)
    except (AssertionError, subprocess.SubprocessError) as error:
        print(f"{name}: {error}", flush=True)  # noqa: T201
        mend(lab)
        return FAILED
    leaf: str = found["leaf"]
    return leaf


@pytest.mark.parametrize("tree", TREES)
def test_a_healthy_lab_is_called_healthy(healthy: Lab, tree: str):
    found = walk(healthy, tree)
    assert found["leaf"] == "healthy", told(found)
    assert all("could not be looked at" not in step["seen"] for step in found["steps"])


@pytest.mark.long
@pytest.mark.slow
def test_blind_faults_are_named_and_the_matrix_is_diagonal(pair: Pair, seed: random.Random):
    """RMC_DR_SEED, which the report of the test holds, draws the order and each run's complaint."""
    names = [name for name in FAULTS if not ONLY or name in ONLY]
    drawn = [(name, seed.choice(FAULTS[name].trees)) for name in names for _ in range(ROUNDS)]
    seed.shuffle(drawn)
    matrix = confusion.Matrix()
    try:
        for number, (name, tree) in enumerate(drawn, 1):
            leaf = one_run(pair.lab, name, tree)
            matrix.add(name, tree, leaf)
            print(f"{number}/{len(drawn)} {tree}: {name} -> {leaf}", flush=True)  # noqa: T201
    finally:
        print("\n".join(matrix.lines()))  # noqa: T201
        confusion.keep(matrix)
    assert matrix.wrong() == {}


def fixed(lab: Lab, tree: str) -> list[dict[str, Any]]:
    """Both walks, before the mend and after it."""
    said = lab.run("diagnose", tree, "--fix", "--yes", "--json")
    events = said.events()
    assert said.code == 0, said.err + "\n".join(map(str, events[-3:]))
    return [event for event in events if event["event"] == "diagnosis"]


@pytest.mark.long
def test_a_dead_liberty_is_started_again(pair: Pair):
    pair.on(APP, "systemctl stop liberty")
    before, after = fixed(pair.lab, "login")
    assert (before["leaf"], after["leaf"]) == ("liberty-dead", "healthy"), told(after)
    assert serving(pair.lab)


@pytest.mark.long
def test_a_wrong_datasource_is_written_anew_from_the_estate(pair: Pair):
    digest = f"sha256sum <{PROPERTIES}"
    right = pair.on(APP, digest)
    pair.on(APP, f"sed -i '{WRONG_PASSWORD}' {PROPERTIES}; {RESTART}")
    assert pair.on(APP, digest) != right
    before, after = fixed(pair.lab, "db-timeout")
    assert (before["leaf"], after["leaf"]) == ("datasource-password", "healthy"), told(after)
    assert pair.on(APP, digest) == right
    assert serving(pair.lab)


@pytest.mark.long
def test_a_deadlocked_liberty_is_restarted_and_its_threads_are_kept(pair: Pair):
    with FAULTS["hung-deadlock"].inject(pair):
        before, after = fixed(pair.lab, "appserver")
        assert (before["leaf"], after["leaf"]) == ("hung-deadlock", "healthy"), told(after)
    kept = json.loads(pair.lab.ok("evidence", "list", "--json").out)
    assert kept


@pytest.mark.long
def test_what_neither_mends_freezes_and_leaves_the_scene(pair: Pair):
    """The freeze opens an incident, which holds its run, its evidence and the news."""
    fault = FAULTS["role-locked"]
    pair.lab.run("incident", "close", "left by an earlier test")
    try:
        with fault.inject(pair):
            time.sleep(fault.settle)
            said = pair.lab.run("diagnose", "db-timeout", "--fix", "--yes", "--json")
            assert said.code == 1, said.err
            assert "kept off" in pair.lab.ok("fence", "status", APP).out
        told = next(event for event in said.events() if event["event"] == "frozen")
        state = json.loads(pair.lab.ok("incident", "show", "--json").out)
        assert told["incident"] == state["incident"]
        assert "role-locked" in state["findings"]
        assert state["runs"]
        happened = {(event["event"], event.get("what") or event.get("kind")) for event in state["events"]}
        assert {("attached", "diagnosis"), ("attached", "evidence"), ("notice", "frozen")} <= happened
        pair.lab.ok("start")
        assert serving(pair.lab)
    finally:
        pair.lab.run("incident", "close", "a test of the diagnosis")


@pytest.mark.long
def test_a_server_that_users_log_in_to_is_not_stopped(pair: Pair):
    """A wrong password on the disk that Liberty has not read: wrong, and nobody feels it yet."""
    with diagnose_faults.on(
        pair,
        APP,
        f"cp -a {PROPERTIES} {PROPERTIES}.kept; sed -i '{WRONG_PASSWORD}' {PROPERTIES}",
        f"[ ! -e {PROPERTIES}.kept ] || mv {PROPERTIES}.kept {PROPERTIES}",
    ):
        began = pair.on(APP, "systemctl show --property=ExecMainStartTimestamp liberty")
        found = walk(pair.lab, "db-timeout")
        assert (found["leaf"], found["served"]) == ("datasource-password", True), told(found)
        said = pair.lab.run("diagnose", "db-timeout", "--fix", "--yes", "--json")
        assert said.code == 3, said.out
        assert said.events()[-1]["error"] == "users-served"
        assert pair.on(APP, "systemctl show --property=ExecMainStartTimestamp liberty") == began
    assert walk(pair.lab, "db-timeout")["healthy"]


@pytest.mark.long
def test_a_network_fault_is_left_to_people_and_a_healthy_lab_alone(pair: Pair):
    with FAULTS["network-cut"].inject(pair):
        time.sleep(3)
        said = pair.lab.run("diagnose", "login", "--fix", "--yes")
        assert said.code == 3, said.out
    until_green(pair.lab)
    assert pair.lab.run("diagnose", "login", "--fix", "--yes").code == 3


@pytest.mark.long
def test_an_open_incident_holds_the_cause(pair: Pair):
    pair.lab.ok("incident", "open", "nobody can log in")
    try:
        with FAULTS["port-dropped"].inject(pair):
            time.sleep(3)
            found = walk(pair.lab, "login")
        state = json.loads(pair.lab.ok("incident", "show", "--json").out)
        assert found["leaf"] == "port-dropped", told(found)
        assert "port-blocked" in json.dumps(state)
    finally:
        pair.lab.ok("incident", "close", "a test of the diagnosis")
