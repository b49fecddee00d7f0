"""How much of a document is laid out: thousands of rows take minutes, and nobody reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rmc_dr.i18n import _
from rmc_dr.report.document import (
    Block,
    Document,
    Pairs,
    Row,
    Section,
    Span,
    Table,
    Tick,
    Ticks,
    TimeChart,
    Tone,
    TrendChart,
    Words,
)

ROOM = 400  # lines of one section, the longest row of all among them
COLUMNS = 80  # characters of a line, about
# What a block consists of; a paragraph is whole or not there.
PARTS: Mapping[type[Block], str] = {
    Pairs: "rows",
    Table: "rows",
    Ticks: "items",
    TimeChart: "spans",
    TrendChart: "lines",
}


def fitted(document: Document) -> Document:
    """The document with so much of each section as finds room; what is left out is counted there."""
    return replace(document, sections=[_fitted(section) for section in document.sections])


def _fitted(section: Section) -> Section:
    blocks, room, left_out = list[Block](), ROOM, 0
    block: Any
    for block in section.blocks:
        name = PARTS.get(type(block))
        parts: Sequence[Any] = getattr(block, name) if name else [block]
        kept, room = _kept(parts, room)
        left_out += len(parts) - kept
        if kept == len(parts):
            blocks.append(block)
        elif name and kept:
            blocks.append(replace(block, **{name: parts[:kept]}))
    if left_out:
        text = _("... and {count} more, all in the JSON of this report").format(count=left_out)
        blocks.append(Words(text, Tone.OPEN))
    return replace(section, blocks=blocks)


def _kept(parts: Sequence[Any], room: int) -> tuple[int, int]:
    """How many parts fit, and the room behind them; behind one that did not fit there is none."""
    for number, part in enumerate(parts):
        lines = 1 + sum(map(len, _texts(part))) // COLUMNS
        if lines > room:
            return number, 0
        room -= lines
    return len(parts), room


def _texts(part: Any) -> Iterator[str]:
    match part:
        case Row(cells=cells):
            yield from cells
        case Tick(text=text, remark=remark):
            yield from (text, remark)
        case Words(text=text) | Span(label=text):
            yield text
        case tuple():
            yield from part
