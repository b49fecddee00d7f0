"""Where people read: what the programs, hosts and files of others say is shown, and never obeyed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich import console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from rmc_dr.words import tame

_WIDEST = 10_000


class Console(console.Console):
    """Square brackets are square brackets and a colon is a colon; no sign of a text steers the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        self._knows_its_width = self.is_terminal or "width" in options or "COLUMNS" in os.environ
        self._wide = False

    def print(self, *objects: Any, **options: Any) -> None:
        """A table's cells wrap on a terminal; elsewhere each row is a line, whole, for grep and cut."""
        if not any(isinstance(one, Table) for one in objects):
            super().print(*objects, **options)
            return
        self._wide = not self._knows_its_width
        try:
            super().print(*objects, soft_wrap=False, crop=not self._wide, **options)
        finally:
            self._wide = False

    @property
    def options(self) -> ConsoleOptions:
        return super().options.update(width=_WIDEST) if self._wide else super().options

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(tame(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=tame(segment.text))


def name_column(heading: str) -> Column:
    """A table's column of names that somebody will type: whole, while the others give way."""
    return Column(heading, no_wrap=True)
