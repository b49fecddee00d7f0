"""The story on real hosts: break the application server, rebuild it, interrupt that, refuse what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest
from conftest import INVENTORY, Lab

from rmc_dr import content
from rmc_dr.plans import read_stages
from rmc_dr.record import find, local_lock, read
from rmc_dr.ssh import command

pytestmark = pytest.mark.lab
STAGES = [stage.name for stage in read_stages(content.root() / "playbooks" / "rebuild-appserver.yml")]


def serving(lab: Lab) -> bool:
    return lab.run("verify", "appserver").code == 0


def test_drill_loses_nothing(lab: Lab):
    lab.run("runs", "abandon", "last", "--reason", "left by an earlier test")
    lab.ok("lab", "heal")
    said = lab.ok("drill", "appserver", "--json", timeout=1800)
    result = json.loads(said.out.splitlines()[-1])
    assert result["acknowledged_before_break"] >= 1000
    assert result["acknowledged"] > result["acknowledged_before_break"]
    assert (result["lost"], result["duplicated"], result["attachments_missing"]) == (0, 0, 0)
    assert 0 < result["rto_minutes"] < 24 * 60


@pytest.mark.long
@pytest.mark.parametrize("how", ["disk", "os", "process", "off"])
def test_recovers_from(healthy: Lab, how: str):
    healthy.ok("lab", "break", "app1", "--how", how)
    healthy.ok("rebuild", "appserver", "--yes", timeout=1500)
    assert serving(healthy)


def test_plan_changes_nothing(healthy: Lab):
    before = healthy.run("runs").out
    said = healthy.ok("rebuild", "appserver", "--plan", "--replace-healthy", "app1", "--json")
    assert [stage["name"] for stage in said.events()[0]["stages"]] == STAGES
    assert healthy.run("runs").out == before


def test_healthy_host_is_refused(healthy: Lab):
    said = healthy.run("rebuild", "appserver", "--yes")
    assert (said.code, "healthy" in said.err) == (3, True)


def test_typed_name_must_match(healthy: Lab):
    said = healthy.run("rebuild", "appserver", "--replace-healthy", "app1")
    assert said.code == 2
    assert "Traceback" not in said.err


def test_second_operator_is_refused(healthy: Lab):
    with local_lock("lab", "another-run"):
        said = healthy.run("rebuild", "appserver", "--yes", "--replace-healthy", "app1")
    assert said.code == 4
    assert "another-run" in said.err


def test_another_control_machine_is_refused(healthy: Lab):
    estate = healthy.estate()
    host = estate.host("app1")
    line = json.dumps({"run": "theirs-1", "control": "other-laptop"})
    plant = [*command(estate, host), "cat >/run/rmc-dr.lock"]
    subprocess.run(plant, input=line, text=True, check=True)
    said = healthy.run("rebuild", "appserver", "--yes", "--replace-healthy", "app1")
    assert said.code == 4
    assert "theirs-1" in said.err
    healthy.run("runs", "abandon", "last", "--reason", "test")


def events(run_id: str) -> list[str]:
    return [event.event for event in read(find(run_id))]


def wait_for_stage(process: subprocess.Popen[str], stage: str, moment: float) -> None:
    """Wait until the newest run is ``moment`` seconds into ``stage``, or the process has ended."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and process.poll() is None:
        begun = [e for e in read(find("last")) if e.event == "stage-started" and e.get("name") == stage]
        if begun:
            time.sleep(moment)
            return
        time.sleep(0.05)
    pytest.fail(f"the stage {stage} was never reached: {process.communicate()[1][-2000:]}")


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_resume_after_kill(healthy: Lab, seed, stage: str, number: int):
    healthy.ok("lab", "break", "app1", "--how", "disk" if number < 3 else "os")
    before = len(healthy.run("runs").out.splitlines())
    process = healthy.popen("rebuild", "appserver", "--yes", "--json")
    while len(healthy.run("runs").out.splitlines()) == before and process.poll() is None:
        time.sleep(0.2)
    wait_for_stage(process, stage, seed.uniform(0, 6))
    process.kill()
    process.wait()
    journal = find("last") / "journal.jsonl"
    if number == 2:
        with journal.open("ab") as file:
            file.write(b'{"seq": 99999, "time": "2026-')
    said = healthy.run("resume", timeout=1500)
    finished = "run-finished" in events("last")
    assert said.code == 0 or finished, said.err
    assert serving(healthy)
    started = [e.get("name") for e in read(find("last")) if e.event == "stage-started"]
    ended = [
        e.get("name") for e in read(find("last")) if e.event == "stage-finished" and e.get("status") == "ok"
    ]
    assert started.count("reinstall") <= 2
    assert ended.count("reinstall") == 1


@pytest.mark.long
def test_resume_after_ctrl_c(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "os")
    process = healthy.popen("rebuild", "appserver", "--yes", "--json")
    time.sleep(3)
    wait_for_stage(process, "reinstall", 2)
    os.kill(process.pid, signal.SIGINT)
    process.wait(120)
    assert process.returncode == 5
    healthy.ok("resume", timeout=1500)
    assert serving(healthy)


@pytest.mark.long
def test_resume_after_power_cut_of_the_target(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "os")
    process = healthy.popen("rebuild", "appserver", "--yes", "--json")
    time.sleep(3)
    wait_for_stage(process, "converge", 2)
    healthy.ok("lab", "break", "app1", "--how", "off")
    process.wait(600)
    assert process.returncode == 1
    healthy.ok("resume", timeout=1500)
    assert serving(healthy)


@pytest.mark.long
def test_recovers_by_hand(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "disk")
    done = subprocess.run(
        ["ansible-playbook", "-i", str(INVENTORY), "playbooks/rebuild-appserver.yml"],
        cwd=content.root(),
        env={**healthy.env, "PATH": f"{content.root() / '.venv/bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert serving(healthy)


@pytest.mark.long
def test_recovers_without_any_registry(lab: Lab):
    """In a network namespace whose only link is the lab's bridge, with the package caches hidden."""
    lab.ok("lab", "down")
    hidden = [
        "/var/cache/apt",
        "/var/lib/apt/lists",
        "/root/.m2",
        "/root/.cache/pip",
        content.STATE / "cache",
    ]
    hide = "; ".join(f"mkdir -p {path}; mount -t tmpfs none {path}" for path in hidden)
    story = (
        "rmc-dr lab up && rmc-dr lab break app1 --how disk && rmc-dr rebuild appserver --yes && rmc-dr verify"
    )
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "sh",
            "-c",
            f"{hide}; ip link set lo up; {story}; e=$?; rmc-dr lab down; exit $e",
        ],
        env={**lab.env, "PATH": f"{content.root() / '.venv/bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lab.ok("lab", "up")
