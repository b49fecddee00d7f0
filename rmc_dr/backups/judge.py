"""Whether the backups are as they should be: remarks with levels, as monitoring systems count them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

from rmc_dr.backups.archive import place
from rmc_dr.backups.seen import BackupsObservation, DatabaseBackup, Fault, FileSnapshot, faults
from rmc_dr.backups.surroundings import (
    CERTIFICATE_WARNING,
    FULL_SHARE,
    OUT_SHARE,
    REFUSED_SECONDS,
    SKEW_SECONDS,
)
from rmc_dr.i18n import _

FULL_DAYS = 8  # a weekly full backup, and a day's grace
FAR_BEHIND = 5  # times the interval in which WAL should have been archived


class Level(IntEnum):
    """The exit code that monitoring expects."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# What nobody could see may hide the worst but one.
WEIGHT = {Level.OK: 0, Level.WARNING: 1, Level.UNKNOWN: 2, Level.CRITICAL: 3}


@dataclass(frozen=True)
class Limits:
    """What the estate asks for. ``late_timers``: jobs that are behind, and when each last ended well.

    ``red`` is what the last verification found wrong.
    """

    archive_seconds: int
    max_age_hours: int
    verify_hours: int
    lock_days: int
    snapshots: tuple[tuple[str, str], ...]
    late_timers: Mapping[str, datetime | None]
    red: tuple[str, ...] = ()

    @property
    def lock_margin(self) -> timedelta:
        """How long before its end a lock is worth a warning."""
        return timedelta(days=self.lock_days) / 10


@dataclass(frozen=True)
class Remark:
    """One thing that is not as it should be, with a stable code."""

    level: Level
    code: str
    text: str


class Graded(Protocol):
    """What is not as it should be, and how badly."""

    @property
    def level(self) -> Level: ...


def level(found: Iterable[Graded]) -> Level:
    """The worst of them."""
    return max((one.level for one in found), key=WEIGHT.__getitem__, default=Level.OK)


def remarks(seen: BackupsObservation, limits: Limits) -> list[Remark]:
    """All that is wrong, the worst first."""
    parts = (
        *(_unseen, _database, _files, _faults, _archive, _locks, _verified, _timers),
        *(_timelines, _clocks, _certificates, _room),
    )
    found = [remark for part in parts for remark in part(seen, limits)]
    return sorted(found, key=lambda remark: -WEIGHT[remark.level])


def _unseen(seen: BackupsObservation, _limits: Limits) -> Iterator[Remark]:
    for what, said in seen.errors.items():
        if what == "store":
            text = _("the store does not answer: {said}").format(said=said)
            yield Remark(Level.CRITICAL, "store-unreachable", text)
        else:
            text = _("{what} could not be read: {said}").format(what=what, said=said)
            yield Remark(Level.UNKNOWN, f"{what}-unknown", text)


def _database(seen: BackupsObservation, limits: Limits) -> Iterator[Remark]:
    if seen.database is None:
        return
    newest = seen.newest
    if newest is None:
        yield Remark(Level.CRITICAL, "no-backup", _("there is no backup of the database"))
        return
    age = seen.at - newest.stopped
    if age > timedelta(hours=limits.max_age_hours):
        yield Remark(Level.CRITICAL, "backup-old", _too_old(_("the database"), age))
    full = max(backup.stopped for backup in seen.database if backup.label == newest.full)
    if seen.at - full > timedelta(days=FULL_DAYS):
        yield Remark(Level.WARNING, "full-old", _too_old(_("the database in full"), seen.at - full))


def _files(seen: BackupsObservation, limits: Limits) -> Iterator[Remark]:
    if seen.files is None:
        return
    for host, name in limits.snapshots:
        taken = _newest_of(seen.files, host, name)
        what = f"{name} ({host})"
        if taken is None:
            yield Remark(Level.CRITICAL, "no-snapshot", _("there is no backup of {what}").format(what=what))
        elif seen.at - taken.taken > timedelta(hours=limits.max_age_hours):
            yield Remark(Level.CRITICAL, "snapshot-old", _too_old(what, seen.at - taken.taken))


def _newest_of(files: Sequence[FileSnapshot], host: str, name: str) -> FileSnapshot | None:
    own = [snapshot for snapshot in files if (snapshot.host, snapshot.name) == (host, name)]
    return max(own, key=lambda snapshot: snapshot.taken, default=None)


def _faults(seen: BackupsObservation, _limits: Limits) -> Iterator[Remark]:
    needed = {backup.label for backup in seen.chain(seen.newest)} if seen.newest else set()
    for fault in faults(seen):
        strays = fault.code == "backup-diverged"
        if strays and not _leads_away(fault, seen):
            continue
        hurts = strays or fault.label in needed or _cuts_off(fault, seen.newest)
        yield Remark(Level.CRITICAL if hurts else Level.WARNING, fault.code, describe(fault))


def _cuts_off(fault: Fault, newest: DatabaseBackup | None) -> bool:
    """Whether a gap lies behind the newest backup: then nothing leads to now."""
    if fault.gap is None or newest is None or fault.label != newest.archive:
        return False
    return fault.gap.last >= newest.wal_start


def _leads_away(fault: Fault, seen: BackupsObservation) -> bool:
    """Whether a backup of another history is the newest of all: a restore to `latest` would take it."""
    backup = next(backup for backup in seen.database or () if backup.label == fault.label)
    return seen.newest is None or backup.stopped > seen.newest.stopped


def describe(fault: Fault) -> str:
    """A fault in a sentence's part."""
    if fault.gap is not None:
        return _("archive {part} lacks {count} segments, {first} to {last}").format(
            part=fault.label, count=fault.gap.count, first=fault.gap.first, last=fault.gap.last
        )
    missing = ", ".join(fault.missing[:3]) + (", ..." if len(fault.missing) > 3 else "")
    return {
        "backup-damaged": _("pgBackRest found errors while it took {label}"),
        "backup-diverged": _("{label} is of another history than the primary's"),
        "chain-broken": _("{label} needs {missing}, which is not there"),
        "objects-missing": _("the store holds nothing of {label}"),
        "wal-missing": _("{label} needs WAL that the archive lacks: {missing}"),
        "not-listed": _("the store holds {label}, of which pgBackRest knows nothing"),
    }[fault.code].format(label=fault.label, missing=missing)


def _archive(seen: BackupsObservation, limits: Limits) -> Iterator[Remark]:
    archiver = seen.archiver
    if archiver is None:
        return
    if archiver.waiting_seconds > limits.archive_seconds:
        far = archiver.waiting_seconds > FAR_BEHIND * limits.archive_seconds
        text = _("archive behind: {count} segments wait, the oldest for {seconds:.0f} s").format(
            count=archiver.waiting, seconds=archiver.waiting_seconds
        )
        yield Remark(Level.CRITICAL if far else Level.WARNING, "archive-behind", text)
    last, failed = archiver.last_archived, archiver.last_failed
    if failed and (last is None or failed > last):
        text = _("archiving fails on {host}, {count} times so far").format(
            host=archiver.host, count=archiver.failed
        )
        yield Remark(Level.WARNING, "archive-failing", text)


def _locks(seen: BackupsObservation, limits: Limits) -> Iterator[Remark]:
    if "store" in seen.errors:
        return
    needed = {one.label: one.locked_until for one in seen.chain(seen.newest)} if seen.newest else {}
    if seen.files:
        needed[_("the oldest pack of the files")] = seen.files_until
    for label, until in needed.items():
        if until is None:
            yield Remark(Level.WARNING, "not-locked", _("{label} has no lock").format(label=label))
        elif until - seen.at < limits.lock_margin:
            text = _("the lock of {label}, which is still needed, ends {when}").format(
                label=label, when=until.isoformat(timespec="minutes")
            )
            yield Remark(Level.WARNING, "lock-ends", text)


def _verified(seen: BackupsObservation, limits: Limits) -> Iterator[Remark]:
    if limits.red:
        text = _("the last verification is red: {said}").format(said="; ".join(limits.red[:3]))
        yield Remark(Level.CRITICAL, "verification-red", text)
    for what, kept in ((_("the database"), seen.database), (_("the files"), seen.files)):
        if not kept:
            continue
        last = max((one.verified for one in kept if one.verified), default=None)
        if last is None:
            text = _("no backup of {what} was ever verified").format(what=what)
            yield Remark(Level.WARNING, "never-verified", text)
        elif seen.at - last > timedelta(hours=limits.verify_hours):
            text = _("the last verification of {what} is {hours:.0f} h old").format(
                what=what, hours=_hours(seen.at - last)
            )
            yield Remark(Level.WARNING, "verification-old", text)


def _timers(_seen: BackupsObservation, limits: Limits) -> Iterator[Remark]:
    for name, last in limits.late_timers.items():
        since = last.isoformat(timespec="minutes") if last else _("never")
        text = _("the schedule did not run {name} in time; it last ended well: {since}").format(
            name=name, since=since
        )
        yield Remark(Level.CRITICAL, "timer-late", text)


def _timelines(seen: BackupsObservation, _limits: Limits) -> Iterator[Remark]:
    """A node promoted by hand archives a history of its own: a recovery to the archive's end follows that."""
    newest, lineage = seen.newest, seen.lineage
    if newest is None or lineage is None or lineage.timeline is None or newest.cluster != lineage.cluster:
        return
    last = max((place(name)[0] for name in (seen.archived or {}).get(newest.archive, ())), default=0)
    if last > lineage.timeline:
        text = _(
            "the archive goes on to timeline {last}, the primary is on {now}: another node archived"
        ).format(last=last, now=lineage.timeline)
        yield Remark(Level.CRITICAL, "archive-diverged", text)


def _clocks(seen: BackupsObservation, _limits: Limits) -> Iterator[Remark]:
    for name, ahead in seen.surroundings.clocks.items():
        if abs(ahead) > SKEW_SECONDS:
            grade = Level.CRITICAL if abs(ahead) > REFUSED_SECONDS else Level.WARNING
            text = _("the clock of {host} is {seconds:+.0f} s off against this machine").format(
                host=name, seconds=ahead
            )
            yield Remark(grade, "clock-off", text)


def _certificates(seen: BackupsObservation, _limits: Limits) -> Iterator[Remark]:
    for name, ends in seen.surroundings.certificates.items():
        when = ends.isoformat(timespec="minutes")
        if ends <= seen.at:
            text = _("the certificate of {host} has expired: {when}").format(host=name, when=when)
            yield Remark(Level.CRITICAL, "certificate-expired", text)
        elif ends - seen.at < CERTIFICATE_WARNING:
            text = _("the certificate of {host} ends {when}").format(host=name, when=when)
            yield Remark(Level.WARNING, "certificate-ends", text)


def _room(seen: BackupsObservation, _limits: Limits) -> Iterator[Remark]:
    for name, room in seen.surroundings.room.items():
        if room.share >= FULL_SHARE:
            grade = Level.CRITICAL if room.share >= OUT_SHARE else Level.WARNING
            text = _("room short: {share:.0%} of {what} is used").format(share=room.share, what=name)
            yield Remark(grade, "room-short", text)


def _too_old(what: str, age: timedelta) -> str:
    return _("the newest backup of {what} is {hours:.0f} h old").format(what=what, hours=_hours(age))


def _hours(age: timedelta) -> float:
    return age.total_seconds() / 3600
