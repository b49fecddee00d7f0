"""The fault table: which command names each fault, and its verdict with and without it.

A test reports through the fixture `fault`; what a passed test reported is kept in docs/faults.json, and the
whole table is printed at the end of the tests, red where a row is missing or older than a proof may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ledger
import pytest

TABLE = Path(__file__).parents[2] / "docs" / "faults.json"
PROOFS = TABLE.with_name("proof.json")
CLEAN = "tests/lab/test_faults.py::test_twenty_clean_nights_raise_no_false_alarm"
OLDEST_DAYS = 60
STATUS, CHECK, DB, VERIFY = "backup status", "store check", "db status", "backup verify"
FAULTS: dict[str, tuple[str, ...]] = {
    "a flipped byte in a backup file": (VERIFY,),
    "a flipped byte in a WAL segment": (VERIFY,),
    "a flipped byte in a restic pack": (VERIFY,),
    "a flipped byte in a new restic pack": (VERIFY,),
    "a flipped byte in a manifest": (VERIFY,),
    "a flipped byte in a manifest's copy": (VERIFY,),
    "a missing object": (VERIFY,),
    "a wrong key": (VERIFY,),
    "a wrong S3 key": (VERIFY,),
    "an archive gap": (VERIFY,),
    "a full scratch disk": (VERIFY,),
    "the store's certificate has expired": (CHECK, STATUS),
    "the store's certificate ends in 10 days": (STATUS,),
    "a database host's certificate has expired": (DB, STATUS),
    "S3 is down": (CHECK, STATUS),
    "S3 is slow": (CHECK,),
    "S3 is out of room": (CHECK, STATUS),
    "the store's disk is nearly full": (STATUS,),
    "the store's clock is two hours off": (CHECK, STATUS),
    "a database host's clock is two hours off": (STATUS,),
    "the newest backup is from a diverged timeline": (STATUS, VERIFY),
    "the primary's host is powered off under load": (DB,),
    "both database hosts are cut from each other": (DB,),
    "the standby was promoted by hand": (DB,),
    "the old primary comes back under load, its link cut": ("a write to it",),
    "the standby was away for ten minutes, then the primary dies": ("db failover --plan",),
}


@dataclass(frozen=True)
class Look:
    """One look with a command: its verdict in a word, and all that it says against the estate."""

    command: str
    green: bool
    verdict: str
    said: str = ""


@dataclass
class Reports:
    """What one test reports of the table; kept only if the test passes."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def clean(self, name: str, look: Look) -> None:
        """The look without the fault. Fails where that is not green."""
        assert look.green, f"{look.command} without the fault: {look.verdict}: {look.said}"
        self._row(name, look)["without"] = {"verdict": look.verdict}

    def hurt(self, name: str, look: Look, named: str) -> None:
        """The same look with the fault. Fails where it is green, or does not name what it must."""
        assert not look.green, f"{look.command} does not notice: {name}"
        assert named in look.said, f"{look.command} does not name {named!r}: {look.said}"
        self._row(name, look)["with"] = {"verdict": look.verdict, "names": named}

    def _row(self, name: str, look: Look) -> dict[str, Any]:
        assert look.command in FAULTS[name], f"the table has no row for {name} and {look.command}"
        return self.rows.setdefault(key(name, look.command), {})


REPORTS: pytest.StashKey[Reports] = pytest.StashKey()


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Reports:
    """Takes the rows of the fault table that this test proves."""
    return request.node.stash.setdefault(REPORTS, Reports())


def keep(item: pytest.Item) -> None:
    """Write down what a test that has passed reported."""
    reports = item.stash.get(REPORTS, None)
    known = ledger.entries(TABLE)
    for name, sides in (reports.rows if reports else {}).items():
        before = {side: said for side, said in known.get(name, {}).items() if side != "waits"}
        fresh = {side: {**said, **ledger.stamp()} for side, said in sides.items()}
        ledger.keep(TABLE, {name: {**before, **fresh}})


def key(name: str, command: str) -> str:
    return f"{name}: {command}"


def lacks(row: dict[str, Any] | None, today: date) -> str:
    """What a row lacks to be proven today; "" for nothing."""
    if not row:
        return "missing"
    for side in ("without", "with"):
        if side not in row:
            return f"not proven yet {side} the fault"
        if (today - date.fromisoformat(row[side]["date"])).days > OLDEST_DAYS:
            return f"proven {side} the fault long ago, {row[side]['date']}"
    return ""


def lines(rows: dict[str, Any], today: date) -> Iterator[tuple[str, bool]]:
    """The table as text, and whether each line is as it should be."""
    yield f"{'fault':<60} {'looked at with':<18} {'without':<18} {'with':<24} names", True
    for name, commands in FAULTS.items():
        for command in commands:
            row = rows.get(key(name, command))
            if wrong := lacks(row, today):
                yield f"{name:<60} {command:<18} {wrong.upper()}", False
            elif row:
                without, hurt = row["without"], row["with"]
                told = f"{without['verdict']:<18} {hurt['verdict']:<24} {hurt['names']}"
                yield f"{name:<60} {command:<18} {told} ({hurt['commit']}, {hurt['date']})", True


def clean_nights(proofs: dict[str, Any], today: date) -> tuple[str, bool]:
    """The line of the nights without any fault, out of the ledger of long tests."""
    proof = proofs.get(CLEAN, {})
    name = f"{'20 clean nights, one after the other, under load':<60} {VERIFY:<18}"
    if "date" not in proof:
        return f"{name} NOT PROVEN YET", False
    told = f"({proof['commit']}, {proof['date']})"
    if (today - date.fromisoformat(proof["date"])).days > OLDEST_DAYS:
        return f"{name} PROVEN LONG AGO {told}", False
    return f"{name} {'green, and no alarm':<18} {told}", True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if os.environ.get("RMC_DR_LONG") != "all" or config.option.collectonly:
        return
    terminalreporter.section("fault table")
    today = datetime.now(UTC).date()
    nights = clean_nights(ledger.entries(PROOFS), today)
    for line, right in [*lines(ledger.entries(TABLE), today), nights]:
        terminalreporter.write_line(line, **({} if right else {"red": True, "bold": True}))
