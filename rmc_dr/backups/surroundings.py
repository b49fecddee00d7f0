"""What backups stand on beside themselves: clocks, certificates, room, and the history that leads to now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SKEW_SECONDS = 30
REFUSED_SECONDS = 900  # a store refuses every request of a client whose clock is further off
FULL_SHARE = 0.9
OUT_SHARE = 0.95  # with a twentieth of its disk free Ceph's monitor ends itself
CERTIFICATE_WARNING = timedelta(days=30)


@dataclass(frozen=True)
class Room:
    """``used`` of ``limit`` bytes; the limit is a quota or a disk's size."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit if self.limit else 1.0


@dataclass(frozen=True)
class Lineage:
    """The primary's history: its cluster, its timeline, and where each timeline before that ended.

    ``forks`` is None where it could not be read; its positions are bytes.
    """

    cluster: str | None
    timeline: int | None
    forks: tuple[tuple[int, int], ...] | None

    def holds(self, cluster: str, timeline: int, stop: int | None) -> bool | None:
        """Whether what ended at ``stop`` on a timeline leads to the primary; None where nobody can tell."""
        if self.cluster is not None and cluster != self.cluster:
            return False
        if self.timeline is None or timeline == self.timeline:
            return None if self.timeline is None else True
        if timeline > self.timeline:
            return False
        if self.forks is None:
            return None
        end = dict(self.forks).get(timeline)
        if end is None:
            return False
        return None if stop is None else stop <= end


@dataclass(frozen=True)
class Surroundings:
    """Each part holds what answered, by the name of its host; what did not answer is left out.

    ``clocks`` are seconds that a clock is before this machine's, ``certificates`` their ends, ``room`` what
    is used of the quota (under the bucket's name) and of the store host's disk.
    """

    clocks: Mapping[str, float] = field(default_factory=dict)
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    room: Mapping[str, Room] = field(default_factory=dict)
