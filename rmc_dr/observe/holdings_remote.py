"""Runs on a database host (`python3 -`), with nothing but its standard library: what its data holds.

Reads only, whether PostgreSQL runs or not, and prints one JSON object.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

SEGMENT = re.compile(r"[0-9A-F]{24}")
RECORD = re.compile(r"len \(rec/tot\):\s*\d+/\s*(\d+),.*? lsn: ([0-9A-F]+/[0-9A-F]+)")
COMMIT = re.compile(r" lsn: ([0-9A-F]+/[0-9A-F]+),.* desc: COMMIT (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)")
SEGMENTS_READ = 16  # a newest commit lies in the newest WAL; an idle pair may need some of the older
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


def position(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def main() -> None:
    data = data_folder(Path("/etc/patroni/config.yml"))
    tell(max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)), data)


def tell(programs: Path, data: Path) -> None:
    control = control_data(programs, data)
    wal = data / "pg_wal"
    segments = sorted(path.name for path in wal.iterdir() if SEGMENT.fullmatch(path.name))
    named = [int(name[:8], 16) for name in segments]
    timeline = max([int(control["Latest checkpoint's TimeLineID"]), *named])
    newest = [name for name in segments if int(name[:8], 16) == timeline]
    size = int(control["Bytes per WAL segment"])
    last, commit, at = newest_records(programs, wal, timeline, start(control, newest, size))
    found = {
        "state": control["Database cluster state"],
        "system_identifier": control["Database system identifier"],
        "timeline": timeline,
        "forks": forks(wal / f"{timeline:08X}.history"),
        "last_lsn": last,
        "commit_lsn": commit,
        "commit_at": at,
        "managed": subprocess.run(["systemctl", "is-active", "--quiet", "patroni"], check=False).returncode
        == 0,
    }
    sys.stdout.write(json.dumps(found) + "\n")


def data_folder(configuration: Path) -> Path:
    lines = (line.partition(":") for line in configuration.read_text().splitlines())
    return Path(next(value.strip() for key, _colon, value in lines if key.strip() == "data_dir"))


def control_data(programs: Path, data: Path) -> dict[str, str]:
    said = subprocess.run(
        [programs / "pg_controldata", data], env=ENVIRONMENT, capture_output=True, text=True, check=True
    ).stdout
    pairs = (line.split(":", 1) for line in said.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def start(control: dict[str, str], segments: list[str], size: int) -> int:
    """A position to read from: some segments before the last checkpoint, as far as they are there."""
    per_log = (1 << 32) // size
    held = sorted((int(name[8:16], 16) * per_log + int(name[16:], 16)) * size for name in segments)
    redo = position(control["Latest checkpoint's REDO location"])
    before = [begin for begin in held if begin <= redo]
    return before[-SEGMENTS_READ:][0] if before else held[0]


def forks(history: Path) -> list[tuple[int, int]]:
    if not history.exists():
        return []
    lines = [line.split() for line in history.read_text().splitlines()]
    return [(int(words[0]), position(words[1])) for words in lines if len(words) > 1 and words[0].isdigit()]


def newest_records(
    programs: Path, wal: Path, timeline: int, begin: int
) -> tuple[int | None, int | None, str | None]:
    """The end of the last record, and position and time of the last commit. Ends where the WAL ends."""
    origin = f"{begin >> 32:X}/{begin & 0xFFFFFFFF:X}"
    words = [str(programs / "pg_waldump"), "-p", str(wal), "-t", str(timeline), "-s", origin]
    last = commit = at = None
    with subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as reading:
        for line in reading.stdout or ():
            if found := RECORD.search(line):
                last = position(found[2]) + int(found[1])
            if done := COMMIT.search(line):
                commit, at = position(done[1]), done[2]
    return last, commit, at


if __name__ == "__main__":
    main()
