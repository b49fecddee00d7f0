"""`rmc-dr verify` on real hosts: it passes, fails for the right reason, and trusts no strange key."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Lab

from rmc_dr import verify as subject
from rmc_dr.estate import Estate

pytestmark = [pytest.mark.lab, pytest.mark.long]


def test_every_host_is_as_described(healthy: Lab):
    said = json.loads(healthy.ok("verify", "--json").out)
    assert said["failed"] == 0
    hosts = {check["name"].split(":")[0] for check in said["checks"]}
    assert hosts >= {"app1", "db1", "db2", "store1"}
    assert Path(said["junit"]).is_file()


def test_a_stopped_service_is_named(healthy: Lab):
    healthy.ok("lab", "exec", "store1", "--", "systemctl", "stop", "etcd")
    try:
        said = healthy.run("verify", "store", "--json")
    finally:
        healthy.ok("lab", "exec", "store1", "--", "systemctl", "start", "etcd")
    assert said.code == 1
    failed = {check["name"] for check in json.loads(said.out)["checks"] if not check["passed"]}
    assert "store1: etcd runs" in failed


def with_known_hosts(estate: Estate, folder: Path, text: str) -> Estate:
    shutil.copytree(estate.private_dir, folder)
    (folder / "known_hosts").write_text(text)
    return replace(estate, config=estate.config.model_copy(update={"private_dir": folder}))


@pytest.mark.parametrize("wrong", ["another host's key", "no key at all"])
def test_a_wrong_host_key_fails_every_check(healthy: Lab, tmp_path: Path, wrong: str):
    """testinfra speaks SSH by itself and would ignore Ansible's own strictness."""
    estate = healthy.estate()
    lines = (estate.private_dir / "known_hosts").read_text().splitlines()
    pinned = {line.split(",")[0]: line.split(" ", 1)[1] for line in lines}
    text = (
        f"store1,{estate.host('store1').address} {pinned['db1']}\n" if wrong == "another host's key" else ""
    )
    given = with_known_hosts(estate, tmp_path / "private", text)

    checks = subject.verify(given, [estate.host("store1")], tmp_path / "junit.xml")

    over_ssh = [check for check in checks if check.name != "store1: firewall drops the rest"]
    assert over_ssh
    assert not any(check.passed for check in over_ssh)
    assert any("Host key verification failed" in check.detail for check in over_ssh)
