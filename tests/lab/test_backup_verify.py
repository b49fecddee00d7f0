"""The nightly proof in the lab: green on what is whole, red on each damage by its name, and then gone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from conftest import Lab
from damage import Bucket
from fault_table import Look, Reports
from looks import of_verification
from pair import Pair, mend

from rmc_dr import backup_record
from rmc_dr.backup_verify import LEASE_SECONDS
from rmc_dr.drill.users import acknowledged, users_at_work, wait_for

pytestmark = [pytest.mark.lab, pytest.mark.long]
HOST = "verify1"
CONF = "/etc/pgbackrest/pgbackrest.conf"
LEFT = (
    "systemctl list-units --plain --no-legend --state=active,activating,failed 'verification*'; "
    "ls -d /srv/verify /run/netns/* 2>/dev/null; pgrep -x 'postgres|java|restic|pgbackrest|socat'; true"
)


@dataclass(frozen=True)
class Ground:
    """The lab with a chain of two backups, WAL behind them, and files; names of what can be damaged."""

    pair: Pair
    bucket: Bucket
    full: str
    diff: str
    segments: tuple[str, ...]

    @property
    def lab(self) -> Lab:
        return self.pair.lab

    def backup(self, label: str) -> str:
        return f"database/backup/pair/{label}/"

    def archived(self, segment: str) -> str:
        """The key of an archived segment; an earlier lab's cluster may have had one of the same name."""
        shown = self.bucket.shown("database/archive/pair/")
        keys = [key for key in shown if f"/{segment}-" in key]
        return max(keys, key=lambda key: shown[key]["LastModified"])


@pytest.fixture(scope="module")
def ground(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    mend(lab)
    pair = Pair(lab)
    ledger = tmp_path_factory.mktemp("users") / "ledger.jsonl"
    with users_at_work(lab.estate(), ledger):
        wait_for(ledger, 200)
        full = json.loads(lab.ok("backup", "run", "--full", "--json").out)["label"]
        wait_for(ledger, acknowledged(ledger) + 100)
        diff = json.loads(lab.ok("backup", "run", "--diff", "--json").out)["label"]
        segments = []
        for _again in range(4):
            wait_for(ledger, acknowledged(ledger) + 50)
            switch = "select pg_walfile_name(pg_switch_wal())"
            segments.append(pair.sql(pair.primary, switch).strip())
    last = "select coalesce(max(last_archived_wal), '') from pg_stat_archiver"
    deadline = time.monotonic() + 120
    while pair.sql(pair.primary, last).strip() < segments[-1]:
        assert time.monotonic() < deadline
        time.sleep(1)
    yield Ground(pair, Bucket(lab), full, diff, tuple(segments))
    mend(lab)


def verified(ground: Ground, *words: str) -> tuple[int, dict[str, Any]]:
    said = ground.lab.run("backup", "verify", *words, "--json", timeout=1800)
    assert said.out, said.err
    return said.code, json.loads(said.out)


def red(verdict: dict[str, Any]) -> dict[str, str]:
    """Name of each red proof -> all that it says, its objects included."""
    found: dict[str, str] = {}
    for proof in verdict["proofs"]:
        if not proof["green"]:
            text = " ".join([proof["detail"], *proof["objects"]])
            found[proof["name"]] = f"{found.get(proof['name'], '')} {text}"
    return found


def nothing_left(ground: Ground) -> None:
    assert ground.pair.on(HOST, LEFT).strip() == ""


def test_a_clean_lab_is_green_and_nothing_is_left(ground: Ground):
    code, verdict = verified(ground)
    assert (code, red(verdict)) == (0, {})
    names = {proof["name"] for proof in verdict["proofs"]}
    assert {"repository", "recovery", "isolated", "rpo", "checksums", "amcheck", "dump", "business"} <= names
    assert {"sample", "attachments", "journey", "sweep"} <= names
    fetched = [proof for proof in verdict["proofs"] if "/api/attachments/" in proof["detail"]]
    assert len(fetched) == 2, "one attachment of each application came back over HTTP"
    assert ground.full in verdict["read"]
    assert ground.diff in verdict["labels"]
    assert verdict["rpo_seconds"] <= ground.lab.estate().config.targets.rpo_minutes * 60
    assert verdict["rto_seconds"] > 0
    nothing_left(ground)
    assert set(backup_record.verified("lab")) >= {ground.full, ground.diff}
    listed = json.loads(ground.lab.ok("backup", "list", "--json").out)
    assert {one["label"] for one in listed["database"] if one["verified"]} >= {ground.full, ground.diff}
    status = json.loads(ground.lab.run("backup", "status", "--json").out)
    assert not {"verification-red", "never-verified"} & {remark["code"] for remark in status["remarks"]}
    assert json.loads(ground.lab.ok("backup", "verify", "--plan", "--json").out)["label"] == ground.diff


def test_everything_to_the_last_byte(ground: Ground):
    code, verdict = verified(ground, "--full")
    assert (code, red(verdict)) == (0, {})
    assert {"packs 1/28", "packs 28/28", ground.full} <= set(verdict["read"])
    nothing_left(ground)


def test_production_is_only_looked_at(ground: Ground):
    """Nobody new connects to the pair but the monitor, and nothing of the copy's life is archived."""
    archived = set(ground.bucket.shown("database/"))
    code, _verdict = verified(ground, "--database")
    assert code == 0
    fresh = set(ground.bucket.shown("database/")) - archived
    assert not [key for key in fresh if "/backup/" in key or ".history" in key]


@contextmanager
def another_passphrase(ground: Ground) -> Iterator[None]:
    ground.pair.on(
        HOST, f"cp -a {CONF} {CONF}.kept; sed -i 's/^repo1-cipher-pass=.*/repo1-cipher-pass=other/' {CONF}"
    )
    try:
        yield
    finally:
        ground.pair.on(HOST, f"mv {CONF}.kept {CONF}")


@contextmanager
def another_s3_key(ground: Ground) -> Iterator[None]:
    """The store knows the verification host's key, and this is not the secret that belongs to it."""
    wrong = "sed -i 's/^repo1-s3-key-secret=.*/repo1-s3-key-secret=other/'"
    ground.pair.on(HOST, f"cp -a {CONF} {CONF}.kept; {wrong} {CONF}")
    try:
        yield
    finally:
        ground.pair.on(HOST, f"mv {CONF}.kept {CONF}")


@contextmanager
def full_disk(ground: Ground) -> Iterator[None]:
    room = "$(( $(stat -f -c '%a * %S' /srv) - 200 * 1024 * 1024 ))"
    ground.pair.on(HOST, f"fallocate -l {room} /srv/ballast")
    try:
        yield
    finally:
        ground.pair.on(HOST, "rm -f /srv/ballast")


Damage = Callable[[Ground], AbstractContextManager[Any]]
# The damage, the words of the call, the proof that must be red, and what it must name.
DAMAGE: dict[str, tuple[Damage, tuple[str, ...], str, Callable[[Ground], str]]] = {
    "backup-file": (
        lambda g: g.bucket.flipped(g.bucket.largest(g.backup(g.full), "/bundle/")),
        ("--database",),
        "repository",
        lambda g: f"{g.full}/bundle/",
    ),
    "missing-object": (
        lambda g: g.bucket.hidden(g.bucket.largest(g.backup(g.full), "/bundle/")),
        ("--database",),
        "repository",
        lambda g: f"{g.full}/bundle/",
    ),
    "manifest-copy": (
        lambda g: g.bucket.flipped(f"{g.backup(g.diff)}backup.manifest.copy"),
        ("--database",),
        "repository",
        lambda g: f"{g.diff}/backup.manifest.copy",
    ),
    "manifest": (
        lambda g: g.bucket.flipped(f"{g.backup(g.diff)}backup.manifest"),
        ("--database",),
        "repository",
        lambda g: f"{g.diff}/backup.manifest",
    ),
    "wal-segment": (
        lambda g: g.bucket.flipped(g.archived(g.segments[1])),
        ("--database",),
        "recovery",
        lambda g: g.segments[1],
    ),
    "archive-gap": (
        lambda g: g.bucket.hidden(g.archived(g.segments[1])),
        ("--database",),
        "archive",
        lambda g: g.segments[1],
    ),
    "restic-pack": (
        lambda g: g.bucket.flipped(g.bucket.largest("files/data/")),
        ("--full",),
        "packs",
        lambda g: g.bucket.largest("files/data/").rpartition("/")[2],
    ),
    # As restic reads a part of the packs a night; one that came since is read whole by rmc-dr itself.
    "new-restic-pack": (
        lambda g: g.bucket.flipped(g.bucket.largest("files/data/")),
        ("--files",),
        "packs",
        lambda g: g.bucket.largest("files/data/").rpartition("/")[2],
    ),
    "wrong-s3-key": (another_s3_key, ("--database",), "repository", lambda _g: "403"),
    "wrong-key": (another_passphrase, ("--database",), "repository", lambda _g: "No usable backup.info file"),
    "full-disk": (full_disk, (), "room", lambda _g: "/srv"),
}


IN_TABLE = {
    "backup-file": "a flipped byte in a backup file",
    "missing-object": "a missing object",
    "manifest-copy": "a flipped byte in a manifest's copy",
    "manifest": "a flipped byte in a manifest",
    "wal-segment": "a flipped byte in a WAL segment",
    "archive-gap": "an archive gap",
    "restic-pack": "a flipped byte in a restic pack",
    "new-restic-pack": "a flipped byte in a new restic pack",
    "wrong-s3-key": "a wrong S3 key",
    "wrong-key": "a wrong key",
    "full-disk": "a full scratch disk",
}


@pytest.fixture(scope="module")
def clean(ground: Ground) -> Callable[[tuple[str, ...]], Look]:
    """The same look without any damage; the first that asks waits for it."""
    return cache(lambda words: of_verification(*verified(ground, *words)))


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_is_red_and_named(
    ground: Ground, clean: Callable[[tuple[str, ...]], Look], fault: Reports, name: str
):
    damage, words, proof, named = DAMAGE[name]
    fault.clean(IN_TABLE[name], clean(words))
    wanted = named(ground)
    with damage(ground):
        code, verdict = verified(ground, *words)
    found = red(verdict)
    assert code == 1
    assert wanted in found.get(proof, ""), json.dumps(found, indent=1)
    fault.hurt(IN_TABLE[name], of_verification(code, verdict), wanted)
    nothing_left(ground)
    status = json.loads(ground.lab.run("backup", "status", "--json").out)
    assert "verification-red" in {remark["code"] for remark in status["remarks"]}


def test_after_all_damage_it_is_green_again(ground: Ground):
    code, verdict = verified(ground)
    assert (code, red(verdict)) == (0, {})


def kill_one(ground: Ground) -> None:
    """A verification's command is killed while its copy runs."""
    child = ground.lab.popen("backup", "verify")
    try:
        deadline = time.monotonic() + 300
        while "verification-postgres.service" not in ground.pair.on(HOST, LEFT):
            assert child.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
    assert "/srv/verify" in ground.pair.on(HOST, LEFT)


@contextmanager
def impatient_host(ground: Ground) -> Iterator[None]:
    """The host looks every few seconds whether a lease is over."""
    folder = "/run/systemd/system/rmc-dr-sweep.timer.d"
    often = "[Timer]\\nOnActiveSec=\\nOnActiveSec=3s\\nOnUnitInactiveSec=5s\\n"
    again = "systemctl daemon-reload; systemctl restart rmc-dr-sweep.timer"
    ground.pair.on(HOST, f"mkdir -p {folder}; printf '{often}' >{folder}/often.conf; {again}")
    try:
        yield
    finally:
        ground.pair.on(HOST, f"rm -r {folder}; {again}")


def test_a_killed_one_is_swept_by_its_host(ground: Ground):
    """The lease lasts for minutes; the test does not wait for them, but lets it end."""
    kill_one(ground)
    with impatient_host(ground):
        time.sleep(15)
        left = int(ground.pair.on(HOST, "echo $(($(stat -c %Y /srv/verify/lease) - $(date +%s)))"))
        assert 0 < left <= LEASE_SECONDS, "a copy whose lease lasts is left alone"
        ground.pair.on(HOST, "touch --date='-1 second' /srv/verify/lease")
        deadline = time.monotonic() + 120
        while ground.pair.on(HOST, LEFT).strip():
            assert time.monotonic() < deadline, ground.pair.on(HOST, LEFT)
            time.sleep(1)
    code, verdict = verified(ground, "--database")
    assert (code, red(verdict)) == (0, {})


def test_a_killed_one_is_swept_by_the_next(ground: Ground):
    kill_one(ground)
    ground.lab.ok("rebuild", "appserver", "--plan", "--replace-healthy", "app1")  # it holds nobody up
    code, verdict = verified(ground, "--database")
    assert (code, red(verdict)) == (0, {})
    nothing_left(ground)


def test_a_backup_runs_meanwhile_and_an_expiry_does_not(ground: Ground):
    child = ground.lab.popen("backup", "verify", "--database")
    try:
        deadline = time.monotonic() + 120
        while "/srv/verify" not in ground.pair.on(HOST, LEFT):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        began = time.monotonic()
        ground.lab.ok("backup", "run", "--database", "--diff")
        assert time.monotonic() - began < 120
        said = ground.lab.run("backup", "expire", "--yes")
        assert (said.code, "at work" in said.err) == (4, True), said.err
        assert ground.lab.run("backup", "verify").code == 4
    finally:
        assert child.wait(timeout=900) == 0, child.communicate()[1]
    nothing_left(ground)


def test_the_copy_reaches_nobody(ground: Ground):
    """Looked at from within, while it lives."""
    child = ground.lab.popen("backup", "verify", "--database")
    inside = (
        "nsenter --net=/proc/$(systemctl show --value -p MainPID verification-net.service)/ns/net "
        "timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}'; echo $?"
    )
    estate = ground.lab.estate()
    try:
        deadline = time.monotonic() + 300
        while "verification-postgres.service" not in ground.pair.on(HOST, LEFT):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for host, port in (("store1", 443), (ground.pair.primary, 5432)):
            address = estate.host(host).address
            said = ground.pair.on(HOST, f"{inside.format(address=address, port=port)} 2>/dev/null || true")
            assert said.strip().splitlines()[-1] != "0", f"it reached {host}"
    finally:
        assert child.wait(timeout=900) == 0
