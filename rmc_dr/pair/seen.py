"""What was seen of the pair: PostgreSQL on each node by its own word, beside what Patroni and etcd say.

What nobody could see stays unknown; unknown never counts as healthy, as down, or as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What PostgreSQL on one node says of itself."""

    PRIMARY = "primary"
    STANDBY = "standby"
    DOWN = "down"  # proven: the host refuses the connection, or PostgreSQL says that it takes none yet
    UNKNOWN = "unknown"  # no answer, or none that can be trusted


class Health(StrEnum):
    """What one etcd voter says of the cluster; healthy means that a quorum answered through it."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Replica:
    """One receiver as the primary sees it. Lag is in bytes and seconds; seconds are None while idle."""

    name: str
    address: str
    state: str
    sync_state: str
    lag_bytes: int | None
    lag_seconds: float | None


@dataclass(frozen=True)
class Slot:
    """One replication slot of the primary and the bytes of WAL that it keeps."""

    name: str
    active: bool
    wal_status: str
    kept_bytes: int | None


@dataclass(frozen=True)
class Node:
    """PostgreSQL on one host. LSNs are byte positions; None is unknown."""

    name: str
    role: Role
    address: str = ""
    error: str = ""
    system_identifier: str | None = None
    timeline: int | None = None
    forks: tuple[tuple[int, int], ...] | None = None  # ended timelines before this one: number, last byte
    current_lsn: int | None = None
    received_lsn: int | None = None
    replayed_lsn: int | None = None
    streaming: bool | None = None
    replay_paused: bool | None = None
    replay_age_seconds: float | None = None
    replayed_until: datetime | None = (
        None  # when the newest transaction that a standby has replayed committed
    )
    replicas: tuple[Replica, ...] = ()
    slots: tuple[Slot, ...] = ()
    checksums: bool | None = None
    version: str | None = None

    @property
    def lsn(self) -> int | None:
        """The last byte of WAL that this node has."""
        if self.role is Role.PRIMARY:
            return self.current_lsn
        return max((lsn for lsn in (self.received_lsn, self.replayed_lsn) if lsn is not None), default=None)


@dataclass(frozen=True)
class PatroniView:
    """What Patroni on one host says; a ``leader`` of None means none only where ``cluster_seen``."""

    name: str
    answered: bool
    error: str = ""
    role: str | None = None
    state: str | None = None
    cluster_seen: bool = False
    leader: str | None = None
    paused: bool = False
    members: Mapping[str, str] = field(default_factory=dict)  # name -> role and state, as Patroni words them


@dataclass(frozen=True)
class EtcdMember:
    """One voter."""

    name: str
    health: Health
    error: str = ""


@dataclass(frozen=True)
class Limits:
    """Lag above either makes a standby `standby-lagging`."""

    lag_bytes: int
    lag_seconds: float


@dataclass(frozen=True)
class PairObservation:
    """Everything one look has seen of the pair."""

    nodes: tuple[Node, ...]
    patroni: tuple[PatroniView, ...]
    etcd: tuple[EtcdMember, ...]
    limits: Limits

    def with_role(self, role: Role) -> list[Node]:
        return [node for node in self.nodes if node.role is role]

    def view(self, name: str) -> PatroniView | None:
        return next((view for view in self.patroni if view.name == name), None)

    @property
    def leaders(self) -> frozenset[str | None]:
        """Who leads, by every Patroni that sees the cluster; empty where none does."""
        return frozenset(view.leader for view in self.patroni if view.cluster_seen)

    @property
    def quorum(self) -> bool | None:
        """Whether etcd can decide. One voter that a quorum answers through is proof; silence is none."""
        healths = [member.health for member in self.etcd]
        if Health.HEALTHY in healths:
            return True
        lost = healths.count(Health.UNHEALTHY) + healths.count(Health.DOWN)
        majority = len(healths) // 2 + 1
        return False if Health.UNHEALTHY in healths or len(healths) - lost < majority else None


def replica_of(primary: Node, standby: Node) -> Replica | None:
    """The standby as the primary sees it; None where it is not connected."""
    return next(
        (
            replica
            for replica in primary.replicas
            if replica.name == standby.name or (standby.address and replica.address == standby.address)
        ),
        None,
    )


def lag(primary: Node | None, standby: Node) -> tuple[int | None, float | None]:
    """How far the standby is behind, in bytes and seconds; None is unknown."""
    replica = replica_of(primary, standby) if primary else None
    size = replica.lag_bytes if replica else None
    if size is None and primary and primary.current_lsn is not None and standby.replayed_lsn is not None:
        size = max(0, primary.current_lsn - standby.replayed_lsn)
    if size == 0:
        return 0, 0.0
    seconds = replica.lag_seconds if replica else None
    return size, standby.replay_age_seconds if seconds is None else seconds
