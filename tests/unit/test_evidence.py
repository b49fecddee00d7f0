"""Collecting, sealing, copying, checking evidence: a shell stands in for the hosts, a dictionary for S3.

tests/lab/test_evidence.py does the same on real hosts and a real store.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import preserve as story
from rmc_dr import secrets
from rmc_dr.errors import BadInput, Error, Interrupted, Locked, Refused
from rmc_dr.estate import Estate, Secrets
from rmc_dr.evidence import check, collect, copy, custody, folder, manifest, sources
from rmc_dr.evidence.line import Clock, Silent
from rmc_dr.evidence.sources import Source, Window

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


def test_a_run_does_not_wait_for_what_others_left(ready: Estate, hosts: Any, store: Store):
    store.down = True
    first = story.preserve(ready, story.Wanted())
    store.down = False
    assert story.preserve(ready, story.Wanted(run="R1")).finished == ()
    assert story.preserve(ready, story.Wanted()).finished == (first.id,)


def leftover(ready: Estate) -> folder.Kept:
    """What a kill left of a collection of db1."""
    kept = folder.make(ready.name)
    tasks = sources.tasks(ready, [ready.host("db1")], WINDOW)
    manifest.begin(ready, kept, {"reason": "killed", "began": "then"}, tasks)
    (kept.path / "db1").mkdir()
    (kept.path / "db1/one.txt").write_text("as far as it came")
    return kept


def test_what_a_kill_left_open_is_sealed_by_the_next(ready: Estate, hosts: Any):
    """A process of its own, killed in the middle: its lock goes with it, its files stay."""
    kept = leftover(ready)
    (kept.path / "db1/two.txt").touch()  # opened, and not a byte had come
    (kept.path / ".manifest.json.17").write_text("half a")
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
    "text",
    [b"", b"[]", b"{}", b"null", b'{"format": 9}', b"\xff", b'{"format": 1, "pieces": 3}', b"[" * 200_000],
)
def test_what_is_no_manifest_is_refused_as_such(text: bytes):
    with pytest.raises(ValueError):  # noqa: PT011
        manifest.parse(text)


@given(st.binary(max_size=300))
def test_any_custody_is_judged_and_none_breaks_the_reader(data: bytes):
    assert all(isinstance(part, tuple | dict | str) for part in custody._parse(data))


def test_the_list_shows_what_state_each_is_in(ready: Estate, hosts: Any, store: Store):
    from rmc_dr.cli.evidence import _row

    store.down = True
    sealed = story.preserve(ready, story.Wanted(reason="why"))
    opened = folder.make(ready.name)
    rows = {row["id"]: row for row in (_row(ready, kept) for kept in folder.all_of(ready.name))}
    assert rows[sealed.id]["state"] == "sealed"
    assert rows[sealed.id]["reason"] == "why"
    assert rows[opened.id]["state"] == "unsealed"
    json.dumps(list(rows.values()))
