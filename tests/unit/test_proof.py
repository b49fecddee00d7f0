"""The ledger of long tests: every one has a proof in docs/proof.json, and none is too old.

A new test may wait a week for its first proof, if the ledger says since when: {"waits": "2026-11-25"}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDEST_DAYS = 60
LONGEST_WAIT_DAYS = 7
REMEDY = "prove it again: RMC_DR_LONG=all .venv/bin/pytest -m lab '{}'"


def long_tests() -> set[str]:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "lab and long", "tests/lab"],
        cwd=ROOT,
        env={**os.environ, "RMC_DR_LONG": "all"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line for line in collected.stdout.splitlines() if "::" in line}


def test_every_long_test_has_a_proof_that_is_not_too_old():
    proofs = json.loads((ROOT / "docs" / "proof.json").read_text())
    today = datetime.now(UTC).date()
    old = {test for test, proof in proofs.items() if is_old(proof, today)}
    missing = long_tests() - set(proofs)
    assert sorted(proofs.keys() - long_tests()) == [], "the ledger names tests that are gone"
    assert [REMEDY.format(test) for test in sorted(old | missing)] == []


def is_old(proof: dict[str, str], today: date) -> bool:
    if "waits" in proof:
        return (today - date.fromisoformat(proof["waits"])).days > LONGEST_WAIT_DAYS
    return (today - date.fromisoformat(proof["date"])).days > OLDEST_DAYS


def test_what_waits_for_its_first_proof_waits_no_longer_than_a_week():
    today = date(2026, 11, 25)
    assert not is_old({"waits": "2026-11-18"}, today)
    assert is_old({"waits": "2026-11-17"}, today)
    assert not is_old({"date": "2026-09-26"}, today)
    assert is_old({"date": "2026-09-25"}, today)
