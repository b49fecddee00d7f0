"""Interruptions on real hosts: whatever ends a rebuild in the middle, `rmc-dr resume` finishes it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Lab, serving

from rmc_dr import content
from rmc_dr.plans import read_stages
from rmc_dr.record import JOURNAL, Event, find, read, runs
from rmc_dr.runner import RUN_MARK, mark

pytestmark = [pytest.mark.lab, pytest.mark.long]
STAGES = [stage.name for stage in read_stages(content.root() / "playbooks" / "rebuild-appserver.yml")]
Process = subprocess.Popen[str]
Interrupt = Callable[[Process], None]


def begin(lab: Lab) -> Process:
    """Start a rebuild; returns once its record exists."""
    before = {run.run_id for run in runs()}
    process = lab.popen("rebuild", "appserver", "--yes", "--json")
    wait_until(lambda: any(run.run_id not in before for run in runs()), process, "its record")
    return process


def go_on(lab: Lab) -> Process:
    """Start `rmc-dr resume`; returns once the record says so, or it has ended."""
    before = len(events("run-resumed"))
    process = lab.popen("resume", "--json")
    wait_until(lambda: len(events("run-resumed")) > before, process, "going on")
    return process


def events(name: str) -> list[Event]:
    return [event for event in read(find("last")) if event.event == name]


def recovered() -> bool:
    return any(event.get("outcome") == "recovered" for event in events("run-finished"))


def wait_until(happened: Callable[[], bool], process: Process, what: str) -> None:
    deadline = time.monotonic() + 900
    while not happened():
        if process.poll() is not None and not happened():
            pytest.fail(f"rmc-dr ended with {process.returncode} before {what}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, f"never seen: {what}"
        time.sleep(0.05)


def wait_into(stage: str, seconds: float, process: Process) -> None:
    """Wait until this process is ``seconds`` into the stage, or into a later one where that one was done."""

    def begun() -> bool:
        since = max((event.seq for event in events("run-resumed")), default=0)
        started = [event for event in events("stage-started") if event.seq > since]
        return any(STAGES.index(str(event.get("name"))) >= STAGES.index(stage) for event in started)

    wait_until(begun, process, f"the stage {stage}")
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def usual_seconds(stage: str) -> float:
    """How long a stage took when it last went well."""
    for run in runs():
        for event in read(run.path):
            if (event.event, event.get("name"), event.get("status")) == ("stage-finished", stage, "ok"):
                return float(str(event.get("seconds")))
    return 5


def kill(process: Process) -> None:
    process.kill()
    process.wait()


def kill_and_tear_the_record(process: Process) -> None:
    """A power cut of the control machine: the last line is only half on the disk."""
    kill(process)
    with (find("last") / JOURNAL).open("ab") as file:
        file.write(b'{"seq": 99999, "time": "2026-')


def kill_ansible(process: Process) -> None:
    """kill -9 of what rmc-dr started; between two playbooks there is only rmc-dr itself."""
    wanted = f"{RUN_MARK}={mark(find('last').name)}".encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (
                entry.name.isdigit()
                and int(entry.name) != process.pid
                and wanted in (entry / "environ").read_bytes().split(b"\0")
            ):
                os.kill(int(entry.name), signal.SIGKILL)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        kill(process)


@pytest.mark.parametrize("interrupt", [kill, kill_and_tear_the_record, kill_ansible])
def test_resume_after_a_kill_in_every_stage(healthy: Lab, seed: random.Random, interrupt: Interrupt):
    """Each process of the run dies at a random moment of the next stage; the last one finishes."""
    healthy.ok("lab", "break", "app1", "--how", "disk")
    process = begin(healthy)
    for stage in STAGES:
        wait_into(stage, seed.uniform(0, usual_seconds(stage)), process)
        interrupt(process)
        if recovered():
            break  # the last stage was done before its moment came
        process = go_on(healthy)
    process.wait(900)
    assert recovered(), process.communicate()[1]
    assert serving(healthy)
    assert len(events("run-resumed")) >= len(STAGES) - 1
    ended = [event.get("name") for event in events("stage-finished") if event.get("status") == "ok"]
    assert ended.count("reinstall") == 1


def test_resume_after_ctrl_c(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "os")
    process = begin(healthy)
    wait_into("reinstall", 2, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 5
    healthy.ok("resume", timeout=1500)
    assert serving(healthy)


def test_resume_after_a_power_cut_of_the_target(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "os")
    process = begin(healthy)
    wait_into("converge", 2, process)
    healthy.ok("lab", "break", "app1", "--how", "off")
    assert process.wait(600) == 1
    healthy.ok("resume", timeout=1500)
    assert serving(healthy)


@pytest.mark.parametrize("stage", ["reinstall", "converge"])
def test_resume_after_the_network_was_cut(healthy: Lab, stage: str):
    """The cable between this machine and the target; only a power cycle gives the lab's machine a new one."""
    healthy.ok("lab", "break", "app1", "--how", "os")
    process = begin(healthy)
    wait_into(stage, 3, process)
    cable("down")
    try:
        assert process.wait(600) == 1
        healthy.ok("resume", timeout=1500)  # steps back to a stage that switches the power
    finally:
        cable("up")
    assert serving(healthy)


def cable(state: str) -> None:
    subprocess.run(["ip", "link", "set", "dev", "vb-app1", state], check=True)
