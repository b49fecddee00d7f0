"""The fault table holds every fault, proven on both sides and not long ago, and believes no test."""

from __future__ import annotations

import ast
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/lab"))
from fault_table import CLEAN, FAULTS, TABLE, Look, Reports, clean_nights, key, lacks, lines  # noqa: E402
from test_proof import is_old  # noqa: E402

TODAY = date(2026, 11, 25)
DAY = {"commit": "abc", "date": "2026-11-20"}
SIDE = {"without": {"verdict": "green", **DAY}, "with": {"verdict": "red", "names": "x", **DAY}}
NAME, COMMAND = "an archive gap", "backup verify"
GREEN, RED = Look(COMMAND, True, "green"), Look(COMMAND, False, "red", "segment 7 is not there")


def test_every_fault_has_its_row_and_none_is_too_old() -> None:
    rows = json.loads(TABLE.read_text())
    today = datetime.now(UTC).date()
    wanted = {key(name, command) for name, commands in FAULTS.items() for command in commands}
    assert set(rows) == wanted
    waits = {name for name, row in rows.items() if "waits" in row and not is_old(row, today)}
    assert {name: wrong for name in wanted - waits if (wrong := lacks(rows[name], today))} == {}


def test_every_fault_is_put_in_by_a_test() -> None:
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "tests/lab").glob("test_*.py"))]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(FAULTS) - texts == set()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (SIDE, ""),
        (None, "missing"),
        ({"waits": "2026-11-25"}, "not proven yet without"),
        ({"without": SIDE["without"]}, "not proven yet with the fault"),
        ({**SIDE, "without": {"verdict": "green", "date": "2026-09-25"}}, "long ago"),
    ],
)
def test_what_a_row_lacks(row: dict[str, Any] | None, said: str) -> None:
    assert said in lacks(row, TODAY)
    assert bool(lacks(row, TODAY)) is bool(said)


@pytest.mark.parametrize(
    ("proof", "said", "right"),
    [
        ({"commit": "abc", "date": "2026-11-20"}, "no alarm", True),
        ({"commit": "abc", "date": "2026-09-20"}, "LONG AGO", False),
        ({"waits": "2026-11-25"}, "NOT PROVEN", False),
        (None, "NOT PROVEN", False),
    ],
)
def test_the_clean_nights_have_a_line_of_their_own(
    proof: dict[str, Any] | None, said: str, right: bool
) -> None:
    line, well = clean_nights({CLEAN: proof} if proof else {}, TODAY)
    assert (said in line, well) == (True, right)
    assert CLEAN in json.loads(TABLE.with_name("proof.json").read_text())


def test_the_table_is_red_where_a_row_is_missing() -> None:
    told = dict(lines({key(NAME, COMMAND): SIDE}, TODAY))
    right = [line for line, well in told.items() if well and line.startswith(NAME)]
    assert len(right) == 1
    assert "(abc, 2026-11-20)" in right[0]
    assert sum(not well for well in told.values()) == sum(map(len, FAULTS.values())) - 1


def test_a_row_is_taken_only_where_the_look_earns_it() -> None:
    reports = Reports()
    with pytest.raises(AssertionError, match="without the fault"):
        reports.clean(NAME, RED)
    with pytest.raises(AssertionError, match="does not notice"):
        reports.hurt(NAME, GREEN, "segment 7")
    with pytest.raises(AssertionError, match="does not name"):
        reports.hurt(NAME, RED, "segment 8")
    with pytest.raises(AssertionError, match="no row"):
        reports.clean(NAME, Look("db status", True, "healthy"))
    assert reports.rows == {}
    reports.clean(NAME, GREEN)
    reports.hurt(NAME, RED, "segment 7")
    assert reports.rows == {
        key(NAME, COMMAND): {
            "without": {"verdict": "green"},
            "with": {"verdict": "red", "names": "segment 7"},
        }
    }
