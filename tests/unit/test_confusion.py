"""The page of the confusion matrix shows its table, and every fault of the lab has its row, diagonal."""

from __future__ import annotations

import ast
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/lab"))
import confusion  # noqa: E402
from test_proof import is_old  # noqa: E402

from rmc_dr.diagnose.tree import TREES, trees  # noqa: E402


def rows() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(confusion.TABLE.read_text())
    return found


def injected() -> set[str]:
    """The faults that tests/lab/diagnose_faults.py knows, read from its text."""
    tree = ast.parse((ROOT / "tests/lab/diagnose_faults.py").read_text())
    table = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "FAULTS"
    )
    assert isinstance(table, ast.Dict)
    names = {key.value for key in table.keys if isinstance(key, ast.Constant)}
    return names | {f"datasource-{what}" for what in ("host", "port", "database", "user", "tls", "absent")}


def test_the_page_shows_the_table() -> None:
    assert confusion.PAGE.read_text(encoding="utf-8") == confusion.page(rows())


def test_every_fault_has_its_row_and_each_is_a_leaf() -> None:
    assert set(rows()) == injected()
    assert set(rows()) <= set(trees().leaves)


def test_what_is_not_injected_has_a_reason_and_every_leaf_is_one_or_the_other() -> None:
    assert injected() | set(confusion.NOT_INJECTED) == set(trees().leaves)
    assert not injected() & set(confusion.NOT_INJECTED)
    assert all(len(why) > 40 for why in confusion.NOT_INJECTED.values())


def test_the_matrix_is_diagonal_and_not_too_old() -> None:
    today = datetime.now(UTC).date()
    for name, row in rows().items():
        assert not is_old(row, today), name
        assert "waits" in row or set(row["named"]) == {name}, name
        assert set(row.get("trees", {})) <= set(TREES)


def test_what_lies_beside_the_diagonal_is_wrong() -> None:
    matrix = confusion.Matrix()
    matrix.add("port-dropped", "login", "port-dropped")
    assert matrix.wrong() == {}
    matrix.add("port-dropped", "db-timeout", "port-rejected")
    assert matrix.wrong() == {"port-dropped": {"port-rejected": 1}}
    assert list(matrix.lines()) == ["port-dropped             port-dropped 1, port-rejected 1"]


def test_a_row_tells_what_was_right_and_what_was_not() -> None:
    matrix = confusion.Matrix()
    for named in ("lock-idle", "lock-idle", "pool-full"):
        matrix.add("lock-idle", "login", named)
    row = {"lock-idle": {**matrix.rows()["lock-idle"], "commit": "abc", "date": "2026-11-25"}}
    told = confusion.page(row)
    assert "| `lock-idle` | login | 3 | 2 | `pool-full` 1 | abc, 2026-11-25 |\n" in told
    assert told.count("| `look-again` |") == 1


def test_only_a_whole_diagonal_row_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(confusion, "TABLE", tmp_path / "table.json")
    monkeypatch.setattr(confusion, "PAGE", tmp_path / "page.md")
    matrix = confusion.Matrix()
    for _ in range(confusion.RUNS):
        matrix.add("healthy", "login", "healthy")
        matrix.add("lock-idle", "login", "lock-idle")
    matrix.add("lock-idle", "login", "pool-full")
    matrix.add("port-dropped", "login", "port-dropped")
    confusion.keep(matrix)
    known = json.loads((tmp_path / "table.json").read_text())
    assert {name: row["named"] for name, row in known.items()} == {"healthy": {"healthy": confusion.RUNS}}
    assert (tmp_path / "page.md").read_text() == confusion.page(known)
