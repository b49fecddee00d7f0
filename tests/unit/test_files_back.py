"""Files come back from a snapshot: the right one is chosen, and what is there now is never lost."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content

sys.path.insert(0, str(content.root() / "roles/file_backup/library"))
from files_back import Wrong, choose, merge


def snapshot(name: str, time: str) -> dict[str, str]:
    return {"short_id": name, "time": time}


TAKEN = [
    snapshot("noon", "2026-11-23T12:00:00.123456789+08:00"),
    snapshot("night", "2026-11-23T20:00:00Z"),
    snapshot("morning", "2026-11-24T08:00:00+08:00"),
]


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        ("latest", "morning"),
        ("2026-11-24 00:00:00+00:00", "morning"),
        ("2026-11-23T23:59:59+00:00", "night"),
        ("2026-11-23T12:00:01+08:00", "noon"),
    ],
)
def test_the_newest_that_is_not_younger(to, wanted):
    assert choose(TAKEN, to)["short_id"] == wanted


@pytest.mark.parametrize("known", [[], TAKEN])
def test_no_snapshot_is_said(known):
    with pytest.raises(Wrong, match="no snapshot"):
        choose(known, datetime(2020, 1, 1, tzinfo=UTC).isoformat())


@pytest.mark.parametrize("to", ["yesterday", "2026-11-24T00:00:00"])
def test_what_is_no_moment_is_said(to):
    with pytest.raises(Wrong, match=r"Nothing was changed\.$"):
        choose(TAKEN, to)


def test_what_is_kept_already_is_never_replaced(tmp_path: Path):
    place, aside = write(tmp_path / "place", {"a": b"now"}), write(tmp_path / "aside", {"a": b"kept"})
    with pytest.raises(Wrong, match="kept already"):
        merge(write(tmp_path / "staged", {"a": b"before"}), place, aside)
    assert (contents(place), contents(aside)) == ({"a": b"now"}, {"a": b"kept"})


def test_a_file_where_a_folder_was_goes_aside(tmp_path: Path):
    place, aside = write(tmp_path / "place", {"d": b"now"}), tmp_path / "aside"
    assert merge(write(tmp_path / "staged", {"d/c": b"before"}), place, aside)["replaced"] == 1
    assert (contents(place), contents(aside)) == ({"d/c": b"before"}, {"d": b"now"})


trees = st.dictionaries(
    st.sampled_from(["a", "b", "d/c", "d/e/f", "g"]), st.binary(min_size=1, max_size=3), max_size=5
)


def write(folder: Path, tree: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content_ in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content_)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(before=trees, now=trees)
def test_nothing_is_lost_and_the_snapshot_stands(tmp_path_factory, before, now):
    root = tmp_path_factory.mktemp("files")
    place, aside = write(root / "place", now), root / "aside"
    counts = merge(write(root / "staged", before), place, aside)
    after, kept = contents(place), contents(aside) if aside.exists() else {}
    assert after == {**now, **before}
    assert kept == {name: data for name, data in now.items() if name in before and before[name] != data}
    assert counts["replaced"] == len(kept)
    assert counts["restored"] == len(before.keys() - now.keys())
