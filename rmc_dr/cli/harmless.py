"""The console of every command: whatever a host said, or somebody typed, steers no terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rmc_dr.words import harmless


class HarmlessConsole(Console):
    """Styles and movements are rich's own; a control character in a text is shown as one that is none."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)
