"""The confusion matrix of `rmc-dr diagnose`: what was injected, and which leaf the walk ended in.

Rows that are whole and diagonal are kept in docs/diagnosis.json; docs/diagnosis.md shows it, and a test holds
the two together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ledger

RUNS = 5  # of a fault before its row is kept
DOCS = Path(__file__).parents[2] / "docs"
TABLE, PAGE = DOCS / "diagnosis.json", DOCS / "diagnosis.md"
HEAD = """# What `rmc-dr diagnose` makes of faults

The confusion matrix: each fault is put into the lab's running hosts for real, in an order that a seed draws;
the walk is not told which. A row is a fault; the complaint is drawn with it. Only the column `right` may hold
runs. The faults are in `tests/lab/diagnose_faults.py`. To measure them again:

    RMC_DR_LONG=all .venv/bin/pytest -m lab tests/lab/test_diagnose.py

`RMC_DR_DIAGNOSE_ONLY` takes faults by name, with commas between; a row is kept when its five runs were right.

| injected | complaints | runs | right | another leaf | proven |
|---|---|---|---|---|---|
"""
MISSING = "a look that is missing, and no fault; `tests/unit/test_diagnose_tree.py` takes the looks away"
# The leaves that nothing puts in, and why.
NOT_INJECTED: dict[str, str] = {
    **dict.fromkeys(
        (
            "unknown-server", "unknown-network", "unknown-datasource", "unknown-database", "unknown-liberty",
            "unknown-application",
        ),
        MISSING,
    ),
    "look-again": "two looks within seconds contradict each other: a race that cannot be had twice alike",
    "memory-kernel": "a lab host has neither the kernel's log nor, on a machine with cgroup v1, a memory"
    " controller that its systemd knows: nothing in it could tell of such an end",
}  # fmt: skip
TAIL = """
Leaves that are not injected, and why; `tests/unit/diagnose_world.py` has a made sight of each:

| leaf | why |
|---|---|
"""


@dataclass
class Matrix:
    """Counts of what was named, by what was injected; and by which complaint."""

    named: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    trees: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, injected: str, tree: str, named: str) -> None:
        self.named[injected][named] += 1
        self.trees[injected][tree] += 1

    def wrong(self) -> dict[str, dict[str, int]]:
        """What lies beside the diagonal."""
        beside = {
            injected: {leaf: count for leaf, count in named.items() if leaf != injected}
            for injected, named in self.named.items()
        }
        return {injected: named for injected, named in beside.items() if named}

    def rows(self) -> dict[str, dict[str, Any]]:
        return {
            injected: {
                "named": dict(sorted(named.items())),
                "trees": dict(sorted(self.trees[injected].items())),
            }
            for injected, named in self.named.items()
        }

    def lines(self) -> Iterator[str]:
        for injected, row in sorted(self.rows().items()):
            told = ", ".join(f"{leaf} {count}" for leaf, count in row["named"].items())
            yield f"{injected:<24} {told}"


def keep(matrix: Matrix) -> None:
    """Write down each row that is whole and diagonal, and the page that shows it."""
    stamp, beside = ledger.stamp(), matrix.wrong()
    whole = {
        injected: {**row, **stamp}
        for injected, row in matrix.rows().items()
        if injected not in beside and sum(row["named"].values()) >= RUNS
    }
    ledger.keep(TABLE, whole)
    write_page()


def write_page() -> None:
    PAGE.write_text(page(ledger.entries(TABLE)), encoding="utf-8")


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    matrix = (_row(injected, row) for injected, row in sorted(rows.items()))
    return "".join((HEAD, *matrix, TAIL, *(f"| `{leaf}` | {why} |\n" for leaf, why in NOT_INJECTED.items())))


def _row(injected: str, row: Mapping[str, Any]) -> str:
    if "named" not in row:
        return f"| `{injected}` | | | | | waits since {row['waits']} |\n"
    others = {leaf: count for leaf, count in row["named"].items() if leaf != injected}
    beside = ", ".join(f"`{leaf}` {count}" for leaf, count in others.items()) or "0"
    trees = ", ".join(row["trees"])
    right, runs = row["named"].get(injected, 0), sum(row["named"].values())
    return f"| `{injected}` | {trees} | {runs} | {right} | {beside} | {row['commit']}, {row['date']} |\n"
