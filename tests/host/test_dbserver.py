"""The pair, as each of its hosts sees itself."""

from __future__ import annotations

import json

testinfra_hosts = ["ansible://dbserver"]
CLUSTER = (
    "import json, ssl, sys, urllib.request as u;"
    "trust = ssl.create_default_context(cafile='/etc/rmc-dr/tls/ca.pem');"
    "print(json.dumps(json.load(u.urlopen(sys.argv[1], timeout=10, context=trust))))"
)


def sql(host, query: str) -> str:
    return host.check_output("runuser -u postgres -- psql -X -At -c %s", query)


def test_patroni_and_etcd_run(host):
    for name in ("patroni", "etcd"):
        assert host.service(name).is_running
        assert host.service(name).is_enabled


def test_patroni_sees_one_primary_and_a_synchronous_standby(host, estate, name):
    url = f"https://{name}:{estate['rest_port']}/cluster"
    members = json.loads(host.check_output("python3 -c %s %s", CLUSTER, url))["members"]
    assert sorted((member["role"], member["state"]) for member in members) == [
        ("leader", "running"),
        ("sync_standby", "streaming"),
    ]


def test_etcd_has_all_its_voters(etcd_voters):
    assert len(etcd_voters) == 3
    assert len({voter["Status"]["leader"] for voter in etcd_voters}) == 1


def test_postgres_is_17_with_checksums(host):
    assert sql(host, "show server_version").startswith("17")
    assert sql(host, "show data_checksums") == "on"


def test_replicates(host):
    if sql(host, "select pg_is_in_recovery()") == "t":
        assert sql(host, "select status from pg_stat_wal_receiver") == "streaming"
    else:
        assert sql(host, "select count(*) > 0 from pg_stat_replication where state = 'streaming'") == "t"
        assert sql(host, "select count(*) > 0 from pg_stat_replication where sync_state = 'sync'") == "t"


def test_replication_is_encrypted(host):
    if sql(host, "select pg_is_in_recovery()") == "f":
        query = "select bool_and(ssl) from pg_stat_replication join pg_stat_ssl using (pid)"
        assert sql(host, query) == "t"


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


def test_postgres_is_the_only_superuser(host):
    assert sql(host, "select string_agg(rolname, ' ') from pg_roles where rolsuper") == "postgres"


def test_data_is_private_and_on_the_data_partition(host):
    folder = sql(host, "show data_directory")
    assert folder.startswith("/srv/")
    assert host.mount_point("/srv").exists
    assert (host.file(folder).user, host.file(folder).mode) == ("postgres", 0o700)


def test_debians_own_cluster_is_not_here(host):
    assert not host.file("/etc/postgresql/17/main").exists
