"""What a killed process left is removed; what a living one works in is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rmc_dr import scratch

HOLD = """
from rmc_dr import scratch; import time
with scratch.folder() as path:
    print(path, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def holder() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_private_and_gone_at_the_end(temporary: Path):
    with scratch.folder() as path:
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "file").write_text("x")
    assert list(temporary.iterdir()) == []


def test_a_living_process_keeps_its_own_and_a_killed_one_leaves_none():
    process, path = holder()
    with scratch.folder():
        assert path.is_dir()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert path.is_dir()
    with scratch.folder():
        assert not path.exists()


def test_what_is_no_folder_of_ours_stays(temporary: Path):
    (temporary / "rmc-dr-note").write_text("a file")
    (temporary / "target").mkdir()
    (temporary / "rmc-dr-link").symlink_to(temporary / "target")
    with scratch.folder():
        assert {path.name for path in temporary.iterdir()} > {"rmc-dr-note", "target", "rmc-dr-link"}
