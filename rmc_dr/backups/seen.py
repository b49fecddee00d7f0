"""What was seen of the backups: by pgBackRest, by restic and in the store. None is unknown, never nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rmc_dr.backups.archive import Gap, gaps, lacking, place, position
from rmc_dr.backups.surroundings import Lineage, Surroundings


@dataclass(frozen=True)
class DatabaseBackup:
    """One backup of the pair. ``size`` is the database's, ``stored`` what this backup takes, in bytes.

    ``needs`` are the labels that a restore reads as well; ``cluster`` is the system identifier; ``archive``
    names its part of the WAL archive, ``stop`` the position in bytes from which on it is consistent.
    ``locked_until`` is the store's word for its oldest object.
    """

    label: str
    kind: str
    started: datetime
    stopped: datetime
    size: int
    stored: int
    needs: tuple[str, ...]
    wal_start: str
    wal_stop: str
    archive: str
    cluster: str
    damaged: bool = False
    locked_until: datetime | None = None
    verified: datetime | None = None
    stop: int | None = None

    @property
    def full(self) -> str:
        """The label of the full backup that its chain begins with."""
        return self.label.partition("_")[0]


@dataclass(frozen=True)
class FileSnapshot:
    """One snapshot of a host's files. ``size`` is what it shows, ``added`` what it brought, both in bytes.

    ``own_lock`` is the end of the snapshot's own lock; ``locked_until`` is when the first lock ends of it
    and of all that it may need, whose packs are shared and may be much older than it.
    """

    id: str
    host: str
    name: str
    taken: datetime
    files: int
    size: int
    added: int
    locked_until: datetime | None = None
    verified: datetime | None = None
    own_lock: datetime | None = None


@dataclass(frozen=True)
class Archiver:
    """The primary's archiver: so many segments wait, the oldest for ``waiting_seconds``."""

    host: str
    waiting: int
    waiting_seconds: float
    last_archived: datetime | None
    last_failed: datetime | None
    failed: int


@dataclass(frozen=True)
class BackupsObservation:
    """One look from three sides, and at the primary's archiver; ``errors`` says why a part is unknown.

    ``archived`` maps a part of the archive (as 17-1) to its segments' names; ``labels`` are the backups that
    the store holds objects of, whether pgBackRest knows them or not. ``archived_at`` is when the newest
    segment was stored; ``lineage`` is that of the only primary. ``files_until`` is when the lock ends of the
    oldest pack or key that the files' repository shows.
    """

    at: datetime
    database: tuple[DatabaseBackup, ...] | None
    files: tuple[FileSnapshot, ...] | None
    archived: Mapping[str, tuple[str, ...]] | None
    labels: tuple[str, ...] | None
    archiver: Archiver | None
    errors: Mapping[str, str] = field(default_factory=dict)
    archived_at: datetime | None = None
    lineage: Lineage | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    files_until: datetime | None = None

    @property
    def newest(self) -> DatabaseBackup | None:
        """The newest backup that pgBackRest holds for sound, and that is not of a history given up."""
        sound = [backup for backup in self.database or () if not (backup.damaged or self.strays(backup))]
        return max(sound, key=lambda backup: backup.stopped, default=None)

    def strays(self, backup: DatabaseBackup) -> bool:
        """Whether it is proven that nothing leads from this backup to what the primary holds."""
        if self.lineage is None:
            return False
        timeline = place(backup.wal_stop)[0]
        return self.lineage.holds(backup.cluster, timeline, backup.stop) is False

    def chain(self, backup: DatabaseBackup) -> tuple[DatabaseBackup, ...]:
        """The backup and all that it needs and that is there."""
        wanted = {backup.label, *backup.needs}
        return tuple(other for other in self.database or () if other.label in wanted)


@dataclass(frozen=True)
class Fault:
    """One thing that is missing. ``label`` names the backup that suffers, or the archive that has a gap."""

    code: str
    label: str = ""
    missing: tuple[str, ...] = ()
    gap: Gap | None = None


def faults(seen: BackupsObservation) -> list[Fault]:
    """Chains that do not join or lead elsewhere, backups without objects or WAL, and gaps of the archive."""
    found: list[Fault] = []
    backups = seen.database or ()
    known = {backup.label for backup in backups}
    for backup in backups:
        if seen.strays(backup):
            found.append(Fault("backup-diverged", backup.label))
            continue  # what else it lacks helps nobody
        if backup.damaged:
            found.append(Fault("backup-damaged", backup.label))
        if absent := tuple(label for label in backup.needs if label not in known):
            found.append(Fault("chain-broken", backup.label, absent))
        if seen.labels is not None and backup.label not in seen.labels:
            found.append(Fault("objects-missing", backup.label))
        if seen.archived is not None:
            held = seen.archived.get(backup.archive, ())
            if short := tuple(lacking(backup.wal_start, backup.wal_stop, held)):
                found.append(Fault("wal-missing", backup.label, short))
    unknown = sorted(set(seen.labels or ()) - known) if seen.database is not None else []
    found.extend(Fault("not-listed", label) for label in unknown)
    for part, names in sorted((seen.archived or {}).items()):
        found.extend(Fault("archive-gap", part, gap=gap) for gap in gaps(names))
    return found


def read_info(document: Sequence[Mapping[str, Any]], stanza: str) -> tuple[DatabaseBackup, ...]:
    """The backups in what `pgbackrest info --output=json` prints, oldest first."""
    found = []
    for part in document:
        if part["name"] != stanza:
            continue
        bases = {(base["repo-key"], base["id"]): base for base in part["db"]}
        archives = {
            (item["database"]["repo-key"], item["database"]["id"]): item["id"] for item in part["archive"]
        }
        for backup in part["backup"]:
            key = (backup["database"]["repo-key"], backup["database"]["id"])
            base = bases[key]
            found.append(
                DatabaseBackup(
                    label=backup["label"],
                    kind=backup["type"],
                    started=_time(backup["timestamp"]["start"]),
                    stopped=_time(backup["timestamp"]["stop"]),
                    size=backup["info"]["size"],
                    stored=backup["info"]["repository"]["delta"],
                    needs=tuple(backup.get("reference") or ()),
                    wal_start=backup["archive"]["start"],
                    wal_stop=backup["archive"]["stop"],
                    archive=archives.get(key, f"{base['version']}-{base['id']}"),
                    cluster=str(base["system-id"]),
                    damaged=bool(backup.get("error")),
                    stop=position(stop) if (stop := backup.get("lsn", {}).get("stop")) else None,
                )
            )
    return tuple(sorted(found, key=lambda backup: backup.stopped))


def read_snapshots(document: Sequence[Mapping[str, Any]]) -> tuple[FileSnapshot, ...]:
    """The snapshots in what `restic snapshots --json` prints, oldest first."""
    found = [
        FileSnapshot(
            id=snapshot["short_id"],
            host=snapshot["hostname"],
            name=", ".join(snapshot.get("tags") or ()),
            taken=datetime.fromisoformat(snapshot["time"]).astimezone(UTC),
            files=snapshot.get("summary", {}).get("total_files_processed", 0),
            size=snapshot.get("summary", {}).get("total_bytes_processed", 0),
            added=snapshot.get("summary", {}).get("data_added_packed", 0),
        )
        for snapshot in document
    ]
    return tuple(sorted(found, key=lambda snapshot: snapshot.taken))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
