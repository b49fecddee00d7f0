"""Attachments that a database knows of are counted against the files that are there."""

from __future__ import annotations

import sys
from pathlib import Path

from rmc_dr import content

sys.path.insert(0, str(content.root() / "roles/application/library"))
from attachments_count import SHOWN, count


def test_known_and_missing(tmp_path: Path):
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026/a").write_text("x")
    (tmp_path / "orphan").write_text("x")
    assert count(tmp_path, ["2026/a", "b"]) == {"known": 2, "missing": 1, "first": ["b"]}


def test_a_folder_or_a_path_that_leads_out_is_no_attachment(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    assert count(tmp_path / "in", ["../secret", "."])["missing"] == 2


def test_only_a_few_are_named(tmp_path: Path):
    told = count(tmp_path, [str(number) for number in range(99)])
    assert (told["missing"], len(told["first"])) == (99, SHOWN)  # type: ignore[arg-type]


def test_without_a_folder_all_are_missing(tmp_path: Path):
    assert count(tmp_path / "none", ["a"])["missing"] == 1
