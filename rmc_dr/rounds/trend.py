"""How something grows from inspection to inspection, and when it would be full. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

ENOUGH_POINTS = 3
ENOUGH_DAYS = 14.0
HORIZON_DAYS = 3650.0  # further off nobody can tell
DAY = 86400.0
Point = tuple[datetime, float]


@dataclass(frozen=True)
class Trend:
    """``a_day`` is the growth by the straight line through the points; None where they are too few.

    ``full`` is when that line would reach the limit: None where it does not grow, or not within ten years.
    """

    points: tuple[Point, ...]
    limit: float | None
    a_day: float | None
    full: datetime | None

    @property
    def since_last(self) -> float | None:
        """What came since the point before, whatever the line says."""
        return self.points[-1][1] - self.points[-2][1] if len(self.points) > 1 else None


def trend(points: Sequence[Point], limit: float | None = None) -> Trend:
    """The trend of points in any order; of several at one moment the last counts."""
    kept = tuple(sorted(dict(points).items()))
    a_day = slope(kept) if enough(kept) else None
    return Trend(kept, limit, a_day, _full(kept, limit, a_day))


def enough(points: Sequence[Point]) -> bool:
    """Whether a line through the points would say anything: three, over two weeks."""
    return len(points) >= ENOUGH_POINTS and _days(points[0][0], points[-1][0]) >= ENOUGH_DAYS


def slope(points: Sequence[Point]) -> float:
    """Units a day by least squares; 0 where all points are of one moment."""
    if not points:
        return 0.0
    days = [_days(points[0][0], moment) for moment, _value in points]
    middle_x, middle_y = sum(days) / len(days), sum(value for _moment, value in points) / len(points)
    spread = sum((day - middle_x) ** 2 for day in days)
    if not spread:
        return 0.0
    together = sum(
        (day - middle_x) * (value - middle_y) for day, (_moment, value) in zip(days, points, strict=True)
    )
    return together / spread


def _full(points: Sequence[Point], limit: float | None, a_day: float | None) -> datetime | None:
    if limit is None or a_day is None or a_day <= 0:
        return None
    moment, value = points[-1]
    left = max(0.0, limit - value) / a_day
    return moment + timedelta(days=left) if left <= HORIZON_DAYS else None


def _days(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() / DAY
