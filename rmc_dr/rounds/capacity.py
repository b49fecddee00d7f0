"""How disks, databases and WAL grow from inspection to inspection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rmc_dr.rounds.facts import Facts
from rmc_dr.rounds.history import Inspection
from rmc_dr.rounds.trend import Point, Trend, trend

Measured = tuple[datetime, Facts]


def measured(inspections: Iterable[Inspection]) -> tuple[Measured, ...]:
    """What each inspection has seen, and when, the oldest first."""
    found = [(one.at, one.facts) for one in inspections if one.at is not None and one.facts is not None]
    return tuple(sorted(found, key=lambda one: one[0]))


def disks(seen: Iterable[Measured]) -> Mapping[tuple[str, str], Trend]:
    """Host and path to what is used of the disk; its limit is the size that it has now."""
    points: dict[tuple[str, str], list[Point]] = {}
    sizes: dict[tuple[str, str], float] = {}
    for at, facts in seen:
        for disk in facts.disks:
            key = disk.host, disk.path
            points.setdefault(key, []).append((at, float(disk.size - min(disk.free, disk.size))))
            sizes[key] = float(disk.size)
    return {key: trend(found, sizes[key]) for key, found in points.items()}


def databases(seen: Iterable[Measured]) -> Trend:
    """All databases together; an inspection that could not tell their size is no point."""
    return trend([(at, float(sum(facts.databases.values()))) for at, facts in seen if facts.databases])


def wal(seen: Iterable[Measured]) -> Trend:
    """The WAL that the primary keeps."""
    return trend([(at, float(facts.wal)) for at, facts in seen if facts.wal is not None])


def stored(seen: Iterable[Measured]) -> Trend:
    """What the database's backups take in the store."""
    return trend([(at, float(found)) for at, facts in seen if (found := facts.backups.stored) is not None])
