"""What is read of a node's data, from PostgreSQL's own tools; here they are played by small scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmc_dr.observe import holdings_remote

SEGMENT = 1 << 24
CONTROL = """\
Database cluster state:               in production
Database system identifier:           7711126302506503136
Latest checkpoint's REDO location:    0/5000028
Latest checkpoint's TimeLineID:       2
Bytes per WAL segment:                16777216
"""
WAL = """\
rmgr: Standby     len (rec/tot):     50/    50, tx:          0, lsn: 0/04000028, prev 0/03FFFFC8, desc: RUNNING_XACTS lsn: 9/9
rmgr: Transaction len (rec/tot):     34/    34, tx:        731, lsn: 0/05513058, prev 0/05513018, desc: COMMIT 2026-11-22 10:00:01.203456 UTC
rmgr: Heap        len (rec/tot):     59/  8211, tx:        732, lsn: 0/05513080, prev 0/05513058, desc: INSERT off: 3, flags: 0x00
"""  # noqa: E501 as PostgreSQL prints it


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory and the two programs that read it."""
    programs, wal = tmp_path / "17" / "bin", tmp_path / "data" / "pg_wal"
    programs.mkdir(parents=True)
    wal.mkdir(parents=True)
    for name, says in (("pg_controldata", CONTROL), ("pg_waldump", WAL)):
        (tmp_path / name).write_text(says)
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/{name}.called\ncat {tmp_path}/{name}\nexit 1\n')
        program.chmod(0o755)
    (programs / "pg_controldata").write_text(f"#!/bin/sh\ncat {tmp_path}/pg_controldata\n")
    for segment in ("000000010000000000000003", "000000020000000000000004", "000000020000000000000005"):
        (wal / segment).touch()
    (wal / "00000002.history").write_text("1\t0/4000000\tno recovery target specified\n")
    return tmp_path / "data"


def test_the_newest_commit_and_the_end_of_the_wal_are_found(data: Path, capsys: pytest.CaptureFixture[str]):
    holdings_remote.tell(data.parent / "17" / "bin", data)
    assert json.loads(capsys.readouterr().out) == {
        "state": "in production",
        "system_identifier": "7711126302506503136",
        "timeline": 2,
        "forks": [[1, 0x4000000]],
        "last_lsn": 0x5513080 + 8211,
        "commit_lsn": 0x5513058,
        "commit_at": "2026-11-22 10:00:01.203456",
        "managed": False,
    }
    called = (data.parent / "pg_waldump.called").read_text().split()
    assert called[2:] == ["-t", "2", "-s", "0/4000000"]


def test_a_first_timeline_has_no_forks(data: Path):
    assert holdings_remote.forks(data / "pg_wal" / "00000001.history") == []


@pytest.mark.parametrize(("held", "expected"), [(range(1, 41), 25), (range(38, 45), 38), (range(41, 43), 41)])
def test_reading_begins_some_segments_before_the_checkpoint(held: range, expected: int):
    control = {"Latest checkpoint's REDO location": f"0/{40 * SEGMENT + 40:X}"}
    names = [f"00000001{0:08X}{number:08X}" for number in held]
    assert holdings_remote.start(control, names, SEGMENT) == expected * SEGMENT
