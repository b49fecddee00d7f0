"""docs/benchmarks.md: each part's run fills its own section, and leaves the words around it alone."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from measure import Row, growth

from rmc_dr import content

PAGE = content.root() / "docs" / "benchmarks.md"
COLUMNS = ("what", "measured", "against", "ratio", "aim")


def machine() -> str:
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def head(rounds: int) -> str:
    """Where and when, of a section."""
    counted = f"{rounds} rounds" if rounds > 1 else "1 round"
    return f"On {machine()}, {datetime.now(UTC).date()}, {counted}, seconds as median (least to most)."


def table(columns: Sequence[str], lines: Iterable[str]) -> str:
    return "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines])


def section(rounds: int, rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """A section of ratios, with the growth over the sizes and the part's own notes behind."""
    blocks = [head(rounds), table(COLUMNS, (row.line() for row in rows)), *growth(rows), *notes]
    return "\n\n".join(blocks)


def filled(page: str, part: str, text: str) -> str:
    """The page with the section between the part's marks replaced. Raises ValueError where they lack."""
    begin, end = f"<!-- bench: {part} -->\n", f"<!-- end: {part} -->\n"
    before, found, rest = page.partition(begin)
    _old, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"the page has no section {part!r}")
    return f"{before}{begin}\n{text}\n\n{end}{after}"


def write(part: str, text: str, path: Path = PAGE) -> None:
    path.write_text(filled(path.read_text(), part, text))
