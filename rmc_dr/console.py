"""Where people read: what the programs, hosts and files of others say is shown, and never obeyed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column

from rmc_dr.words import tame


class Console(console.Console):
    """Square brackets are square brackets and a colon is a colon; no sign of a text steers the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=tame(segment.text))


def name_column(heading: str) -> Column:
    """A table's column of names that somebody will type: whole, while the others give way."""
    return Column(heading, no_wrap=True)
