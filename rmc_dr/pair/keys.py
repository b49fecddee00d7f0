"""What Patroni keeps of the pair in etcd: who leads, who was synchronous, how far the primary had come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ClusterKeys:
    """One read that a quorum confirmed. ``seen`` is False where none did; then nothing else counts.

    Patroni enters a standby into ``sync_standbys`` only after PostgreSQL waits for it, and strikes it out
    before PostgreSQL stops waiting: whoever stands there holds every write that ``sync_leader`` acknowledged.
    ``leader_lsn`` is the position in bytes that the leader last reported, at most one Patroni loop old when
    it died.
    """

    seen: bool
    error: str = ""
    leader: str | None = None
    sync_leader: str | None = None
    sync_standbys: tuple[str, ...] = ()
    synchronous: bool = False
    paused: bool = False
    leader_lsn: int | None = None
    history: tuple[
        tuple[int, int, str], ...
    ] = ()  # ended timelines: number, last byte, when (Patroni's words)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> ClusterKeys:
        """From the keys below the cluster's own, by their last names. What cannot be read is unknown."""
        sync, status, config = (_object(values.get(name)) for name in ("sync", "status", "config"))
        standbys = str(sync.get("sync_standby") or "").split(",")
        position = status.get("optime")
        return cls(
            seen=True,
            leader=values.get("leader") or None,
            sync_leader=sync.get("leader") or None,
            sync_standbys=tuple(name.strip() for name in standbys if name.strip()),
            synchronous=config.get("synchronous_mode") in (True, "on", "true"),
            paused=bool(config.get("pause")),
            leader_lsn=position if isinstance(position, int) else None,
            history=_history(values.get("history")),
        )


def _object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _history(text: str | None) -> tuple[tuple[int, int, str], ...]:
    try:
        lines = json.loads(text or "[]")
        return tuple((int(line[0]), int(line[1]), str(line[3]) if len(line) > 3 else "") for line in lines)
    except (ValueError, TypeError, IndexError, KeyError):
        return ()
