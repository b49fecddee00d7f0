"""How many full backups an expiry keeps: never fewer than asked for, and none that must not go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rmc_dr.backups.seen import DatabaseBackup


@dataclass(frozen=True)
class Keeping:
    """``full`` newest full backups stay, with all that needs them; ``expires`` are the labels that go.

    ``because`` says for each older chain that stays all the same why: locked, lock-unknown or verified.
    """

    full: int
    expires: tuple[str, ...]
    because: tuple[tuple[str, str], ...]


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
