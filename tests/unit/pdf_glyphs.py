"""What a PDF says and what it shows: its text, and the characters whose glyph is a box or nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from fontTools.pens.boundsPen import BoundsPen
from fontTools.ttLib import TTFont
from pypdf import PdfReader

SHOWN = re.compile(rb"/(\S+) [\d.]+ Tf|<([0-9a-f]+)>", re.IGNORECASE)


def text(pdf: bytes) -> str:
    """All of it, without line breaks and spaces: a long line is broken anywhere."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return "".join("".join(page.extract_text() for page in pages).split())


def pages(pdf: bytes) -> int:
    return len(PdfReader(io.BytesIO(pdf)).pages)


def not_shown(pdf: bytes) -> set[str]:
    """Every glyph that the pages show and that its embedded font draws as its box, or not at all."""
    wrong = set()
    for page in PdfReader(io.BytesIO(pdf)).pages:
        fonts = {name[1:]: _Font(one.get_object()) for name, one in page["/Resources"]["/Font"].items()}
        for name, glyph in _glyphs(page.get_contents().get_data()):
            if not fonts[name].draws(glyph):
                wrong.add(f"{fonts[name].name}: {glyph}")
    return wrong


def _glyphs(content: bytes) -> Iterator[tuple[str, int]]:
    font = ""
    for found in SHOWN.finditer(content):
        if found[1]:
            font = found[1].decode()
        elif font:
            yield from ((font, int(found[2][at : at + 4], 16)) for at in range(0, len(found[2]), 4))


class _Font:
    def __init__(self, font: Any) -> None:
        self.name = str(font["/BaseFont"])
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        program = descriptor.get("/FontFile3") or descriptor["/FontFile2"]
        self._font = TTFont(io.BytesIO(program.get_object().get_data()))
        self._glyphs = self._font.getGlyphSet()
        self._blank = self._spaces(font["/ToUnicode"].get_object().get_data().decode())

    @staticmethod
    def _spaces(cmap: str) -> set[int]:
        pairs = re.findall(r"<([0-9a-f]+)> <([0-9a-f]+)>", cmap, re.IGNORECASE)
        return {int(code, 16) for code, said in pairs if not bytes.fromhex(said).decode("utf-16-be").strip()}

    def draws(self, glyph: int) -> bool:
        if glyph == 0 or glyph >= self._font["maxp"].numGlyphs:
            return False
        pen = BoundsPen(self._glyphs)
        self._glyphs[self._font.getGlyphName(glyph)].draw(pen)
        return pen.bounds is not None or glyph in self._blank
