"""A part of the benchmark runs alone, and leaves the lab as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import Lab
from pair import Pair

from rmc_dr import content

pytestmark = [pytest.mark.lab, pytest.mark.long]
PAGE = content.root() / "docs" / "benchmarks.md"


def bench(lab: Lab, *words: str) -> str:
    program = [sys.executable, str(content.root() / "tests" / "bench" / "bench.py"), *words, "--print"]
    done = subprocess.run(program, env=lab.env, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_restore_is_measured_and_nothing_stays(healthy: Lab):
    pair = Pair(healthy)
    page = PAGE.read_text()
    said = bench(healthy, "restore", "--sizes", "1", "--rounds", "1")
    rows = [line for line in said.splitlines() if line.startswith("| database restore, 1 GiB |")]
    assert len(rows) == 2
    assert PAGE.read_text() == page
    assert pair.on("verify1", "ls -d /srv/bench 2>/dev/null; true") == ""
    assert "bench" not in pair.sql(pair.primary, "select datname from pg_database").split()
    assert not list(content.STATE.glob("bench-*"))
    pair.until("healthy")
