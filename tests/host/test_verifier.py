"""The verification host: idle between two verifications, and not able to write to anybody."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://verifier"]
SETTINGS = "/etc/rmc-dr/verification"


def test_system_is_running(host):
    assert host.check_output("systemctl is-system-running") == "running"


def test_nothing_is_left_of_a_verification(host):
    """While one is at work, or a backup is looked into, this is its slice."""
    there = [
        name
        for name, folder in (("verification", "/srv/verify"), ("inspection", "/srv/inspect"))
        if host.file(folder).exists
    ]
    for name in {"verification", "inspection"} - set(there):
        listed = host.check_output("systemctl list-units --plain --no-legend --state=active '%s*'", name)
        assert listed == ""
    if not there:
        assert host.run("pgrep -x postgres").stdout == ""


def test_it_sweeps_by_itself_what_a_killed_verification_left(host):
    timer = host.service("rmc-dr-sweep.timer")
    assert timer.is_enabled
    assert timer.is_running
    assert host.file("/usr/local/lib/rmc-dr-sweep").mode == 0o755


def test_it_is_named_as_the_host_that_things_are_removed_on(host, name):
    assert host.file(f"{SETTINGS}/host").content_string.strip() == name


def test_nobody_takes_it_for_a_database_host(host):
    assert not host.file("/srv/postgresql").exists
    for unit in ("patroni", "etcd", "pgbackrest"):
        assert not host.service(unit).is_running


def test_what_it_knows_is_private(host):
    for path, owner, mode in (
        ("/etc/rmc-dr/restic.env", "root:root", "600"),
        ("/etc/pgbackrest/pgbackrest.conf", "root:postgres", "640"),
    ):
        assert host.check_output("stat -c %%U:%%G:%%a %s", path) == f"{owner}:{mode}"


def test_it_goes_to_the_store_only(host):
    rules = host.check_output("nft list table inet rmc_dr_leaving")
    assert "hook output priority filter; policy drop;" in rules
    assert host.service("rmc-dr-leaving").is_enabled


@pytest.mark.parametrize("port", [22, 5432, 8008])
def test_it_does_not_reach_the_database_hosts(host, estate, port):
    for peer in estate["dbservers"]:
        address = estate["hosts"][peer]["address"]
        said = host.run(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}'")
        assert said.rc != 0, f"{peer}:{port} answered"


def test_it_reads_the_repositories(host):
    """That its key writes nothing is proven by `rmc-dr store check`."""
    said = host.run("cd / && runuser -u postgres -- pgbackrest --stanza=pair --output=json info")
    assert said.rc == 0, said.stdout
    assert host.run("timeout 60 rmc-dr-restic --no-lock --no-cache cat config").rc == 0
