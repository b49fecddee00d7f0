"""One document as a page, as a PDF and as JSON: the same words everywhere, made harmless before."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape
from rich.cells import cell_len

from rmc_dr.i18n import speaking
from rmc_dr.redact import Redactor
from rmc_dr.report.charts import Axis, Trend, axis, number, trend
from rmc_dr.report.clean import as_json, cleaned
from rmc_dr.report.document import Block, Document, Pairs, Table, Ticks, TimeChart, TrendChart, Words
from rmc_dr.report.page import html_lang, templates
from rmc_dr.report.room import fitted

SHAPES = {
    Pairs: "pairs",
    Table: "table",
    Words: "words",
    Ticks: "ticks",
    TimeChart: "time",
    TrendChart: "trend",
}
NO_GLYPH = ".notdef glyph"  # as WeasyPrint says it of a character that no font has
# What may be broken anywhere, and what nowhere: a hash must not widen a table, nor a moment be torn, nor a
# number from its unit, nor may a column be so narrow that Chinese stands in it sign below sign.
WORDS = re.compile(
    r"(?P<long>[!-~]{21,})|(?P<fixed>"
    r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?|[+-]?\d[\d.,]* (?:[^\W\d_]{1,2}\b|%)|^[\u2e80-\u9fff]{2,5})"
)
SHORT = 12  # columns of a text that stays on one line; a Chinese sign takes two
# One face for both languages, then what has the rare characters; a browser takes what its machine has.
FACE = 'body { font-family: "Noto Sans CJK SC", "HanaMinA", "HanaMinB", sans-serif; }'


@dataclass(frozen=True)
class Rendered:
    """``document`` is what was rendered, made harmless.

    ``pdf`` is empty where this machine cannot make one, and ``without_pdf`` says why. ``missing`` are the
    characters that no font of this machine has; the PDF shows their numbers.
    """

    document: Document
    html: str
    json: str
    pdf: bytes
    pages: int
    missing: tuple[str, ...] = ()
    without_pdf: str = ""


@dataclass(frozen=True)
class Drawn:
    """A block, its kind, and where the marks of its chart stand."""

    it: Block
    shape: str
    axis: Axis | None
    trends: tuple[tuple[str, Trend | None], ...]


def render(document: Document, redactor: Redactor) -> Rendered:
    """The document in its language, without any secret that the redactor knows."""
    with speaking(document.language):
        safe = cleaned(document, redactor)
        shown, told = fitted(safe), as_json(safe)
        page = as_page(shown)
        try:
            pdf, pages, missing = _pdf(page)
            if missing:
                pdf, pages, _left = _pdf(_numbered(as_page(shown, missing), missing))
        except (ImportError, OSError) as error:
            return Rendered(safe, page, told, b"", 0, without_pdf=" ".join(str(error).split())[:200])
    return Rendered(safe, page, told, pdf, pages, missing)


def as_page(document: Document, missing: Iterable[str] = ()) -> str:
    """One self-contained page: no script, no font, no picture from anywhere else."""
    zone = ZoneInfo(document.timezone)
    sections = [
        {"title": section.title, "blocks": [_drawn(block, document.made, zone) for block in section.blocks]}
        for section in document.sections
    ]
    environment = templates()
    environment.filters.update(
        number=number,
        soft=_soft,
        minute=lambda moment: f"{moment.astimezone(zone):%Y-%m-%d %H:%M %z}",
        short=lambda moment: f"{moment.astimezone(zone):%m-%d %H:%M}",
    )
    return environment.get_template("document.html").render(
        document={**vars(document), "sections": sections},
        lang=html_lang(document.language),
        missing=", ".join(map(named, missing)),
    )


def named(sign: str) -> str:
    return f"U+{ord(sign):04X}"


def _drawn(block: Block, now: datetime, zone: ZoneInfo) -> Drawn:
    return Drawn(
        it=block,
        shape=SHAPES[type(block)],
        axis=axis(block, now, zone) if isinstance(block, TimeChart) else None,
        trends=tuple((one.label, trend(one, zone)) for one in block.lines)
        if isinstance(block, TrendChart)
        else (),
    )


def _soft(text: str) -> Markup:
    """The text with its words marked that break in other places than where a browser would."""
    if cell_len(text) <= SHORT:
        return Markup('<span class="fixed">{}</span>').format(text)
    parts, at = [], 0
    for word in WORDS.finditer(text):
        marked = Markup('<span class="{}">{}</span>').format(word.lastgroup, word[0])
        parts += [escape(text[at : word.start()]), marked]
        at = word.end()
    return Markup().join([*parts, escape(text[at:])])


def _pdf(page: str) -> tuple[bytes, int, tuple[str, ...]]:
    """The file, its pages, and the characters that no font had. Raises ImportError or OSError."""
    from weasyprint import CSS, HTML
    from weasyprint.urls import URLFetcher

    nothing = URLFetcher(allowed_protocols=())
    with _missing_glyphs() as missing:
        laid_out = HTML(string=page, url_fetcher=nothing).render(stylesheets=[CSS(string=FACE)])
        made: bytes = laid_out.write_pdf()
    return made, len(laid_out.pages), tuple(sorted(missing))


@contextmanager
def _missing_glyphs() -> Iterator[set[str]]:
    """WeasyPrint draws a box for such a character and says so in its log alone."""
    found: set[str] = set()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said: Any = record.args
            if str(record.msg).startswith(NO_GLYPH) and said:
                found.add(str(said[0]))

    logger, listener = logging.getLogger("weasyprint"), Listener()
    before = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [listener], False
    try:
        yield found
    finally:
        logger.handlers, logger.propagate = before


def _numbered(page: str, missing: Iterable[str]) -> str:
    return page.translate({ord(sign): f"[{named(sign)}]" for sign in missing})
