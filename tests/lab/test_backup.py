"""Backups of the running lab: taken under load, judged, lost to a thief of the writer's key, read back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab
from injections import store_down
from pair import Pair, mend

from rmc_dr.drill.users import acknowledged, users_at_work, wait_for
from rmc_dr.runner import run_playbook
from rmc_dr.store.client import client

pytestmark = [pytest.mark.lab, pytest.mark.long]
SCRATCH = "/srv/ransom"
AS_POSTGRES = "cd / && runuser -u postgres --"


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    mend(lab)


def document(lab: Lab, *words: str) -> Any:
    return json.loads(lab.ok("backup", *words, "--json").out)


def codes(lab: Lab) -> dict[str, str]:
    said = json.loads(lab.run("backup", "status", "--json").out)
    return {remark["code"]: remark["level"] for remark in said["remarks"]}


def until(what: Callable[[], bool], seconds: float) -> float:
    """Wait until it is so; how long that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds
        time.sleep(1)
    return time.monotonic() - began


def test_what_was_backed_up_is_listed(pair: Pair, tmp_path: Path):
    """A full backup, then a differential one and the files, while users write and upload."""
    lab, estate = pair.lab, pair.lab.estate()
    ledger = tmp_path / "ledger.jsonl"
    with users_at_work(estate, ledger):
        wait_for(ledger, 100)
        full = document(lab, "run", "--database", "--full")
        uploaded = pair.on("app1", "find /srv/attachments -type f | sort").split()
        diff = document(lab, "run")
        wait_for(ledger, acknowledged(ledger) + 50)
    assert (full["host"], diff["host"]) == (pair.standby, pair.standby)
    assert (full["kind"], diff["kind"]) == ("full", "diff")
    listed = document(lab, "list")
    backups = {backup["label"]: backup for backup in listed["database"]}
    assert backups[diff["label"]]["needs"] == [full["label"]]
    assert backups[full["label"]]["needs"] == []
    for label in (full["label"], diff["label"]):
        until_when = datetime.fromisoformat(backups[label]["locked_until"])
        left = until_when - datetime.now(UTC)
        assert timedelta(days=estate.config.s3.lock_days) - timedelta(hours=1) < left
    assert [fault for fault in listed["faults"] if fault["label"] in (full["label"], diff["label"])] == []
    taken = {snapshot["name"]: snapshot["id"] for snapshot in diff["snapshots"]["app1"]}
    held = pair.on("app1", f"rmc-dr-restic ls {taken['attachments']}").splitlines()
    assert uploaded
    assert set(uploaded) <= set(held)
    inside = pair.on("app1", f"rmc-dr-restic ls {taken['configuration']}")
    assert "/var/lib/liberty/servers/rmc/server.xml" in inside
    assert "host.key" not in inside
    assert "restic.env" not in inside


def test_status_is_one_line_and_a_level(pair: Pair):
    document(pair.lab, "run", "--full")
    until(lambda: "archive-behind" not in codes(pair.lab), 30)
    said = pair.lab.run("backup", "status")
    judged = json.loads(pair.lab.run("backup", "status", "--json").out)
    assert said.out.count("\n") == 1
    assert said.out.startswith(f"BACKUP {judged['level']}: ")
    assert said.code == ["OK", "WARNING", "CRITICAL", "UNKNOWN"].index(judged["level"])
    # An earlier test may have left a verification red; the backups themselves are well.
    assert {one["code"] for one in judged["remarks"] if one["level"] == "CRITICAL"} <= {"verification-red"}


def test_a_write_is_archived_within_the_interval(pair: Pair):
    """Nothing fills the segment: only the clock makes PostgreSQL hand it over."""
    allowed = pair.lab.estate().config.backup.archive_seconds
    pair.sql(pair.primary, "create table if not exists archived (n int); insert into archived values (1)")
    written = pair.sql(pair.primary, "select pg_walfile_name(pg_current_wal_insert_lsn())").strip()
    last = "select coalesce(max(last_archived_wal), '') from pg_stat_archiver"
    took = until(lambda: pair.sql(pair.primary, last).strip() >= written, allowed + 15)
    pair.sql(pair.primary, "drop table archived")
    listed = document(pair.lab, "list")
    assert any(written in names for names in listed["archived"].values()), f"after {took:.0f} s"


def test_a_store_that_is_off_is_named_and_caught_up_with(pair: Pair):
    """The pair serves, a switchover is not held up, a converge ends; afterwards no segment is missing."""
    lab, allowed = pair.lab, pair.lab.estate().config.backup.archive_seconds
    with store_down(pair):
        pair.sql(pair.primary, "create table if not exists waits as select 1; select pg_switch_wal()")
        assert codes(lab)["store-unreachable"] == "CRITICAL"
        until(lambda: "archive-behind" in codes(lab), allowed + 60)
        assert lab.run("backup", "run", "--files").code == 1
        notes: list[str] = []
        outcome = run_playbook(
            lab.estate(),
            "stages/converge.yml",
            variables={"target": "app1"},
            on_event=lambda event, **fields: notes.append(fields["text"]) if event == "note" else None,
            log=Path("/tmp/converge.log"),  # noqa: S108
        )
        assert outcome.status == "ok", outcome.failures
        assert any("repository of files" in note for note in notes)
        began = time.monotonic()
        pair.on(
            pair.primary,
            f"patronictl -c /etc/patroni/config.yml switchover pair --candidate {pair.standby} --force",
        )
        writable = "select not pg_is_in_recovery()"
        until(lambda: pair.sql(pair.standby, writable).strip() == "t", 60)
        assert time.monotonic() - began < 30
    pair.until("healthy", seconds=120)
    pair.sql(pair.standby, "drop table waits")
    until(lambda: not {"archive-behind", "store-unreachable"} & set(codes(lab)), 120)
    assert [fault for fault in document(lab, "list")["faults"] if fault["code"] == "archive-gap"] == []


def test_a_new_standby_comes_from_the_backup(pair: Pair):
    document(pair.lab, "run", "--database", "--full")
    pair.on(pair.primary, f"patronictl -c /etc/patroni/config.yml reinit pair {pair.standby} --force --wait")
    pair.until("healthy", seconds=180)
    log = pair.on(pair.standby, "journalctl -u patroni --since '-10 min' --no-pager")
    assert "replica has been created using backup" in log


def versions(lab: Lab) -> dict[str, str]:
    """Key -> version of all that the bucket shows now."""
    estate = lab.estate()
    pages = client(estate, "verifier").get_paginator("list_object_versions")
    return {
        version["Key"]: version["VersionId"]
        for page in pages.paginate(Bucket=estate.config.s3.bucket)
        for version in page.get("Versions", ())
        if version["IsLatest"]
    }


def test_a_thief_of_the_writers_key_takes_nothing_away(pair: Pair):
    """Everything is hidden, then covered with noise: the repository as of before is whole and restores."""
    lab, estate = pair.lab, pair.lab.estate()
    bucket = estate.config.s3.bucket
    label = document(lab, "run", "--database")["label"]
    labels = [backup["label"] for backup in document(lab, "list")["database"]]
    shown = versions(lab)
    time.sleep(2)  # the store's versions are told apart by the second
    before = pair.on(pair.standby, "date '+%F %T%:z'").strip()
    time.sleep(2)
    thief = client(estate, "writer")

    def spoil(key: str) -> None:
        thief.delete_object(Bucket=bucket, Key=key)
        thief.put_object(Bucket=bucket, Key=key, Body=b"pay")

    def undo(key: str) -> None:
        source = {"Bucket": bucket, "Key": key, "VersionId": shown[key]}
        thief.copy_object(Bucket=bucket, Key=key, CopySource=source)

    with ThreadPoolExecutor(8) as pool:
        try:
            list(pool.map(spoil, shown))
            assert {"no-backup", "pgbackrest-unknown"} & set(codes(lab))
            then = f"{AS_POSTGRES} pgbackrest --stanza=pair --repo=1 --repo-target-time='{before}'"
            info = json.loads(pair.on(pair.standby, f"{then} --output=json info"))
            assert [backup["label"] for backup in info[0]["backup"]] == labels
            pair.on(pair.standby, f"install -d -o postgres -m 700 {SCRATCH}")
            pair.on(pair.standby, f"{then} --set={label} --pg1-path={SCRATCH} --type=immediate restore")
            assert pair.on(pair.standby, f"cat {SCRATCH}/PG_VERSION").strip() == "17"
        finally:
            list(pool.map(undo, shown))
            pair.on(pair.standby, f"rm -rf {SCRATCH}")
    assert labels == [backup["label"] for backup in document(lab, "list")["database"]]
    pair.on("app1", "rmc-dr-restic check")


def test_an_expiry_takes_nothing_that_is_locked(pair: Pair):
    """Locks are fresh in the lab, so all chains stay; without that rule the keeper could only hide them."""
    lab, estate = pair.lab, pair.lab.estate()
    for _again in range(estate.config.backup.keep_full + 1):
        document(lab, "run", "--database", "--full")
    document(lab, "run")
    labels = {backup["label"] for backup in document(lab, "list")["database"]}
    plan = document(lab, "expire", "--plan")
    assert plan["expires"] == []
    assert {reason for _label, reason in plan["because"]} <= {"locked", "verified"}
    assert document(lab, "expire", "--yes")["expires"] == []
    assert {backup["label"] for backup in document(lab, "list")["database"]} == labels
    outcome = run_playbook(
        estate,
        "backup-expire.yml",
        variables={"pgbackrest_keep_full": 1, "store_sweep_days": 0, "store_lock_days": 2},
        on_event=lambda *_event, **_fields: None,
        log=Path("/tmp/expire.log"),  # noqa: S108
    )
    assert outcome.status == "ok", outcome.failures
    left = {backup["label"] for backup in document(lab, "list")["database"]}
    assert len({label.partition("_")[0] for label in left}) == 1
    assert outcome.facts["store1"]["swept"]["locked"] > 0
    assert outcome.facts["store1"]["extended"] > 0
    until_when = datetime.fromisoformat(document(lab, "list")["files_until"])
    assert until_when - datetime.now(UTC) > timedelta(days=1, hours=20), "the oldest pack of the files"
    keeper = estate.opened().get("s3", "keeper", "access_key")
    assert keeper not in pair.on("verify1", "cat /etc/rmc-dr/restic.env /etc/pgbackrest/pgbackrest.conf")
    s3 = client(estate, "verifier")
    for label in labels - left:
        prefix = f"database/backup/pair/{label}/"
        kept = s3.list_object_versions(Bucket=estate.config.s3.bucket, Prefix=prefix).get("Versions", ())
        assert kept, label


def test_an_expiry_that_lives_on_keeps_the_others_out(pair: Pair):
    """As one whose command was killed: nobody on the control machine holds a lock any more."""
    scope = "rmc-dr-expiry"
    at_work = f"systemd-run --quiet --scope --collect --unit={scope} sleep 300 >/dev/null 2>&1 </dev/null &"
    pair.on("verify1", at_work)
    try:
        until(
            lambda: pair.on("verify1", f"systemctl is-active {scope}.scope || true").strip() == "active", 30
        )
        for words in (("run", "--files"), ("verify", "--files"), ("expire", "--yes")):
            said = pair.lab.run("backup", *words)
            assert (said.code, "still at work on verify1" in said.err) == (4, True), said.err
    finally:
        pair.on("verify1", f"systemctl stop {scope}.scope")
    pair.lab.ok("backup", "run", "--files")
