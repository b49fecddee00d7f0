"""The story on real hosts: break the application server, rebuild it, refuse what is wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess

import pytest
from conftest import Lab, serving
from pair import Pair

from rmc_dr import content
from rmc_dr.lab import load
from rmc_dr.plans import read_stages
from rmc_dr.record import find, local_lock, read
from rmc_dr.ssh import Alias, command

pytestmark = pytest.mark.lab
STAGES = [stage.name for stage in read_stages(content.root() / "playbooks" / "rebuild-appserver.yml")]


def test_drill_loses_nothing(lab: Lab):
    lab.run("runs", "abandon", "last", "--reason", "left by an earlier test")
    lab.ok("lab", "heal")
    said = lab.ok("drill", "appserver", "--json", timeout=1800)
    result = json.loads(said.out.splitlines()[-1])
    assert result["acknowledged_before_break"] >= 1000
    assert result["acknowledged"] > result["acknowledged_before_break"]
    assert (result["lost"], result["duplicated"], result["attachments_missing"]) == (0, 0, 0)
    assert 0 < result["rto_minutes"] < 24 * 60
    users_stay_out_until_the_server_is_proven(result["run"])


def users_stay_out_until_the_server_is_proven(run_id: str) -> None:
    """By the journal's times and the ledger's, which two programs wrote: the applications serve from `start`
    on, and users try all the time, but nothing of theirs is acknowledged before `open`.
    """
    began = {
        str(event.get("name")): event.time.timestamp()
        for event in read(find(run_id))
        if event.event == "stage-started"
    }
    ledger = load.read_ledger(max((content.STATE / "drills").glob("*-appserver")) / "ledger.jsonl")
    acknowledged = [entry["t"] for entry in ledger if entry["what"] == "ack"]
    tried = [entry["t"] for entry in ledger if entry["what"] in ("refused", "unknown")]
    assert [moment for moment in acknowledged if began["fence"] <= moment < began["open"]] == []
    assert any(began["verify"] <= moment < began["open"] for moment in tried)
    assert any(moment >= began["open"] for moment in acknowledged)


@pytest.mark.long
@pytest.mark.parametrize("how", ["disk", "os", "process", "off"])
def test_recovers_from(healthy: Lab, how: str):
    healthy.ok("lab", "break", "app1", "--how", how)
    healthy.ok("rebuild", "appserver", "--yes", timeout=1500)
    assert serving(healthy)


@pytest.mark.long
@pytest.mark.parametrize("down", ["db1", "db2"])
def test_recovers_while_one_database_host_is_off(healthy: Lab, down: str):
    """Whichever it is: the first of the group is the one that Ansible runs a play's single tasks on."""
    Pair(healthy)  # the one that stays must be in step, or it may not lead
    healthy.ok("lab", "break", down, "--how", "off")
    healthy.ok("lab", "break", "app1", "--how", "disk")
    healthy.ok("rebuild", "appserver", "--yes", timeout=1500)
    assert serving(healthy)
    assert json.loads(healthy.run("db", "status", "--json").out)["verdict"] == "standby-down"


RADOSGW = "ceph-radosgw@rgw.a.service"


@pytest.mark.long
def test_wiped_attachments_come_back_from_the_newest_snapshot(healthy: Lab):
    """What was uploaded after it is gone: the plan says so before, the record counts it afterwards."""
    on = ["lab", "exec", "app1", "--", "sh", "-c"]
    healthy.ok(
        *on, "echo kept >/srv/attachments/management/kept; chown liberty: /srv/attachments/management/kept"
    )
    healthy.ok("backup", "run", "--files", timeout=600)
    healthy.ok(*on, "echo lost >/srv/attachments/lost")
    count = "$(find /srv -xdev -mindepth 1 -not -name lost+found | wc -l)"
    files = int(healthy.ok("lab", "exec", "app1", "--", "sh", "-c", f"echo {count}").out)
    words = ("rebuild", "appserver", "--wipe-data", "--replace-healthy", "app1")
    planned = healthy.ok(*words, "--plan").out
    told = re.search(r"every attachment on /srv, about (\d+) files and folders", " ".join(planned.split()))
    assert told
    assert int(told[1]) == pytest.approx(files, abs=2)  # a filesystem has files of its own

    healthy.ok("lab", "break", "app1", "--how", "process")
    said = healthy.ok(*words, "--yes", "--json", timeout=1500)
    facts = [event["hosts"].get("app1", {}) for event in said.events() if event.get("event") == "facts"]
    counted = next(fact["attachments"] for fact in facts if "attachments" in fact)
    assert set(counted) == {"management", "verification"}
    assert all(one["missing"] <= one["known"] for one in counted.values())

    said = next(event for event in read(find("last")) if "reinstall" in str(event.get("hosts")))
    data = said.fields["hosts"]["app1"]["reinstall"]["data"]
    assert (data["kept"], data["was"]) == (False, "present")
    left = healthy.ok("lab", "exec", "app1", "--", "ls", "/srv/attachments").out.split()
    assert sorted(left) == ["management", "verification"]
    assert healthy.ok(*on, "cat /srv/attachments/management/kept").out == "kept\n"
    assert healthy.ok(*on, "stat -c %U /srv/attachments/management/kept").out == "liberty\n"
    healthy.ok(*on, "rm /srv/attachments/management/kept")
    assert serving(healthy)


@pytest.mark.long
def test_without_the_store_the_attachments_are_waited_for_or_given_up(healthy: Lab):
    """Never silently: the stage fails, and only a reason that is recorded lets the users in without them."""
    healthy.ok("backup", "run", "--files", timeout=600)
    words = ("rebuild", "appserver", "--wipe-data", "--replace-healthy", "app1", "--yes")
    healthy.ok("lab", "exec", "store1", "systemctl", "stop", RADOSGW)
    try:
        said = healthy.run(*words, timeout=1500)
        assert (said.code, "--without-files" in said.err, "Traceback" in said.err) == (1, True, False), (
            said.err
        )
        healthy.ok("resume", "--without-files", "the store burnt as well", timeout=1500)
    finally:
        healthy.ok("lab", "exec", "store1", "systemctl", "start", RADOSGW)
    assert serving(healthy)
    assert "the store burnt as well" in healthy.ok("report", "run", "last").out
    healthy.ok("restore", "files", "--yes", timeout=600)


def test_plan_changes_nothing(healthy: Lab):
    before = healthy.run("runs").out
    said = healthy.ok("rebuild", "appserver", "--plan", "--replace-healthy", "app1", "--json")
    told = {stage["name"]: stage["hosts"] for stage in said.events()[0]["stages"]}
    assert list(told) == STAGES
    assert (told["reinstall"], told["database"]) == (["app1"], ["app1", "db1", "db2"])
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


def plant(lab: Lab, alias: Alias):
    """The lock of a run on another laptop that bears this one's name, as two copies of one image do."""
    theirs = {"run": "theirs-1", "estate": "lab", "control": socket.gethostname(), "machine": "0" * 32}
    words = [*command(lab.estate(), lab.estate().host("app1"), alias), "cat >/run/rmc-dr.lock"]
    subprocess.run(words, input=json.dumps(theirs), text=True, check=True)


def test_another_control_machine_is_refused(healthy: Lab):
    plant(healthy, "system")
    said = healthy.run("rebuild", "appserver", "--yes", "--replace-healthy", "app1")
    assert said.code == 4
    assert "theirs-1" in said.err
    healthy.run("runs", "abandon", "last", "--reason", "test")


def test_a_fence_is_not_released_under_another_control_machine(healthy: Lab):
    """It may be writing the disk of a host that seems to be idle in its rescue system."""
    healthy.ok("power", "rescue", "app1", "--yes")
    plant(healthy, "rescue")
    said = healthy.run("fence", "release", "app1", "--json")
    assert (said.code, said.events()[-1]["error"], "theirs-1" in said.err) == (4, "target-locked", True)
    assert healthy.ok("power", "status", "app1").out.strip() == "app1: rescue"
    healthy.ok("fence", "release", "app1", "--break-lock", "theirs-1")
    healthy.ok("lab", "exec", "app1", "sh", "-c", "! test -e /run/rmc-dr.lock")


@pytest.mark.long
def test_recovers_by_hand(healthy: Lab):
    healthy.ok("lab", "break", "app1", "--how", "disk")
    done = healthy.by_hand("rebuild-appserver.yml", timeout=1500)
    assert done.code == 0, done.out[-3000:]
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
