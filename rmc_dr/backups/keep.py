"""What an expiry keeps: never less than asked for, and nothing goes that must not go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rmc_dr.backups.seen import DatabaseBackup, FileSnapshot

NEWEST = 2  # snapshots of each sort that stay, however old they are


@dataclass(frozen=True)
class Keeping:
    """``full`` newest full backups stay, with all that needs them; ``expires`` are the labels that go.

    ``because`` says for each older chain that stays all the same why: locked, lock-unknown or verified.
    ``snapshots`` are the ids of the files' snapshots that go.
    """

    full: int
    expires: tuple[str, ...]
    because: tuple[tuple[str, str], ...]
    snapshots: tuple[str, ...] = ()


def keeping(backups: Sequence[DatabaseBackup], keep_full: int, now: datetime) -> Keeping:
    """Decide by the newest ``keep_full`` chains, the locks, and the chain that was last verified.

    pgBackRest expires by count: what is newer than a chain that must stay, stays as well.
    """
    chains = sorted({backup.full for backup in backups}, reverse=True)
    proven = [(backup.verified, backup.stopped, backup) for backup in backups if backup.verified]
    verified = max(proven, key=lambda one: one[:2])[2] if proven else None
    because = []
    count = min(keep_full, len(chains))
    for index, full in enumerate(chains[keep_full:], keep_full):
        reason = _reason([backup for backup in backups if backup.full == full], verified, now)
        if reason:
            because.append((full, reason))
            count = index + 1
    gone = set(chains[count:])
    expires = tuple(backup.label for backup in backups if backup.full in gone)
    return Keeping(max(count, keep_full), expires, tuple(because))


def _reason(chain: Sequence[DatabaseBackup], verified: DatabaseBackup | None, now: datetime) -> str:
    if verified in chain:
        return "verified"
    if any(backup.locked_until is None for backup in chain):
        return "lock-unknown"
    return "locked" if any(backup.locked_until > now for backup in chain if backup.locked_until) else ""


def outlived(snapshots: Sequence[FileSnapshot], keep: timedelta, now: datetime) -> tuple[str, ...]:
    """The ids of the snapshots that may go, each judged among those of its host and name.

    The two newest stay, what is younger than ``keep`` before the newest, what its own lock still protects or
    nobody knows the lock of, and the one that was last verified.
    """
    gone: list[FileSnapshot] = []
    for sort in dict.fromkeys((one.host, one.name) for one in snapshots):
        own = [one for one in snapshots if (one.host, one.name) == sort]
        newest_first = sorted(own, key=lambda one: one.taken, reverse=True)
        proven = [(one.verified, one.taken, one.id) for one in own if one.verified]
        verified = max(proven)[2] if proven else None
        gone += [
            one
            for one in newest_first[NEWEST:]
            if newest_first[0].taken - one.taken > keep
            and one.own_lock is not None
            and one.own_lock <= now
            and one.id != verified
        ]
    return tuple(one.id for one in gone)
