"""The verification host loses its disk and comes back to its work; one that is in use is not touched."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import Lab, content_hash
from pair import mend

pytestmark = [pytest.mark.lab, pytest.mark.long]
HOST = "verify1"
PLAYBOOK = "rebuild-verifier.yml"
BOOTED = ("systemctl", "show", "--value", "--property=UserspaceTimestampMonotonic")


@pytest.fixture
def well(healthy: Lab) -> Iterator[Lab]:
    """A whole lab with a backup, and nothing on the verification host that a test before left."""
    healthy.run("restore", "release", "--yes")
    healthy.ok("backup", "run", timeout=600)
    yield healthy
    healthy.run("runs", "abandon", "last", "--reason", "left by a test")
    healthy.run("restore", "release", "--yes")
    mend(healthy)


def booted(lab: Lab) -> str:
    """Another word for the host's boot: whoever was switched off says another one."""
    return lab.ok("lab", "exec", HOST, "--", *BOOTED).out


def test_a_blank_host_comes_back_and_proves_the_backups(well: Lab):
    well.ok("lab", "break", HOST, "--how", "blank")
    plan = well.ok("rebuild", "verifier", HOST, "--plan", "--json").events()[0]
    names = [stage["name"] for stage in plan["stages"]]
    assert names == ["living", "preserve", "fence", "reinstall", "boot", "converge", "verify"]
    assert {tuple(stage["hosts"]) for stage in plan["stages"] if stage["name"] != "preserve"} == {(HOST,)}
    said = well.ok("rebuild", "verifier", HOST, "--yes", "--json", timeout=1500).events()
    checks = [event for event in said if event.get("event") == "check"]
    assert checks
    assert all(event["passed"] for event in checks)
    assert said[-1]["outcome"] == "recovered"
    well.ok("verify", "verifier")
    well.ok("backup", "verify", timeout=1500)


def test_a_broken_system_is_rebuilt_and_its_data_partition_is_formatted(well: Lab):
    well.ok("lab", "exec", HOST, "--", "sh", "-c", "mkdir -p /srv/verify && echo half > /srv/verify/half")
    well.ok("lab", "break", HOST, "--how", "os")
    well.ok("rebuild", "verifier", HOST, "--yes", timeout=1500)
    assert well.run("lab", "exec", HOST, "--", "test", "-e", "/srv/verify").code != 0
    well.ok("verify", "verifier")


def test_what_lives_is_refused(well: Lab):
    before = booted(well)
    living = well.run("rebuild", "verifier", HOST, "--yes")
    assert (living.code, f"--replace-healthy {HOST}" in living.err) == (3, True), living.err
    wrong_group = well.run("rebuild", "verifier", "db1", "--yes")
    assert (wrong_group.code, "verifier" in wrong_group.err) == (2, True)
    assert booted(well) == before


def test_a_copy_that_somebody_looks_into_is_not_taken_away(well: Lab):
    well.ok("restore", "database", "--inspect", timeout=1200)
    before = booted(well)
    said = well.run("rebuild", "verifier", HOST, "--yes", "--replace-healthy", HOST)
    assert (said.code, "rmc-dr restore release" in said.err) == (3, True), said.err
    by_hand = well.by_hand(PLAYBOOK, "-e", f"target={HOST}", "-e", f"replace_healthy={HOST}")
    assert by_hand.code != 0
    assert "that somebody looks into" in by_hand.out
    assert booted(well) == before
    found = json.loads(well.ok("restore", "release", "--plan", "--json").out)["inspection"]
    assert found["state"] == "stands"


def test_by_hand_a_target_must_be_named(well: Lab):
    well.ok("lab", "break", HOST, "--how", "off")
    disk = content_hash(well.disk(HOST))
    done = well.by_hand(PLAYBOOK)
    assert done.code != 0
    assert f"Name one of {HOST} as the target" in done.out
    assert "Boot the rescue system" not in done.out
    assert content_hash(well.disk(HOST)) == disk
