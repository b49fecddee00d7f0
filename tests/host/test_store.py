"""The witness, the third voter that lets the pair decide; and the object store of the estate's own."""

from __future__ import annotations

import re

import pytest

testinfra_hosts = ["ansible://store"]
DAEMONS = {"ceph-mon@a": "ceph-mon", "ceph-osd@0": "ceph-osd", "ceph-radosgw@rgw.a": "radosgw"}
KEYS = "/srv/ceph/keys"
SHOWN = "openssl s_client -connect 127.0.0.1:443 -servername %s -CAfile /etc/rmc-dr/tls/ca.pem </dev/null"


@pytest.fixture
def serves(estate, name) -> bool:
    """Whether the estate's S3 endpoint is this host."""
    return estate["s3_host"] == name


def test_etcd_runs(host):
    assert host.service("etcd").is_running
    assert host.service("etcd").is_enabled


def test_etcd_has_all_its_voters(etcd_voters):
    assert len(etcd_voters) == 3
    assert len({voter["Status"]["leader"] for voter in etcd_voters}) == 1


def test_postgres_is_not_here(host):
    assert not host.package("postgresql-17").is_installed


def test_system_is_running(host):
    assert host.check_output("systemctl is-system-running") == "running"


def test_ceph_runs_where_the_estate_wants_it(host, serves):
    for unit, program in DAEMONS.items():
        assert host.service(unit).is_enabled
        assert host.service(unit).is_running is serves
        if serves:
            main = host.check_output(f"systemctl show -p MainPID --value {unit}")
            assert host.check_output(f"ps -o user= -p {main}") == "ceph"
            assert host.check_output(f"readlink /proc/{main}/exe") == f"/usr/bin/{program}"


def test_monitor_and_osd_listen_on_the_loopback_only(host, serves):
    ends = re.findall(r"(\S+):(\d+)\s+\S+\s+users:\(\(\"(ceph-\w+)\"", host.check_output("ss -Hltnp"))
    assert bool(ends) is serves
    assert {address for address, _port, _program in ends} <= {"127.0.0.1"}


def test_gateway_shows_the_hosts_own_certificate(host, name, serves):
    if serves:
        said = host.run(SHOWN, name)
        assert "Verify return code: 0 (ok)" in said.stdout
        shown = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said.stdout, re.DOTALL)
        assert shown
        assert shown[0] in host.file("/etc/rmc-dr/tls/host.pem").content_string


def test_cluster_lies_on_the_data_partition_and_is_private(host, serves):
    assert host.file("/srv/ceph/fsid").exists is serves
    if serves:
        assert host.mount_point("/srv").exists
        assert host.check_output("stat -c %U:%G:%a /srv/ceph /etc/ceph/gateway.pem").split() == [
            "ceph:ceph:750",
            "root:ceph:640",
        ]
        assert host.check_output(f"find {KEYS} -type f -perm /077") == ""
        assert not host.file("/srv/ceph/founding").exists


def test_cluster_asks_everybody_for_a_key(host, serves):
    if serves:
        for option in ("auth_cluster_required", "auth_service_required", "auth_client_required"):
            assert host.check_output("ceph-conf --lookup %s --name mon.a", option) == "cephx"
