"""The pair, as each of its hosts sees itself."""

from __future__ import annotations

testinfra_hosts = ["ansible://dbserver"]


def sql(host, query: str) -> str:
    return host.check_output("runuser -u postgres -- psql -X -At -c %s", query)


def test_patroni_and_etcd_run(host):
    for name in ("patroni", "etcd"):
        assert host.service(name).is_running
        assert host.service(name).is_enabled


def test_postgres_is_17_with_checksums(host):
    assert sql(host, "show server_version").startswith("17")
    assert sql(host, "show data_checksums") == "on"


def test_replicates(host):
    if sql(host, "select pg_is_in_recovery()") == "t":
        assert sql(host, "select status from pg_stat_wal_receiver") == "streaming"
    else:
        assert sql(host, "select count(*) > 0 from pg_stat_replication where state = 'streaming'") == "t"


def test_archiving_and_tls_are_on(host):
    assert sql(host, "show archive_mode") == "on"
    assert sql(host, "show ssl") == "on"


def test_slots_cannot_fill_the_disk(host):
    assert sql(host, "show max_slot_wal_keep_size") not in ("-1", "0")


def test_nobody_comes_in_without_tls_or_password(host):
    rules = sql(
        host, "select type || ' ' || auth_method from pg_hba_file_rules where type <> 'local'"
    ).splitlines()
    assert rules
    assert {rule.split()[0] for rule in rules} == {"hostssl"}
    assert {rule.split()[1] for rule in rules} <= {"scram-sha-256", "cert", "reject"}


def test_data_is_on_the_data_partition(host):
    assert sql(host, "show data_directory").startswith("/srv/")
    assert host.mount_point("/srv").exists
