"""Evidence from real hosts: in seconds, whatever hangs or is off; proven here and in the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, secret_lines
from damage import Bucket
from pair import Pair, Users, mend

from rmc_dr.estate import Estate
from rmc_dr.evidence import folder
from rmc_dr.evidence.folder import Kept
from rmc_dr.evidence.manifest import read as read_manifest
from rmc_dr.record import find, read

pytestmark = [pytest.mark.lab, pytest.mark.long]
HEALTHY_SECONDS = 45  # a machine of two cores that runs the five hosts as well
HUNG = ("activity", "locks", "replication", "attachment-rows-management", "attachment-rows-verification")
CHUNK = 1 << 22


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    lab.ok("start")


def preserved(lab: Lab, *words: str) -> dict[str, Any]:
    said = lab.ok("preserve", "--json", *words, timeout=300)
    document: dict[str, Any] = json.loads(said.out)
    return document


def kept(lab: Lab, name: str) -> Kept:
    return folder.find(lab.estate().name, name)


def wrong(lab: Lab, name: str) -> dict[str, str]:
    """What `evidence verify` finds wrong with one collection; its exit code says the same."""
    said = lab.run("evidence", "verify", name, "--json")
    [checks] = json.loads(said.out).values()
    found = {check["name"]: check["detail"] for check in checks if not check["passed"]}
    assert said.code == int(bool(found)), said.err
    return found


def holds(path: Path, needles: set[bytes]) -> set[bytes]:
    data = path.read_bytes()
    return {needle for needle in needles if needle in data}


def rows(pair: Pair, database: str, statement: str) -> set[bytes]:
    said = pair.on(pair.primary, f'runuser -u postgres -- psql -X -A -t -d {database} -c "{statement}"')
    return {line.encode() for line in said.splitlines() if len(line) > 7}


def test_a_healthy_lab_is_preserved_in_seconds_without_a_secret_and_without_a_patient(
    pair: Pair, tmp_path: Path, request: pytest.FixtureRequest
):
    lab, users = pair.lab, Users(pair.lab, tmp_path / "ledger.jsonl")
    with users.at_work(100):
        began = time.monotonic()
        done = preserved(lab, "--reason", "a drill")
        seconds = time.monotonic() - began
    request.node.user_properties.append(("preserved", f"{done['files']} files in {seconds:.1f} s"))
    assert done["not_had"] == []
    assert done["copied"]
    assert seconds < HEALTHY_SECONDS
    path, sealed = Path(done["path"]), read_manifest(kept(lab, done["id"]))
    assert path.stat().st_mode & 0o777 == 0o700
    assert set(sealed.clocks) == {"app1", "db1", "db2", "store1", "verify1"}
    had = {(piece.host, piece.source) for piece in sealed.had}
    wanted = {
        ("app1", "threads"),
        ("app1", "liberty"),
        ("db1", "activity"),
        ("db1", "controldata"),
        ("db2", "locks"),
    }
    assert had >= {*wanted, *((host, "journal") for host in sealed.clocks)}
    assert b"Full thread dump" in (path / "app1/threads.txt").read_bytes()
    assert wrong(lab, done["id"]) == {}

    secrets = {line.encode() for line in secret_lines(lab)}
    assert {
        str(one): holds(one, secrets) for one in path.rglob("*") if one.is_file() and holds(one, secrets)
    } == {}
    patients = rows(pair, "verification", "select specimen from checks limit 2000")
    assert len(patients) > 50, "there is something to be found"
    unmarked = [path / piece.file for piece in sealed.had if not piece.patient]
    assert [str(one) for one in unmarked if holds(one, patients)] == []
    assert not any(needle.decode() in json.dumps(done) for needle in patients)


LEFT = "find / -xdev \\( -name '*.hprof*' -o -name 'java.*.txt' \\)"


def test_a_heap_dump_is_kept_and_none_stays_on_its_host(pair: Pair):
    """`-xdev`: all that the host's own disk holds; its data lies on others, which Liberty cannot write."""
    lab = pair.lab
    before = set(pair.on("app1", LEFT).split())
    done = preserved(lab, "--heap", "--host", "app1", "--reason", "a drill with its heap")
    [heap] = [piece for piece in read_manifest(kept(lab, done["id"])).had if piece.source == "heap"]
    assert (heap.complete, heap.patient) == (True, True), done["not_had"]
    with (Path(done["path"]) / heap.file).open("rb") as file:
        assert file.read(18) == b"JAVA PROFILE 1.0.2"
    assert heap.bytes > 10 << 20
    assert set(pair.on("app1", LEFT).split()) == before
    assert wrong(lab, done["id"]) == {}


def test_a_hanging_source_holds_up_nothing_else(pair: Pair):
    """A stopped postmaster takes no new connection: whoever asks PostgreSQL hangs, the rest does not."""
    lab, host = pair.lab, pair.standby
    stopped = "kill -%s $(head -n 1 /srv/postgresql/17/pair/postmaster.pid)"
    pair.on(host, stopped % "STOP")
    try:
        began = time.monotonic()
        done = preserved(lab)
        seconds = time.monotonic() - began
    finally:
        pair.on(host, stopped % "CONT")
    sealed = read_manifest(kept(lab, done["id"]))
    hung = {piece.source: piece.why for piece in sealed.not_had if piece.host == host}
    assert set(hung) & set(HUNG)
    assert set(hung) <= set(HUNG)
    assert {piece.host for piece in sealed.not_had} == {host}
    assert seconds < HEALTHY_SECONDS + 45
    assert wrong(lab, done["id"]) == {}


def test_a_host_that_is_off_is_told_in_one_line(pair: Pair):
    lab, host = pair.lab, pair.standby
    lab.ok("lab", "break", host, "--how", "off")
    try:
        began = time.monotonic()
        done = preserved(lab)
        seconds = time.monotonic() - began
    finally:
        lab.ok("lab", "heal")
    assert [line.split(":")[0] for line in done["not_had"]] == [host]
    assert seconds < HEALTHY_SECONDS
    assert wrong(lab, done["id"]) == {}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0x01
    path.write_bytes(bytes(data))


def test_one_changed_byte_anywhere_is_found_and_named(healthy: Lab):
    done = preserved(healthy, "--host", "db1")
    path = Path(done["path"])
    for name in (
        "db1/machine.txt",
        "db1/journal.jsonl",
        "manifest.json",
        "manifest.json.sig",
        "custody.jsonl",
    ):
        whole = (path / name).read_bytes()
        flip(path / name, len(whole) // 2)
        found = wrong(healthy, done["id"])
        (path / name).write_bytes(whole)
        expected = {"manifest.json.sig": "manifest.json", "custody.jsonl": "custody"}.get(name, name)
        assert any(one.startswith(expected) for one in found), (name, found)
    bucket = Bucket(healthy)
    key = f"evidence/{done['id']}/db1/machine.txt.sealed"
    with bucket.flipped(key):
        assert set(wrong(healthy, done["id"])) == {"store db1/machine.txt"}
    with bucket.hidden(key):
        assert "hid it" in wrong(healthy, done["id"])["store db1/machine.txt"]
    assert b"machine" not in bucket.s3.get_object(Bucket=bucket.name, Key=key)["Body"].read()


def test_the_copy_is_locked_and_the_writer_cannot_take_it_away(healthy: Lab):
    done = preserved(healthy, "--host", "store1")
    entries = json.loads(healthy.ok("evidence", "show", done["id"], "--json").out)["custody"]
    copied = next(entry for entry in entries if entry["did"] == "copied")
    assert all(one["locked_until"] > entry_time(copied) for one in copied["objects"])
    bucket = Bucket(healthy)
    first = copied["objects"][0]
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError):
        bucket.s3.delete_object(Bucket=bucket.name, Key=first["key"], VersionId=first["version"])


def entry_time(entry: dict[str, Any]) -> str:
    return str(entry["time"])


def test_the_scene_is_kept_before_a_restart_and_skipped_only_with_a_reason(healthy: Lab):
    healthy.ok("restart", "--writes", "--yes", "--json")
    events = read(find("last"))
    facts = [event for event in events if event.event == "facts" and "preserve" in str(event.fields)]
    told = next(values["preserve"] for values in facts[0].get("hosts").values() if "preserve" in values)
    names = [event.get("name") for event in events if event.event == "stage-started"]
    assert names[:2] == ["preserve", "quiesce"]
    sealed = read_manifest(kept(healthy, told["id"]))
    assert sealed.about["run"] == find("last").name
    stopped = next(event.time for event in events if event.get("name") == "quiesce")
    assert str(sealed.about["sealed"]) <= stopped.isoformat()
    assert b"Full thread dump" in (Path(told["path"]) / "app1/threads.txt").read_bytes(), "it ran still"

    before = len(folder.all_of(healthy.estate().name))
    healthy.ok("restart", "--writes", "--yes", "--skip-preserve", "a test of skipping")
    assert len(folder.all_of(healthy.estate().name)) == before
    assert "a test of skipping" in healthy.ok("report", "run", "last").out


def test_what_a_kill_left_is_sealed_by_the_next(healthy: Lab):
    estate = healthy.estate()
    known = {one.id for one in folder.all_of(estate.name)}
    process = healthy.popen("preserve", "--reason", "killed in the middle")
    new = wait_for_new(estate, known, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not new.sealed
    states = {row["id"]: row["state"] for row in json.loads(healthy.ok("evidence", "list", "--json").out)}
    assert states[new.id] == "unsealed"
    assert new.id in preserved(healthy)["finished"]
    assert read_manifest(new).interrupted
    assert wrong(healthy, new.id) == {}
    left = subprocess.run(["pgrep", "-f", "ControlMaster=yes"], capture_output=True, text=True, check=False)
    assert left.stdout == "", "no connection is left behind"


def wait_for_new(estate: Estate, known: set[str], process: subprocess.Popen[str]) -> Kept:
    """Until a collection has its first file."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for one in folder.all_of(estate.name):
            if one.id not in known and any(folder.files(one.path)):
                return one
        time.sleep(0.02)
    raise AssertionError("it never began, or was done before it was seen")


def test_an_audit_names_the_first_error_and_what_may_be_lost(pair: Pair, tmp_path: Path):
    lab, users = pair.lab, Users(pair.lab, tmp_path / "ledger.jsonl")
    with users.at_work(50):
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pair.on("app1", "systemctl kill --kill-whom=main -s KILL liberty; sleep 1")
        lab.ok("start")
    found = json.loads(lab.ok("audit", "--from", moment, "--json").out)
    told = [(one["host"], one["kind"], one["what"]) for one in found["timeline"]]
    assert ("app1", "restart", "liberty ends by itself (killed, 9/KILL)") in told
    assert any(one["kind"] == "login" for one in found["timeline"])
    assert found["first_error"]["host"] in ("app1", pair.primary)
    wal = found["assessment"]["unarchived"]
    assert (wal["holder"], wal["bytes"] is not None) == (pair.primary, True)
    for one in found["assessment"]["attachments"]:
        assert (one["rows_without_file"], one["files_without_row"]) == (0, 0), one
    assert not any(
        needle.decode() in json.dumps(found)
        for needle in rows(pair, "verification", "select specimen from checks limit 500")
    )

    kept_one = preserved(lab)
    again = json.loads(lab.ok("audit", "--evidence", kept_one["id"], "--from", moment, "--json").out)
    assert again["first_error"]["what"] == found["first_error"]["what"]
