"""Where the marks of a chart stand; document.html draws them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rmc_dr.report.document import Line, Span, TimeChart, Tone

COLOURS = {
    Tone.PLAIN: "#1f5f8b",
    Tone.GOOD: "#1e7a4f",
    Tone.WARN: "#c58a1a",
    Tone.BAD: "#b3261e",
    Tone.OPEN: "#8a98a5",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    1, 5, 15, 30, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 4 * _HOUR, 12 * _HOUR,
    _DAY, 2 * _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 365 * _DAY,
)  # fmt: skip
_MOST_TICKS = 4
_MOST_MARKS = 16
_LEAST_PERCENT = 0.8  # a shorter bar cannot be seen
WIDTH, HEIGHT, TOP, LEFT = 260, 84, 6, 34  # of a trend, in its own units


@dataclass(frozen=True)
class Bar:
    """One span in per cent of the axis; ``open`` goes on beyond what is drawn."""

    span: Span
    left: float
    width: float
    due: float | None
    open: bool
    colour: str


@dataclass(frozen=True)
class Axis:
    """Marks in per cent of its width, each with what is written there."""

    ticks: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Trend:
    """One series: its curve and its limit in the units of its own box, and what stands at the edges.

    ``marks`` are the points that are drawn as such: all of a few, else the newest.
    """

    line: Line
    curve: str
    marks: tuple[tuple[float, float], ...]
    limit: float | None
    low: str
    high: str
    began: str
    ended: str
    newest: str
    broken: bool


def axis(chart: TimeChart, now: datetime, zone: ZoneInfo) -> Axis:
    """Every span under one axis, from the first that began to the last that ended or is due."""
    begin = min((span.began for span in chart.spans), default=now)
    ends = [
        moment for span in chart.spans for moment in (span.ended or max(now, span.began), span.due) if moment
    ]
    whole = max(1.0, (max(ends, default=now) - begin).total_seconds())

    def place(moment: datetime) -> float:
        return 100 * (moment - begin).total_seconds() / whole

    bars = []
    for span in chart.spans:
        left, right = place(span.began), place(span.ended or max(now, span.began))
        left = min(left, 100 - _LEAST_PERCENT)
        due = None if span.due is None else max(0.0, place(span.due))
        wide = max(_LEAST_PERCENT, right - left)
        bars.append(Bar(span, left, wide, due, span.ended is None, COLOURS[span.tone]))
    return Axis(tuple(_ticks(begin.astimezone(zone), whole)), tuple(bars))


def _ticks(first: datetime, whole: float) -> Iterator[tuple[float, str]]:
    """Round times by the clock of ``first``."""
    step = next((step for step in _STEPS if whole / step <= _MOST_TICKS), _STEPS[-1])
    ahead = (first.utcoffset() or timedelta()).total_seconds()
    at = -(-(first.timestamp() + ahead) // step) * step - ahead
    form = (
        "%H:%M:%S"
        if step < _MINUTE
        else "%H:%M"
        if whole < _DAY
        else "%m-%d"
        if step >= _DAY
        else "%m-%d %H:%M"
    )
    while at <= first.timestamp() + whole:
        yield (
            100 * (at - first.timestamp()) / whole,
            datetime.fromtimestamp(at, first.tzinfo).strftime(form),
        )
        at += step


def trend(line: Line, zone: ZoneInfo) -> Trend | None:
    """None where nothing was measured."""
    points = sorted(line.points)
    if not points:
        return None
    values = [value for _at, value in points]
    low, high = _range(values, line.limit)
    begin, end = points[0][0], points[-1][0]
    whole = max(1.0, (end - begin).total_seconds())

    def across(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - 4) * ((at - begin).total_seconds() / whole if len(points) > 1 else 1.0)

    def down(value: float) -> float:
        return TOP + (HEIGHT - 2 * TOP) * (1 - (value - low) / (high - low))

    places = [(across(at), down(value)) for at, value in points]
    form = "%Y-%m-%d" if whole >= 2 * _DAY else "%m-%d %H:%M"
    return Trend(
        line=line,
        curve=" ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        marks=tuple(places if len(places) <= _MOST_MARKS else places[-1:]),
        limit=None if line.limit is None else down(line.limit),
        low=number(low),
        high=number(high),
        began=begin.astimezone(zone).strftime(form),
        ended=end.astimezone(zone).strftime(form),
        newest=number(values[-1]),
        broken=line.limit is not None and values[-1] > line.limit,
    )


def _range(values: Sequence[float], limit: float | None) -> tuple[float, float]:
    """From 0 where nothing is below it: a curve that begins elsewhere makes little look like much."""
    known = [*values, *([] if limit is None else [limit])]
    low, high = min(0.0, *known), max(known)
    return (low, high) if high > low else (low, low + 1.0)


def number(value: float) -> str:
    """Short, as it stands at an axis."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.4g}"
