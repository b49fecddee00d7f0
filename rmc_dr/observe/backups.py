"""Looks at the backups from three sides: pgBackRest and restic on the hosts, and the store itself."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr import ssh
from rmc_dr.backups import Archiver, BackupsObservation, DatabaseBackup, FileSnapshot, Lineage
from rmc_dr.backups.archive import is_segment
from rmc_dr.backups.seen import read_info, read_snapshots
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.observe.postgres import observe_archiver, observe_node
from rmc_dr.observe.surroundings import observe_surroundings
from rmc_dr.pair import Node, Role
from rmc_dr.store.client import client
from rmc_dr.store.objects import shown

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HOST_SECONDS = 45
NEXT_SECONDS = 10  # for each further host: where the first one waits for a dead store, so do the others
REPOSITORY = "database"
FILES = "files/"
SNAPSHOTS, IN_USE = "snapshots", "locks"  # restic's folders of what is no part of the data
UNREADABLE = 99  # of pgBackRest's codes the one that stands for a repository that does not answer
Answer = TypeVar("Answer")


class Silent(Exception):
    """Nobody who could have answered did; the text is what the last one said."""


@dataclass(frozen=True)
class _Stored:
    """The store's part. ``locks`` are by label of a backup and by id of a snapshot.

    ``files_until`` is the lock of the oldest object of the files' repository, its snapshots left out.
    """

    archived: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...]
    locks: Mapping[str, datetime | None]
    files_until: datetime | None


def observe_backups(estate: Estate, verified: Mapping[str, datetime]) -> BackupsObservation:
    """Look once, bounded by about a minute; ``verified`` is the record's word. The unseen is unknown."""
    estate.opened()
    errors: dict[str, str] = {}
    with ThreadPoolExecutor(5) as pool:
        surroundings = pool.submit(observe_surroundings, estate)
        asked: dict[str, Future[Any]] = {
            "pgbackrest": pool.submit(_database, estate),
            "restic": pool.submit(observe_snapshots, estate),
            "store": pool.submit(_store, estate),
            "archiver": pool.submit(_primary, estate),
        }
        database: tuple[DatabaseBackup, ...] | None = _result("pgbackrest", asked, errors)
        files: tuple[FileSnapshot, ...] | None = _result("restic", asked, errors)
        stored: _Stored | None = _result("store", asked, errors)
        primary: tuple[Archiver, Lineage] | None = _result("archiver", asked, errors)
    locks = stored.locks if stored else {}
    return BackupsObservation(
        at=datetime.now(UTC),
        database=None
        if database is None
        else tuple(_with(backup, backup.label, locks, verified) for backup in database),
        files=None if files is None else tuple(_snapshot(found, stored, verified) for found in files),
        archived=stored.archived if stored else None,
        labels=stored.labels if stored else None,
        archiver=primary[0] if primary else None,
        errors=errors,
        lineage=primary[1] if primary else None,
        surroundings=surroundings.result(),
        files_until=stored.files_until if stored else None,
    )


def running(estate: Estate, host: Host) -> tuple[int, int] | None:
    """Bytes done and in all of the backup that runs on this host; None where nobody can tell."""
    try:
        document = _info(estate, host)
    except Silent:
        return None
    for part in document:
        lock = part.get("status", {}).get("lock", {}).get("backup", {})
        if part["name"] == estate.config.database.cluster and lock.get("held") and lock.get("size"):
            return int(lock.get("size-cplt", 0)), int(lock["size"])
    return None


def _result(what: str, asked: Mapping[str, Future[Any]], errors: dict[str, str]) -> Any:
    try:
        return asked[what].result()
    except (Silent, psycopg.Error, BotoCoreError, ClientError) as error:
        errors[what] = " ".join(str(error).split())[:200] or type(error).__name__
        return None


def _with(
    found: Any, key: str, locks: Mapping[str, datetime | None], verified: Mapping[str, datetime]
) -> Any:
    return replace(found, locked_until=locks.get(key), verified=verified.get(key))


def _snapshot(found: FileSnapshot, stored: _Stored | None, verified: Mapping[str, datetime]) -> FileSnapshot:
    own = stored.locks.get(found.id) if stored else None
    ends = (own, stored.files_until if stored else None)
    first = None if None in ends else min(end for end in ends if end)
    return replace(found, locked_until=first, own_lock=own, verified=verified.get(found.id))


def _database(estate: Estate) -> tuple[DatabaseBackup, ...]:
    def read(host: Host, seconds: float) -> tuple[DatabaseBackup, ...]:
        return read_info(_info(estate, host, seconds), estate.config.database.cluster)

    return _first([*estate.group("dbserver"), *estate.group("verifier")], read)


def _info(estate: Estate, host: Host, seconds: float = HOST_SECONDS) -> list[dict[str, Any]]:
    stanza = f"--stanza={estate.config.database.cluster}"
    command = f"cd / && runuser -u postgres -- pgbackrest {stanza} --io-timeout=8 --output=json info"
    document: list[dict[str, Any]] = json.loads(_on(estate, host, command, seconds))
    for part in document:
        for repository in part.get("repo", ()):
            if repository["status"]["code"] == UNREADABLE:
                raise Silent(repository["status"]["message"])
    return document


def observe_snapshots(estate: Estate) -> tuple[FileSnapshot, ...]:
    """The snapshots of files, oldest first, by the first host that can say. Raises Silent."""

    def read(host: Host, seconds: float) -> tuple[FileSnapshot, ...]:
        said = _on(estate, host, "timeout 30 rmc-dr-restic --no-lock --json snapshots", seconds)
        return read_snapshots(json.loads(said))

    hosts = [host for group in ("appserver", "dbserver", "verifier") for host in estate.group(group)]
    return _first(hosts, read)


def _first(hosts: Sequence[Host], read: Callable[[Host, float], Answer]) -> Answer:
    """What the first host says that can say anything. Raises Silent with the last one's words."""
    said = _("no host")
    for number, host in enumerate(hosts):
        try:
            return read(host, NEXT_SECONDS if number else HOST_SECONDS)
        except Silent as silent:
            said = f"{host.name}: {silent}"
    raise Silent(said)


def _on(estate: Estate, host: Host, command: str, seconds: float) -> str:
    """What a command prints on a host. Raises Silent."""
    try:
        done = ssh.ask(estate, host, command, seconds)
    except subprocess.TimeoutExpired:
        raise Silent(_("no answer within {seconds} s").format(seconds=seconds)) from None
    if done.returncode != 0:
        raise Silent((done.stderr or done.stdout).strip()[-200:] or f"exit {done.returncode}")
    return done.stdout


def _primary(estate: Estate) -> tuple[Archiver, Lineage]:
    """What the only primary says of its archiver and of its history. Raises Silent or psycopg.Error."""
    node = _only_primary(estate)
    if node is None:
        raise Silent(_("no single primary"))
    return observe_archiver(estate, estate.host(node.name)), _lineage(node)


def observe_lineage(estate: Estate) -> Lineage | None:
    """The history of the only primary; None where there is none."""
    node = _only_primary(estate)
    return _lineage(node) if node else None


def _lineage(node: Node) -> Lineage:
    return Lineage(node.system_identifier, node.timeline, node.forks)


def _only_primary(estate: Estate) -> Node | None:
    nodes = [observe_node(estate, host) for host in estate.group("dbserver")]
    primaries = [node for node in nodes if node.role is Role.PRIMARY]
    return primaries[0] if len(primaries) == 1 else None


def _store(estate: Estate) -> _Stored:
    s3 = client(estate, "verifier")
    bucket, stanza = estate.config.s3.bucket, estate.config.database.cluster
    archived: dict[str, list[str]] = defaultdict(list)
    for key, _modified in objects(s3, bucket, f"{REPOSITORY}/archive/{stanza}/"):
        part, _slash, name = key.split("/", 3)[-1].partition("/")
        segment = name.rpartition("/")[2][:24]
        if is_segment(segment):
            archived[part].append(segment)
    oldest: dict[str, tuple[datetime, str]] = {}
    for key, modified in objects(s3, bucket, f"{REPOSITORY}/backup/{stanza}/"):
        label, slash, _rest = key.split("/", 3)[-1].partition("/")
        if slash and label[0].isdigit():
            oldest[label] = min(oldest.get(label, (modified, key)), (modified, key))
    snapshots: dict[str, str] = {}
    files: list[tuple[datetime, str]] = []
    for key, modified in objects(s3, bucket, FILES):
        part, _slash, name = key.removeprefix(FILES).partition("/")
        if part == SNAPSHOTS:
            snapshots[name[:8]] = key
        elif part != IN_USE:
            files.append((modified, key))
    keys = {**{label: key for label, (_modified, key) in oldest.items()}, **snapshots}
    # One question for all packs: each is locked from when it was put, and an expiry extends the oldest last.
    if files:
        keys[FILES] = min(files)[1]
    with ThreadPoolExecutor(4) as pool:
        locks = dict(
            zip(keys, pool.map(lambda key: _locked_until(s3, bucket, key), keys.values()), strict=True)
        )
    return _Stored(
        {part: tuple(sorted(set(names))) for part, names in archived.items()},
        tuple(sorted(oldest)),
        locks,
        locks.get(FILES),
    )


def objects(s3: S3Client, bucket: str, prefix: str) -> Iterator[tuple[str, datetime]]:
    """Key and time of every object that is not hidden."""
    for found in shown(s3, bucket, prefix):
        yield found["Key"], found["LastModified"]


def _locked_until(s3: S3Client, bucket: str, key: str) -> datetime | None:
    """Until when no key deletes this object's newest version; None without a lock."""
    try:
        lock = s3.get_object_retention(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchObjectLockConfiguration", "NoSuchKey"):
            return None
        raise
    return lock["Retention"]["RetainUntilDate"]
