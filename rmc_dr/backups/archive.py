"""Archived WAL by the names of its segments: what is missing, and where timelines do not join.

A name is 8 hexadecimal digits of timeline, 8 of the high and 8 of the low part of the segment's number; a
segment holds 16 MiB, so 256 of them make one step of the high part.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PER_HIGH = 256
NAME = re.compile(r"[0-9A-F]{24}")


@dataclass(frozen=True)
class Gap:
    """Segments that a recovery to now would ask for and not get; both ends are missing themselves."""

    first: str
    last: str
    count: int


def is_segment(name: str) -> bool:
    """Whether it names a whole segment, and neither a history nor a part of one."""
    return NAME.fullmatch(name) is not None and int(name[16:], 16) < PER_HIGH


def place(name: str) -> tuple[int, int]:
    """Timeline and number of a segment."""
    return int(name[:8], 16), int(name[8:16], 16) * PER_HIGH + int(name[16:], 16)


def position(lsn: str) -> int:
    """The byte that an LSN such as 1/2C000028 names. Raises ValueError."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment(timeline: int, number: int) -> str:
    """The name of a segment."""
    high, low = divmod(number, PER_HIGH)
    return f"{timeline:08X}{high:08X}{low:08X}"


def gaps(archived: Iterable[str]) -> list[Gap]:
    """What lies between the oldest segment and the newest and is not there.

    A timeline is needed up to where the next one begins. What was archived of it behind that place belongs to
    a history that was given up, and is not looked at.
    """
    numbers: dict[int, set[int]] = defaultdict(set)
    for name in archived:
        timeline, number = place(name)
        numbers[timeline].add(number)
    found: list[Gap] = []
    timelines = sorted(numbers)
    for timeline, following in zip(timelines, [*timelines[1:], None], strict=True):
        held = numbers[timeline]
        end = max(held) + 1 if following is None else min(numbers[following])
        found.extend(_holes(timeline, held, end))
    return found


def lacking(first: str, last: str, archived: Iterable[str]) -> list[str]:
    """The segments that one backup needs to become consistent, and the archive does not hold."""
    (timeline, begin), (until, end) = place(first), place(last)
    held = set(archived)
    if timeline != until:  # a backup during a promotion: its ends are all that is sure
        return [name for name in (first, last) if name not in held]
    wanted = [segment(timeline, number) for number in range(begin, end + 1)]
    return [name for name in wanted if name not in held]


def _holes(timeline: int, held: set[int], end: int) -> Iterator[Gap]:
    inside = sorted(number for number in held if number < end)
    if not inside:
        return
    for before, after in zip(inside, [*inside[1:], end], strict=True):
        if after - before > 1:
            yield Gap(segment(timeline, before + 1), segment(timeline, after - 1), after - before - 1)
