"""Everything but the store is lost, or the pair is: the store brings it back, or nothing is begun."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Lab, content_hash, serving
from pair import Pair, mend

from rmc_dr.drill.ransom import spoil
from rmc_dr.plans.moment import Moment
from rmc_dr.store.client import client

pytestmark = [pytest.mark.lab, pytest.mark.long]
RADOSGW = "ceph-radosgw@rgw.a.service"
PROBE = "create table outlived (n int); insert into outlived values (1); select pg_switch_wal()"
COUNT = "select count(*) from outlived"


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    """A healthy pair with a backup and an archived row behind it; a lab beyond mending is made anew."""
    lab.run("runs", "abandon", "last", "--reason", "left by an earlier test")
    try:
        mend(lab)
        pair = Pair(lab)
    except AssertionError:
        lab.ok("lab", "up", "--fresh", timeout=1200)
        pair = Pair(lab)
    lab.ok("backup", "run", timeout=600)
    pair.sql(pair.primary, "drop table if exists outlived")
    pair.sql(pair.primary, PROBE)
    archived = "select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) from pg_stat_archiver"
    deadline = time.monotonic() + 60
    while pair.sql(pair.primary, archived).strip() != "t":
        assert time.monotonic() < deadline
        time.sleep(1)
    yield pair
    lab.run("runs", "abandon", "last", "--reason", "left by a test")


def lose(pair: Pair, *hosts: str) -> None:
    for host in hosts:
        pair.lab.ok("lab", "break", host, "--how", "blank")


def back(pair: Pair) -> dict[str, Any]:
    """The pair is whole, the row is there, it goes on archiving, and the applications serve."""
    seen = pair.until("healthy", seconds=120)
    roles = {node["role"]: node["name"] for node in seen["seen"]["nodes"]}
    assert roles["primary"] == "db1"
    assert pair.sql("db1", COUNT).strip() == "1"
    assert serving(pair.lab)
    pair.lab.ok("verify", "dbserver")
    pair.sql("db1", "insert into outlived values (2); select pg_switch_wal()")
    deadline = time.monotonic() + 90
    ahead = "select count(*) from pg_stat_archiver where last_archived_time > now() - interval '1 minute'"
    while pair.sql("db1", ahead).strip() != "1":
        assert time.monotonic() < deadline, "it goes on archiving in the same stanza"
        time.sleep(1)
    assert pair.lab.ok("backup", "run", "--database", timeout=600)
    return seen


def test_a_lost_estate_comes_back_from_kit_and_store(pair: Pair):
    identifier = pair.look()["seen"]["nodes"][0]["system_identifier"]
    label = json.loads(pair.lab.ok("backup", "run", "--database", "--json", timeout=600).out)["label"]
    lose(pair, "app1", "db1", "db2", "verify1")
    plan, after = pair.lab.ok("rebuild", "estate", "--plan", "--json").events()
    assert (after["name"], after["target"]) == ("rebuild-verifier", "verify1")
    assert plan["options"]["restore_set"] == label
    assert label in " ".join(plan["restores"])
    told = {stage["name"]: stage["hosts"] for stage in plan["stages"]}
    assert told["reinstall"] == ["app1", "db1", "db2"]
    assert told["found"] == ["db1", "db2", "store1"]
    said = pair.lab.ok("rebuild", "estate", "--yes", "--json", timeout=2400)
    assert back(pair)["seen"]["nodes"][0]["system_identifier"] == identifier
    facts = [event["hosts"] for event in said.events() if event.get("event") == "facts"]
    restored = next(hosts["db1"]["restore"] for hosts in facts if "restore" in hosts.get("db1", {}))
    assert restored["backup"] == label
    runs = [event["run_id"] for event in said.events() if event.get("event") == "run-started"]
    ends = [event for event in said.events() if event.get("event") == "run-finished"]
    assert [end["outcome"] for end in ends] == ["recovered", "recovered"]
    assert "Newest write restored" in pair.lab.ok("report", "run", runs[0]).out
    assert "verify1" in pair.lab.ok("report", "run", runs[1]).out
    pair.lab.ok("verify", "verifier")
    aside = pair.on("store1", "ls -d /var/lib/etcd/pair.before-*").split()
    assert len(aside) == 1, "the witness' old data is kept, and no older copy of it"


def test_a_killed_rebuild_of_the_pair_is_resumed(pair: Pair):
    """Killed while the database comes back; once more while it is made to lead."""
    lose(pair, "db1", "db2")
    pair.lab.ok("rebuild", "pair", "--plan")
    words = ["rebuild", "pair", "--yes"]
    for stage in ("restore", "lead"):
        began = datetime.now(UTC).isoformat()
        child = pair.lab.popen(*words)
        try:
            wait_for_stage(pair.lab, stage, began)
            time.sleep(1)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=30)
        words = ["resume"]
    pair.lab.ok("resume", timeout=1800)
    back(pair)


def wait_for_stage(lab: Lab, stage: str, since: str) -> None:
    deadline = time.monotonic() + 600
    while True:
        events = lab.ok("runs", "show", "last", "--json").events()
        begun = [e["name"] for e in events if e["event"] == "stage-started" and e["time"] > since]
        if stage in begun:
            return
        assert time.monotonic() < deadline, begun
        time.sleep(0.5)


def test_data_that_a_disk_still_holds_is_set_aside(pair: Pair):
    """The systems are gone, the data partitions are not: what lies there may be the newest of all."""
    for host in ("db1", "db2"):
        pair.lab.ok("lab", "break", host, "--how", "disk")
    pair.lab.ok("rebuild", "pair", "--yes", timeout=2400)
    back(pair)
    copies = json.loads(pair.lab.ok("restore", "release", "--plan", "--json").out)["copies"]
    assert sorted(copy["host"] for copy in copies) == ["db1", "db2"]
    pair.lab.ok("restore", "release", "--yes")


def test_what_lives_is_refused(pair: Pair):
    for words in (["rebuild", "estate", "--yes"], ["rebuild", "pair", "--yes"]):
        said = pair.lab.run(*words)
        assert (said.code, "--replace-healthy" in said.err, "Traceback" in said.err) == (3, True, False)
    lose(pair, pair.standby)
    disk = content_hash(pair.lab.disk(pair.standby))
    said = pair.lab.run("rebuild", "pair", "--yes")
    assert (said.code, pair.primary in said.err) == (3, True), said.err
    assert content_hash(pair.lab.disk(pair.standby)) == disk
    pair.lab.ok("rebuild", "dbserver", pair.standby, "--yes", timeout=1500)


def test_without_a_usable_backup_nothing_is_begun(pair: Pair):
    """The store is off; then its list of backups is junk. Both are mended, and the pair comes back."""
    lab, estate = pair.lab, pair.lab.estate()
    lose(pair, "db1", "db2")
    before = lab.run("runs").out
    lab.ok("lab", "exec", "store1", "systemctl", "stop", RADOSGW)
    off = lab.run("rebuild", "pair", "--yes")
    lab.ok("lab", "exec", "store1", "systemctl", "start", RADOSGW)
    assert (off.code, "store check" in off.err, "Traceback" in off.err) == (3, True, False), off.err
    until_the_store_answers(lab)
    trusted = datetime.now(UTC)
    time.sleep(2)
    thief = client(estate, "writer")
    for name in ("backup.info", "backup.info.copy"):
        thief.put_object(Bucket=estate.config.s3.bucket, Key=f"database/backup/pair/{name}", Body=b"pay")
    junk = lab.run("rebuild", "pair", "--yes")
    assert (junk.code, "store rewind" in junk.err) == (3, True), junk.err
    assert lab.run("runs").out == before, "no run is left behind"
    lab.ok("store", "rewind", "--to", str(Moment(trusted)), "--yes", timeout=600)
    lab.ok("rebuild", "pair", "--yes", timeout=2400)
    back(pair)


def until_the_store_answers(lab: Lab) -> None:
    deadline = time.monotonic() + 120
    while lab.run("store", "check").code:
        assert time.monotonic() < deadline
        time.sleep(2)


def shown(lab: Lab) -> dict[str, str]:
    """Key -> ETag of all that the bucket shows below the backups."""
    estate = lab.estate()
    pages = (
        client(estate, "verifier").get_paginator("list_objects_v2").paginate(Bucket=estate.config.s3.bucket)
    )
    found = {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", ())}
    return {key: etag for key, etag in found.items() if key.startswith(("database/", "files/"))}


def counted(lab: Lab) -> int:
    estate = lab.estate()
    pages = (
        client(estate, "verifier")
        .get_paginator("list_object_versions")
        .paginate(Bucket=estate.config.s3.bucket)
    )
    return sum(len(page.get("Versions", ())) for page in pages)


def test_a_store_is_rewound_and_nothing_is_deleted(pair: Pair):
    """The pair lives and is at rest, so that it archives nothing meanwhile that a rewind would hide."""
    lab = pair.lab
    time.sleep(2)
    trusted, before = str(Moment(datetime.now(UTC))), shown(lab)
    time.sleep(2)
    spoil(lab.estate())
    spoilt, versions = shown(lab), counted(lab)
    plan = json.loads(lab.ok("store", "rewind", "--to", trusted, "--plan", "--json", timeout=600).out)
    assert plan["back"] >= len(before)
    now = shown(lab)
    assert {key: spoilt[key] for key in before} == {key: now[key] for key in before}, "a plan changes nothing"
    lab.ok("store", "rewind", "--to", trusted, "--yes", timeout=600)
    assert {key: etag for key, etag in shown(lab).items() if key in before} == before
    assert counted(lab) > versions
    again = json.loads(lab.ok("store", "rewind", "--to", trusted, "--plan", "--json", timeout=600).out)
    assert again["back"] == 0
    lab.ok("backup", "run", "--full", timeout=600)
    for words, code in ((["--to", "2026-11-24 03:00"], 2), (["--to", "latest"], 2)):
        assert lab.run("store", "rewind", "--yes", *words).code == code
