"""What a verification reads tonight of all that it does not read every night. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil

LIMIT = timedelta(days=30)
NIGHT = timedelta(days=1)
MARGIN = 2 * NIGHT  # one verification that failed, and its successor that begins late


def due(unread_since: Mapping[str, datetime], now: datetime, limit: timedelta = LIMIT) -> tuple[str, ...]:
    """The names to read tonight, the longest unread first: so few that an even share is left for each night.

    ``unread_since``: when each was last read to its last byte, or came to be. Called once a night, it lets
    nothing stay unread for longer than ``limit``.
    """
    oldest = sorted(unread_since, key=lambda name: (unread_since[name], name))
    ages = [now - unread_since[name] for name in oldest]
    share = max(1, ceil(len(oldest) * NIGHT / (limit - MARGIN)))
    tonight = 0
    while not _can_wait(ages[tonight:], share, limit - MARGIN):
        tonight += 1
    return tuple(oldest[:tonight])


def _can_wait(ages: Sequence[timedelta], share: int, allowed: timedelta) -> bool:
    """Whether all are read in time if reading begins tomorrow, the oldest first, so many a night."""
    return all(age + NIGHT * (1 + place // share) <= allowed for place, age in enumerate(ages))


def overdue(unread_since: Mapping[str, datetime], now: datetime, limit: timedelta = LIMIT) -> tuple[str, ...]:
    """The names whose promise is broken already."""
    return tuple(sorted(name for name, since in unread_since.items() if now - since > limit))
