"""Records that only grow: a line is whole or was never said, whatever a disk, a power cut or a hand does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rmc_dr import backup_record
from rmc_dr.backup_record import Entry
from rmc_dr.errors import Error
from rmc_dr.files import append_line, read_json
from rmc_dr.publish import shelf
from rmc_dr.record import append_entry

AT = datetime(2026, 11, 25, tzinfo=UTC)
DEEP = b"[" * 200_000
RED = Entry("verify", AT, AT, ok=False, kind="night", about={"red": ["数据库"]})


def report(name: str) -> shelf.Entry:
    return shelf.Entry(name, "incident", "x", "t", "zh", "2026-11-25", "root", "vm", ())


@pytest.mark.parametrize(
    "torn",
    [
        b'{"what": "verify", "about": {"red": ["\xe6\x95\xb0\xe4',
        b'{"what": "verify", "started": "2026-11',
        b"\0" * 40,
    ],
)
def test_a_torn_tail_costs_itself_and_neither_what_stands_before_nor_after(state: Path, torn: bytes) -> None:
    backup_record.append("ours", RED)
    path = backup_record.folder() / "ours.jsonl"
    with path.open("ab") as stream:
        stream.write(torn)
    assert list(backup_record.entries("ours")) == [RED]
    backup_record.append("ours", RED)
    assert list(backup_record.entries("ours")) == [RED, RED]
    assert path.read_bytes().count(torn) in (0, 2)  # the beginning of each line, or of none


@pytest.mark.parametrize(
    "line",
    [
        DEEP,
        b"\xff\xfe",
        b"[]",
        b'{"what": ["verify"], "started": "2026-11-25", "ended": "2026-11-25", "ok": true}',
        b'{"what": "verify", "kind": [], "started": "2026-11-25", "ended": "2026-11-25", "ok": false}',
        b'{"what": "verify", "started": "0001-01-01T00:00+23:59", "ended": "2026-11-25", "ok": true}',
    ],
)
def test_a_line_that_nobody_of_ours_wrote_is_left_out(state: Path, line: bytes) -> None:
    backup_record.append("ours", RED)
    path = backup_record.folder() / "ours.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert list(backup_record.entries("ours")) == [RED]
    assert backup_record.last_red("ours") == ("数据库",)


@pytest.mark.parametrize("about", ['{"red": 5}', '{"red": {"a": 1}}', '{"labels": 5, "read": true}', "{}"])
def test_a_list_that_is_none_breaks_nobody(state: Path, about: str) -> None:
    line = '{"what": "verify", "started": "2026-11-25", "ended": "2026-11-25", "ok": %s, "about": %s}'
    for ok in ("true", "false"):
        append_line(backup_record.folder() / "ours.jsonl", line % (ok, about))
    assert backup_record.last_red("ours") == ("?",)
    assert backup_record.verified("ours") == backup_record.last_read("ours") == {}


@pytest.mark.parametrize(
    "odd",
    [
        DEEP,
        b'{"event": "made", "entry": ' + b'{"a":' * 500 + b"1" + b"}" * 501,
        b'{"event": "made", "entry": {"id": 5, "files": []}}',
        b'{"event": "archived", "id": ["x"], "objects": []}',
        b'{"event": "archived", "id": "one", "objects": [{"name": 1, "key": 2}]}',
        b'{"event": "archived", "id": "one", "objects": [[1]]}',
    ],
)
def test_what_is_no_line_of_the_index_hides_no_report(state: Path, odd: bytes) -> None:
    shelf.add("ours", report("one"))
    with (shelf.folder("ours") / shelf.INDEX).open("ab") as stream:
        stream.write(odd + b"\n")
    shelf.add("ours", report("two"))
    assert list(shelf.entries("ours").values()) == [report("one"), report("two")]


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: append_line(folder / "x.jsonl", "two"),
        lambda folder: append_entry(folder / "x.jsonl", what="two"),
    ],
)
def test_a_full_disk_is_said_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    path, real, full = tmp_path / "x.jsonl", os.write, [False]
    append_line(path, "one")

    def short(descriptor: int, data: bytes) -> int:
        if full[0]:
            raise OSError(28, "No space left on device")
        full[0] = True
        return real(descriptor, data[:2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short)
        with pytest.raises(Error) as refused:
            write(tmp_path)
    assert (refused.value.code, str(path) in refused.value.message) == ("journal-unwritable", True)
    assert path.read_text() == "one\n"


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    append_line(tmp_path / "x.jsonl", "a line of some length")
    assert (tmp_path / "x.jsonl").read_text() == "a line of some length\n"


def test_many_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rmc_dr.files import append_line\n"
        "for n in range(50): append_line(Path(sys.argv[1]), sys.argv[2] * 3000)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "x.jsonl")]
    for process in [subprocess.Popen([*words, sign]) for sign in "abc"]:
        assert process.wait() == 0
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    assert sorted(lines) == [sign * 3000 for sign in "abc" for _n in range(50)]


def test_a_document_that_is_too_deep_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DEEP)
    assert read_json(tmp_path / "x") == {}
