"""The witness: the third voter that lets the pair decide."""

from __future__ import annotations

testinfra_hosts = ["ansible://store"]


def test_etcd_runs(host):
    assert host.service("etcd").is_running
    assert host.service("etcd").is_enabled


def test_postgres_is_not_here(host):
    assert not host.package("postgresql-17").is_installed
