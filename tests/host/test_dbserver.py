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
    assert "pgbackrest" in sql(host, "show archive_command")
    assert "pgbackrest" in sql(host, "show restore_command") or sql(host, "select pg_is_in_recovery()") == "f"
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


def test_archive_is_not_behind(host, estate):
    """Looked at on the primary: what waits longer than the estate allows."""
    waiting = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"
    late = f"{waiting} and modification < now() - interval '{estate['archive_seconds']} s'"
    if sql(host, "select pg_is_in_recovery()") == "f":
        assert sql(host, late) == "0"
        assert sql(host, "select last_archived_time is not null from pg_stat_archiver") == "t"


def test_archive_waits_no_longer_than_the_estate_says(host, estate):
    setting = "select setting from pg_settings where name = 'archive_timeout'"
    assert sql(host, setting) == str(estate["archive_seconds"])


def test_backup_has_a_whole_repository(host):
    """The store answers, the key fits, the passphrase opens it."""
    run = "cd / && runuser -u postgres -- pgbackrest --io-timeout=10 --output=json info"
    status = json.loads(host.check_output(run))[0]["status"]
    assert status["code"] in (0, 2), status  # 2: no backup taken yet


def test_backup_secrets_are_readable_by_postgres_alone(host):
    config = host.file("/etc/pgbackrest/pgbackrest.conf")
    assert (config.user, config.group, config.mode) == ("root", "postgres", 0o640)
    secrets = host.file("/etc/rmc-dr/restic.env")
    assert (secrets.user, secrets.group, secrets.mode) == ("root", "root", 0o600)


def test_backup_is_encrypted_over_proven_tls_and_never_expires_here(host):
    lines = host.file("/etc/pgbackrest/pgbackrest.conf").content_string.splitlines()
    assert {
        "repo1-cipher-type=aes-256-cbc",
        "repo1-storage-verify-tls=y",
        "expire-auto=n",
        f"process-max={host.check_output('nproc')}",
    } <= set(lines)


def test_backup_server_lets_only_the_other_host_in(host, name, estate):
    lines = host.file("/etc/pgbackrest/pgbackrest.conf").content_string.splitlines()
    allowed = {line.split("=")[1] for line in lines if line.startswith("tls-server-auth=")}
    assert allowed == set(estate["dbservers"]) - {name}
    assert host.service("pgbackrest").is_running
