"""The witness: the third voter that lets the pair decide."""

from __future__ import annotations

testinfra_hosts = ["ansible://store"]


def test_etcd_runs(host):
    assert host.service("etcd").is_running
    assert host.service("etcd").is_enabled


def test_etcd_has_all_its_voters(etcd_voters):
    assert len(etcd_voters) == 3
    assert len({voter["Status"]["leader"] for voter in etcd_voters}) == 1


def test_postgres_is_not_here(host):
    assert not host.package("postgresql-17").is_installed
