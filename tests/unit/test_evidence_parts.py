"""What evidence is made of: bounded streams, covered secrets, encryption, and the sources as shell."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evidence import SECRET, WINDOW, source

from rmc_dr.estate import Estate, Secrets
from rmc_dr.estate_evidence import EvidenceConfig, NetworkLog
from rmc_dr.evidence import collect, crypt, sources
from rmc_dr.evidence.collect import Job, Room, fetch
from rmc_dr.evidence.mask import Masker
from rmc_dr.evidence.sources import Task


@pytest.fixture
def guarded(estate: Estate) -> Estate:
    return replace(estate, secrets=Secrets({"apps": {"x": SECRET}}))


def fetched(estate: Estate, tmp_path: Path, command: str, **more: Any) -> tuple[collect.Piece, bytes]:
    task = Task("db1", source("it", command, **more), "it", command)
    piece = fetch(Job(estate, tmp_path, Room(10 << 20)), task, ["sh", "-c", command])
    return piece, (tmp_path / piece.file).read_bytes() if piece.file else b""


def test_a_hanging_source_is_had_as_far_as_it_came_and_costs_its_own_time(
    guarded: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(collect, "GRACE_SECONDS", -4)
    began = time.monotonic()
    piece, data = fetched(guarded, tmp_path, "echo first; exec sleep 60")
    assert time.monotonic() - began < 4
    assert (piece.complete, data) == (False, b"first\n")
    assert piece.why == "not done within 5 s"


def test_a_source_is_cut_at_its_limit(guarded: Estate, tmp_path: Path):
    piece, data = fetched(guarded, tmp_path, "yes 0123456789abcde | head -c 3000000")
    assert (len(data), piece.bytes, piece.complete) == (1 << 20, 1 << 20, False)
    assert piece.sha256 == hashlib.sha256(data).hexdigest()
    assert piece.why == "cut off at 1 MiB"


def test_what_does_not_fit_here_any_more_is_left(guarded: Estate, tmp_path: Path):
    task = Task("db1", source("it", "x"), "it", "x")
    piece = fetch(Job(guarded, tmp_path, Room(10)), task, ["sh", "-c", "echo a long line of words"])
    assert (piece.bytes <= 10, piece.complete, piece.why) == (True, False, "no room left for more")


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
def test_why_a_source_gave_less_than_all(
    guarded: Estate, tmp_path: Path, command: str, suffix: str, why: str
):
    piece, _data = fetched(guarded, tmp_path, command, suffix=suffix)
    assert (piece.why, piece.complete, piece.file) == (why, not why, "")


def test_a_secret_of_the_estate_is_covered_and_counted(guarded: Estate, tmp_path: Path):
    piece, data = fetched(guarded, tmp_path, f"echo before {SECRET} after")
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
