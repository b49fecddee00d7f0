"""What the contract's reports consist of, before anybody decides how they look: sections of blocks.

Texts are in the operator's language and plain: whoever renders them escapes them. Nothing here reads or asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from rmc_dr.i18n import language


class Tone(StrEnum):
    """How a line is meant; it never stands alone, the words say the same."""

    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True)
class Pairs:
    """A label and its value, one below the other."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    cells: Sequence[str]
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Table:
    """``empty`` is printed where there is no row: what nobody filled in is "not done", never a blank."""

    columns: Sequence[str]
    rows: Sequence[Row]
    empty: str


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Tick:
    """A thing looked at by hand: ``good`` or at fault; None prints an empty box for a pen."""

    text: str
    good: bool | None = None
    remark: str = ""


@dataclass(frozen=True)
class Ticks:
    items: Sequence[Tick]


@dataclass(frozen=True)
class Figure:
    """One of a few large figures at the top."""

    label: str
    value: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Span:
    """One bar of a chart over time; without an end it goes on. ``due`` is a mark on it, a deadline."""

    label: str
    began: datetime
    ended: datetime | None = None
    due: datetime | None = None
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class TimeChart:
    """Bars under one axis of time, told apart by their labels; ``caption`` says what they are."""

    caption: str
    spans: Sequence[Span]


@dataclass(frozen=True)
class Line:
    """One series of measured points; ``limit`` is what it must not pass."""

    label: str
    unit: str
    points: Sequence[tuple[datetime, float]]
    limit: float | None = None


@dataclass(frozen=True)
class TrendChart:
    """Small charts side by side, one a series."""

    caption: str
    lines: Sequence[Line]


Block = Pairs | Table | Words | Ticks | TimeChart | TrendChart


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """One report.

    ``kind`` is incident, progress, inspection, monthly or drill; ``about`` says which one of its kind (an
    incident's id, a month as 2026-11); ``data`` is the report for machines, with English keys, made from the
    same facts. ``timezone`` is the centre's, by whose clock every moment is shown. ``language`` is the one
    that its texts are in; it is rendered in no other.
    """

    kind: str
    about: str
    title: str
    centre: str
    made: datetime
    timezone: str
    figures: Sequence[Figure]
    sections: Sequence[Section]
    data: Mapping[str, Any]
    foot: str
    language: str = field(default_factory=language)
