"""Collecting, sealing, copying, checking evidence: a shell stands in for the hosts, a dictionary for S3.

tests/lab/test_evidence.py does the same on real hosts and a real store.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from rmc_dr import preserve as story
from rmc_dr import secrets
from rmc_dr.errors import BadInput, Error, Interrupted, Locked, Refused
from rmc_dr.estate import Estate, Secrets
from rmc_dr.estate_evidence import EvidenceConfig, NetworkLog
from rmc_dr.evidence import check, collect, copy, crypt, custody, folder, manifest, sources
from rmc_dr.evidence.collect import Job, Room, fetch
from rmc_dr.evidence.line import Clock, Silent
from rmc_dr.evidence.mask import Masker
from rmc_dr.evidence.sources import Source, Task, Window

SECRET = "s3cr3t-of-the-estate"
WINDOW = Window(1_795_000_000, 1_795_086_400)


def source(name: str, command: str, **more: Any) -> Source:
    defaults = {"groups": ("all",), "suffix": "txt", "seconds": 5, "mib": 1, "patient": False}
    return Source.model_validate({"name": name, "command": command, **defaults, **more})


class Store:
    """A bucket that keeps every version."""

    def __init__(self) -> None:
        self.versions: dict[str, list[bytes]] = {}
        self.down = False
        self.spoil = False

    def _up(self) -> None:
        if self.down:
            raise EndpointConnectionError(endpoint_url="https://store1")

    def put_object(self, *, Key: str, Body: Any, **_more: Any) -> dict[str, str]:
        self._up()
        data = Body.read()
        self.versions.setdefault(Key, []).append(data[:-1] + b"x" if self.spoil else data)
        return {"VersionId": str(len(self.versions[Key]))}

    def get_object(self, *, Key: str, VersionId: str, **_more: Any) -> dict[str, Any]:
        self._up()
        from botocore.response import StreamingBody

        data = self.versions[Key][int(VersionId) - 1]
        return {"Body": StreamingBody(io.BytesIO(data), len(data))}

    def head_object(self, *, Key: str, **_more: Any) -> dict[str, str]:
        if self.versions[Key][-1] == b"":
            answer = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "HeadObject")  # type: ignore[arg-type]
        return {"VersionId": str(len(self.versions[Key]))}

    def get_object_retention(self, **_asked: Any) -> Any:
        raise ClientError({"Error": {"Code": "NoSuchObjectLockConfiguration"}}, "GetObjectRetention")


class FakeLine:
    """A host that is this machine; one named in ``dead`` does not answer."""

    dead: ClassVar[set[str]] = set()

    def __init__(self, words: list[str], _socket: Path) -> None:
        self.words = ["sh", "-c"]
        self._address = words[-1]

    def clock(self) -> Clock:
        if any(address in self._address for address in self.dead):
            raise Silent("no route to host")
        return Clock(1.5, 0.01)

    def close(self) -> None:
        pass


@pytest.fixture
def ready(estate: Estate) -> Estate:
    """An estate with its keys, and a vault that can encrypt."""
    secrets.make(estate)
    vault = {"backup": {"evidence_passphrase": "p" * 32}, "apps": {"x": SECRET}, "s3": {}}
    return replace(estate, secrets=Secrets(vault))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(copy, "client", lambda _estate, _key: store)
    monkeypatch.setattr(check, "client", lambda _estate, _key: store)
    return store


@pytest.fixture
def hosts(state: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Every host is this machine, and gives what the test says."""
    monkeypatch.setattr(collect, "Line", FakeLine)
    monkeypatch.setattr(FakeLine, "dead", set())
    monkeypatch.setattr(story, "canceled_by_signal", lambda: nullcontext(lambda: False))

    def give(*given: Source) -> None:
        monkeypatch.setattr(sources, "all_sources", lambda: given)

    give(source("one", "echo one of $SINCE"), source("two", f"echo {SECRET}", patient=True))
    return give


def fetched(estate: Estate, tmp_path: Path, command: str, **more: Any) -> tuple[collect.Piece, bytes]:
    task = Task("db1", source("it", command, **more), "it", command)
    piece = fetch(Job(estate, tmp_path, Room(10 << 20)), task, ["sh", "-c", command])
    return piece, (tmp_path / piece.file).read_bytes() if piece.file else b""


def test_a_hanging_source_is_had_as_far_as_it_came_and_costs_its_own_time(
    ready: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(collect, "GRACE_SECONDS", -4)
    began = time.monotonic()
    piece, data = fetched(ready, tmp_path, "echo first; exec sleep 60")
    assert time.monotonic() - began < 4
    assert (piece.complete, data) == (False, b"first\n")
    assert piece.why == "not done within 5 s"


def test_a_source_is_cut_at_its_limit(ready: Estate, tmp_path: Path):
    piece, data = fetched(ready, tmp_path, "yes 0123456789abcde | head -c 3000000")
    assert (len(data), piece.bytes, piece.complete) == (1 << 20, 1 << 20, False)
    assert piece.sha256 == hashlib.sha256(data).hexdigest()
    assert piece.why == "cut off at 1 MiB"


def test_what_does_not_fit_here_any_more_is_left(ready: Estate, tmp_path: Path):
    task = Task("db1", source("it", "x"), "it", "x")
    piece = fetch(Job(ready, tmp_path, Room(10)), task, ["sh", "-c", "echo a long line of words"])
    assert (piece.bytes, piece.complete, piece.why) == (0, False, "no room left for more")


@pytest.mark.parametrize(
    ("command", "suffix", "why"),
    [
        ("echo no such thing >&2; exit 1", "txt", "no such thing"),
        ("printf 'red \\033[31m\\n' >&2; exit 1", "txt", "red [31m"),
        ("exit 255", "txt", "the connection broke"),
        ("exit 124", "txt", "not done within 5 s"),
        ("exit 7", "txt", "it ended with 7"),
        ("exit 1", "tar", ""),
        ("true", "txt", ""),
    ],
)
def test_why_a_source_gave_less_than_all(ready: Estate, tmp_path: Path, command: str, suffix: str, why: str):
    piece, _data = fetched(ready, tmp_path, command, suffix=suffix)
    assert (piece.why, piece.complete, piece.file) == (why, not why, "")


def test_a_secret_of_the_estate_is_covered_and_counted(ready: Estate, tmp_path: Path):
    piece, data = fetched(ready, tmp_path, f"echo before {SECRET} after")
    assert data == b"before " + b"*" * len(SECRET) + b" after\n"
    assert piece.masked == 1


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400)), at=st.integers(0, 400))
def test_no_cut_lets_a_secret_through(data: bytes, cuts: list[int], at: int):
    whole = data[:at] + SECRET.encode() + data[at:]
    masker = Masker([SECRET])
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    parts = [whole[a:b] for a, b in pairwise(places)]
    out = b"".join(masker.feed(part) for part in parts) + masker.rest()
    assert len(out) == len(whole)
    assert SECRET.encode() not in out
    assert masker.masked >= 1


def test_of_a_key_every_line_that_says_something_is_covered():
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAB3NzaC1yc2EAAAADAQAB\n-----END OPENSSH PRIVATE KEY-----\n"
    masker = Masker([key])
    out = masker.feed(b"x AAAAB3NzaC1yc2EAAAADAQAB x") + masker.rest()
    assert out == b"x " + b"*" * 24 + b" x"


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=2000), max_size=5),
    st.sampled_from([0, 1, crypt.CHUNK, 2 * crypt.CHUNK]),
    st.integers(1, 5000),
)
def test_what_is_sealed_comes_back_whole(parts: list[bytes], more: int, step: int):
    plain = [*parts, os.urandom(more)]
    sealed = b"".join(crypt.seal(plain, "secret", "name"))
    again = (sealed[at : at + step * 500] for at in range(0, len(sealed), step * 500))
    assert b"".join(crypt.unseal(again, "secret", "name")) == b"".join(plain)


SEALED = b"".join(crypt.seal([b"patient 17\n" * 50, os.urandom(crypt.CHUNK)], "secret", "name"))


@settings(deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_of_a_sealed_file_is_found(at: int, flip: int):
    spoiled = SEALED[:at] + bytes([SEALED[at] ^ flip]) + SEALED[at + 1 :]
    with pytest.raises(crypt.Damaged):
        list(crypt.unseal([spoiled], "secret", "name"))


@settings(deadline=None)
@given(st.integers(0, len(SEALED) - 1))
def test_a_cut_sealed_file_is_found(at: int):
    with pytest.raises(crypt.Damaged):
        list(crypt.unseal([SEALED[:at]], "secret", "name"))


@pytest.mark.parametrize(("passphrase", "name"), [("other", "name"), ("secret", "another")])
def test_another_key_or_name_opens_nothing(passphrase: str, name: str):
    with pytest.raises(crypt.Damaged):
        list(crypt.unseal([SEALED], passphrase, name))


def test_what_is_kept_is_sealed_copied_and_proven(ready: Estate, hosts: Any, store: Store):
    FakeLine.dead = {"@198.51.100.22"}
    done = story.preserve(ready, story.Wanted(reason="a test"))
    kept = folder.find(ready.name, "last")
    assert (kept.path.stat().st_mode & 0o777, kept.sealed, done.not_copied) == (0o700, True, "")
    assert {piece.host for piece in done.manifest.had} == {"app1", "db1", "store1", "verify1"}
    assert done.manifest.silent == {"db2": "no route to host"}
    assert [piece.why for piece in done.manifest.pieces if piece.host == "db2"] == ["no route to host"] * 2
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in kept.path.rglob("*.*"))
    checks = list(check.check(ready, kept))
    assert [one for one in checks if not one.passed] == []
    assert len([one for one in checks if one.name.startswith("store ")]) == 10
    assert all(SECRET.encode() not in data and b"one of" not in data for [data] in store.versions.values())


def test_who_kept_it_stands_in_the_manifest_and_the_custody(ready: Estate, hosts: Any):
    done = story.preserve(ready, story.Wanted(reason="login fails", run="R1"))
    about = done.manifest.about
    assert (about["reason"], about["run"], about["estate"]) == ("login fails", "R1", "lab")
    assert about["operator"]
    assert about["hosts"]["db1"]["host_key"].startswith("SHA256:")
    assert done.manifest.clocks["db1"] == Clock(1.5, 0.01)
    kept = folder.find(ready.name, done.id)
    assert [entry.said["did"] for entry in custody.read(ready, kept)] == ["collected", "copied"]
    pinned = ready.private_dir / "known_hosts"
    said = subprocess.run(["ssh-keygen", "-lf", str(pinned)], capture_output=True, text=True, check=True)
    assert about["hosts"]["db1"]["host_key"] in said.stdout


def spoil(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["db1/one.txt", "manifest.json", "manifest.json.sig", "custody.jsonl"])
@pytest.mark.parametrize("at", [0, 40, 77, -30])
def test_a_changed_byte_here_is_found_and_named(ready: Estate, hosts: Any, name: str, at: int):
    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    spoil(kept.path / name, at)
    wrong = [one.name for one in check.check(ready, kept) if not one.passed]
    expected = {"manifest.json.sig": "manifest.json", "custody.jsonl": "custody 1"}.get(name, name)
    wanted = {expected, "custody 2"} if name == "custody.jsonl" else {expected}
    assert set(wrong) & wanted


def test_what_is_missing_added_or_linked_is_named(ready: Estate, hosts: Any):
    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    (kept.path / "db1/one.txt").unlink()
    (kept.path / "db1/three.txt").write_text("foreign")
    (kept.path / "app1/two.txt").unlink()
    (kept.path / "app1/two.txt").symlink_to("/etc/passwd")
    wrong = {one.name for one in check.check(ready, kept) if not one.passed}
    assert wrong == {"db1/one.txt", "db1/three.txt", "app1/two.txt"}


def test_a_line_of_the_custody_that_was_taken_out_is_missed(ready: Estate, hosts: Any):
    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    with kept.hold():
        custody.append(ready, kept, "lent to the police")
    lines = (kept.path / "custody.jsonl").read_bytes().splitlines(keepends=True)
    (kept.path / "custody.jsonl").write_bytes(lines[0] + lines[2])
    assert [one.name for one in check.check(ready, kept, store=False) if not one.passed] == ["custody 2"]


def test_a_torn_line_of_the_custody_was_never_said(ready: Estate, hosts: Any):
    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    with (kept.path / "custody.jsonl").open("ab") as file:
        file.write(b'{"said": "half')
    custody.append(ready, kept, "looked at")
    assert [entry.good for entry in custody.read(ready, kept)] == [True, True, True]


def test_a_changed_byte_in_the_store_is_found_and_named(ready: Estate, hosts: Any, store: Store):
    done = story.preserve(ready, story.Wanted())
    kept = folder.find(ready.name, done.id)
    changed, covered, hidden = (f"evidence/{done.id}/{name}.sealed" for name in
                                ("db1/one.txt", "db1/two.txt", "app1/one.txt"))  # fmt: skip
    [data] = store.versions[changed]
    store.versions[changed] = [data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]]
    store.versions[covered].append(b"junk")
    store.versions[hidden].append(b"")
    wrong = {one.name: one.detail for one in check.check(ready, kept) if not one.passed}
    assert wrong["store db1/one.txt"] == "it was changed"
    assert wrong["store db1/two.txt"].startswith("somebody wrote over it")
    assert wrong["store app1/one.txt"].startswith("somebody hid it")
    assert len(wrong) == 3


def test_a_copy_that_does_not_read_back_is_not_believed(ready: Estate, hosts: Any, store: Store):
    store.spoil = True
    done = story.preserve(ready, story.Wanted())
    assert "is not what was sent" in done.not_copied


def test_a_store_that_is_off_costs_the_copy_and_the_next_one_makes_it(
    ready: Estate, hosts: Any, store: Store
):
    store.down = True
    first = story.preserve(ready, story.Wanted())
    assert first.not_copied
    assert folder.find(ready.name, first.id).sealed
    store.down = False
    second = story.preserve(ready, story.Wanted())
    assert second.finished == (first.id,)
    assert story.preserve(ready, story.Wanted()).finished == ()
    for kept in folder.all_of(ready.name):
        assert all(one.passed for one in check.check(ready, kept))


def test_what_a_kill_left_open_is_sealed_by_the_next(ready: Estate, hosts: Any):
    """A process of its own, killed in the middle: its lock goes with it, its files stay."""
    kept = folder.make(ready.name)
    tasks = sources.tasks(ready, [ready.host("db1")], WINDOW)
    manifest.begin(ready, kept, {"reason": "killed", "began": "then"}, tasks)
    (kept.path / "db1").mkdir()
    (kept.path / "db1/one.txt").write_text("as far as it came")
    script = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2);"
        " print('held', flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(kept.path / ".lock")], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        assert story.preserve(ready, story.Wanted()).finished == ()
        assert kept.busy
        other.kill()
    assert story.preserve(ready, story.Wanted()).finished == (kept.id,)
    left = manifest.read(kept)
    assert (left.interrupted, left.about["reason"]) == (True, "killed")
    assert [(piece.file, piece.patient) for piece in left.pieces] == [("db1/one.txt", False), ("", True)]
    assert all(one.passed for one in check.check(ready, kept))


def test_two_writers_of_one_collection_are_refused(ready: Estate, hosts: Any):
    kept = folder.make(ready.name)
    with kept.hold(), pytest.raises(Locked), kept.hold():
        pass


def test_without_room_nothing_begins(ready: Estate, hosts: Any, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 100 << 20})
    monkeypatch.setattr(story.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(Refused) as refused:
        story.preserve(ready, story.Wanted())
    assert refused.value.code == "evidence-no-room"
    assert folder.all_of(ready.name) == []


def test_without_its_signer_nothing_begins(ready: Estate, hosts: Any):
    (ready.private_dir / "evidence_signing_key").unlink()
    with pytest.raises(BadInput) as refused:
        story.preserve(ready, story.Wanted())
    assert refused.value.code == "evidence-no-key"


def test_of_silent_hosts_nothing_is_had_and_that_is_said(ready: Estate, hosts: Any):
    FakeLine.dead = {"198.51.100."}
    with pytest.raises(Error) as failed:
        story.preserve(ready, story.Wanted())
    assert failed.value.code == "evidence-nothing"
    assert "db1: no route to host" in failed.value.message


def test_what_was_had_when_the_operator_stops_it_is_sealed(
    ready: Estate, hosts: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(story, "canceled_by_signal", lambda: nullcontext(lambda: True))
    hosts(source("slow", "echo begun; sleep 5"))
    with pytest.raises(Interrupted):
        story.preserve(ready, story.Wanted(hosts=("db1",)))
    kept = folder.find(ready.name, "last")
    assert (kept.sealed, manifest.read(kept).interrupted) == (True, True)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b'{"format": 9}', b"\xff", b'{"format": 1, "pieces": 3}']
)
def test_what_is_no_manifest_is_refused_as_such(text: bytes):
    with pytest.raises(ValueError):  # noqa: PT011
        manifest.parse(text)


@given(st.binary(max_size=300))
def test_any_custody_is_judged_and_none_breaks_the_reader(data: bytes):
    assert all(isinstance(part, tuple | dict | str) for part in custody._parse(data))


def every_task(estate: Estate) -> list[Task]:
    config = estate.config.model_copy(
        update={"evidence": EvidenceConfig(network_logs=[NetworkLog(host="control", path="/var/log/net")])}
    )
    whole = replace(estate, config=config)
    hosts = [host for host in estate.hosts.values() if "builder" not in host.groups]
    disk = sources.disk_tasks(whole, estate.host("app1"), "/dev/sda3", WINDOW)
    return [*sources.tasks(whole, hosts, WINDOW, heap=True), *disk]


def test_every_source_is_sound_shell_and_bounded(estate: Estate):
    tasks = every_task(estate)
    assert len({task.file for task in tasks}) == len(tasks)
    for task in tasks:
        words = ["sh", "-n", "-c", task.line]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0, task.label
        inner = task.line.partition(" sh -c ")[2]
        script = subprocess.run(["sh", "-c", f"printf %s {inner}"], capture_output=True, text=True).stdout
        said = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert said.returncode == 0, (task.label, said.stderr)
        assert f"timeout --kill-after=2 {task.source.seconds} " in task.line


def test_a_host_is_never_asked_more_than_a_connection_holds(estate: Estate):
    assert collect.AT_ONCE < 19, "sshd: MaxSessions 20, and one is the connection's own"
    asked = sources.tasks(estate, [estate.host("app1")], WINDOW)
    assert "heap" not in {task.label for task in asked}
    assert {"liberty", "ffdc", "threads"} <= {task.label for task in asked}
    assert {"activity", "locks", "controldata"} & {task.label for task in asked} == set()


def test_an_audit_asks_for_less(estate: Estate):
    hosts = [host for host in estate.hosts.values() if "builder" not in host.groups]
    asked = {task.source.name for task in sources.tasks(estate, hosts, WINDOW, audit=True)}
    assert asked == {
        "journal",
        "liberty",
        "replication",
        "controldata",
        "attachment-rows",
        "attachment-files",
    }


def test_network_devices_are_asked_where_the_estate_says(estate: Estate):
    [task] = [task for task in every_task(estate) if task.source.name == "network-devices"]
    assert (task.host, task.file) == ("control", "control/network-devices-1.tar")


SECRET_FILES = [
    "etc/shadow", "etc/rmc-dr/restic.env", "etc/rmc-dr/tls/host.key", "etc/patroni/config.yml",
    "etc/pgbackrest/pgbackrest.conf", "etc/ceph/ceph.client.admin.keyring", "etc/ssh/ssh_host_ed25519_key",
    "var/lib/liberty/servers/rmc/variables/management.database.password", "etc/apt/auth.conf.d/x",
    "var/lib/liberty/servers/rmc/server.env", "etc/systemd/network/wg0.netdev",
]  # fmt: skip
PLAIN_FILES = [
    "etc/hosts",
    "etc/ssh/sshd_config",
    "var/lib/liberty/servers/rmc/server.xml",
    "etc/rmc-dr/fence.nft",
]


def names_in(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


def test_the_configuration_leaves_out_every_file_that_holds_a_secret(tmp_path: Path):
    for name in (*SECRET_FILES, *PLAIN_FILES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    [command] = [one.command for one in sources.all_sources() if one.name == "configuration"]
    script = f"ROOT='{tmp_path}' CLUSTER=pair\n{command}"
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    names = names_in(said)
    assert sorted(names) == sorted(PLAIN_FILES)


def test_the_newest_log_comes_first(tmp_path: Path):
    logs = tmp_path / "var/log"
    logs.mkdir(parents=True)
    for age, name in enumerate(("new.log", "older.log", "oldest.log")):
        (logs / name).write_text(name)
        os.utime(logs / name, (WINDOW.until - age * 3600,) * 2)
    (logs / "ancient.log").write_text("x")
    os.utime(logs / "ancient.log", (1, 1))
    [command] = [one.command for one in sources.all_sources() if one.name == "logs"]
    script = f"ROOT='{tmp_path}' SINCE={WINDOW.since:.0f}\n{command}"
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    names = [Path(name).name for name in names_in(said)]
    assert names == ["new.log", "older.log", "oldest.log"]


def test_the_list_shows_what_state_each_is_in(ready: Estate, hosts: Any, store: Store):
    from rmc_dr.cli.evidence import _row

    store.down = True
    sealed = story.preserve(ready, story.Wanted(reason="why"))
    opened = folder.make(ready.name)
    rows = {row["id"]: row for row in map(_row, folder.all_of(ready.name))}
    assert rows[sealed.id]["state"] == "sealed"
    assert rows[sealed.id]["reason"] == "why"
    assert rows[opened.id]["state"] == "unsealed"
    json.dumps(list(rows.values()))
