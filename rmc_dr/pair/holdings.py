"""What each node's data holds, running or not, and whether two of them hold writes of their own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

END = 1 << 64


@dataclass(frozen=True)
class Holding:
    """One node's data. LSNs are byte positions; None is unknown. ``managed``: Patroni runs there.

    ``forks`` are the ended timelines before ``timeline``, each with its last byte. ``commit_lsn`` and
    ``commit_at`` (UTC) are of the newest transaction in the WAL that could be read.
    """

    name: str
    state: str
    system_identifier: str
    timeline: int
    forks: tuple[tuple[int, int], ...]
    last_lsn: int | None
    commit_lsn: int | None
    commit_at: str | None
    managed: bool = False

    @property
    def fork_lsn(self) -> int | None:
        """Where the node's timeline began; None on the first."""
        return self.forks[-1][1] if self.forks else None


def parting(one: Holding, other: Holding) -> int | None:
    """The position at which two histories part; None where one is the beginning of the other."""
    if one.system_identifier != other.system_identifier:
        return 0
    shared = 0
    for mine, theirs in zip(_timelines(one), _timelines(other), strict=False):
        if mine[0] != theirs[0]:
            return shared
        if mine[1] != theirs[1]:
            return min(mine[1], theirs[1])
        shared = mine[1]
    return None


def _timelines(node: Holding) -> tuple[tuple[int, int], ...]:
    return (*node.forks, (node.timeline, END))


def apart(holdings: Sequence[Holding]) -> tuple[tuple[Holding, Holding], ...]:
    """The pairs of nodes that each hold writes which the other lacks.

    WAL behind the parting that commits nothing is no write. Where no commit can be read, any WAL counts.
    """
    return tuple((one, other) for one, other in combinations(holdings, 2) if _both_wrote(one, other))


def _both_wrote(one: Holding, other: Holding) -> bool:
    position = parting(one, other)
    return position is not None and all(_wrote_behind(node, position) for node in (one, other))


def _wrote_behind(node: Holding, position: int) -> bool:
    if node.commit_lsn is not None:
        return node.commit_lsn >= position
    return node.last_lsn is None or node.last_lsn > position
