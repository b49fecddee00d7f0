"""The lab for the tests that need real hosts. A missing environment fails here; it never skips."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fault_table
import ledger
import pytest
from fault_table import fault, pytest_terminal_summary

from rmc_dr import content
from rmc_dr.estate import Estate, load

__all__ = ["fault", "pytest_terminal_summary"]  # pytest finds them here

RMC_DR = Path(sys.executable).parent / "rmc-dr"
INVENTORY = content.root() / "inventories" / "lab"
CHUNK = 1 << 22
PRIVATE_FILES = ("id_ed25519", "kit_signing_key", "evidence_signing_key", "control.key", "vault-password")
SHORTEST_SECRET = 8
PROOF = content.root() / "docs" / "proof.json"


@dataclass(frozen=True)
class Said:
    """How a command ended: exit code, and what it said on both outputs."""

    code: int
    out: str
    err: str

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


@dataclass(frozen=True)
class Lab:
    """The running lab, driven as an operator would: by the command line."""

    env: dict[str, str] = field(
        default_factory=lambda: {**os.environ, "RMC_DR_LANG": "en", "RMC_DR_INVENTORY": str(INVENTORY)}
    )

    def run(self, *words: str, timeout: float = 900, stdin: str = "") -> Said:
        done = subprocess.run(
            [str(RMC_DR), *words], env=self.env, input=stdin, capture_output=True, text=True, timeout=timeout
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def by_hand(self, playbook: str, *words: str, inventory: Path = INVENTORY, timeout: float = 300) -> Said:
        """A playbook, played as somebody does who has no rmc-dr."""
        program = str(RMC_DR.with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", str(inventory), f"playbooks/{playbook}", *words],
            cwd=content.root(),
            env={**self.env, "PATH": f"{RMC_DR.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, timeout: float = 900) -> Said:
        said = self.run(*words, timeout=timeout)
        assert said.code == 0, (
            f"rmc-dr {' '.join(words)} ended with {said.code}\n{said.out[-3000:]}\n{said.err[-3000:]}"
        )
        return said

    def popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(RMC_DR), *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # nobody reads it, and a full pipe would stop the command
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def estate(self) -> Estate:
        return load(INVENTORY)

    def disk(self, host: str) -> Path:
        identity = self.estate().host(host).identity
        assert identity is not None
        return content.STATE / "lab" / "hosts" / host / identity.disk


def content_hash(path: Path) -> str:
    """SHA-256 over all that a sparse file holds, and where; holes are not read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size, at = path.stat().st_size, 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            digest.update(f"{at} {end} ".encode())
            file.seek(at)
            while at < end:
                chunk = file.read(min(CHUNK, end - at))
                digest.update(chunk)
                at += len(chunk)
    return digest.hexdigest()


def secret_lines(lab: Lab) -> set[str]:
    """Every secret of the lab, a key line by line: whoever holds one line of a key has leaked it."""
    estate = lab.estate()
    texts = [*estate.opened().values(), *((estate.private_dir / name).read_text() for name in PRIVATE_FILES)]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    # The first line of an OpenSSH key only says what kind of key follows.
    return {
        line
        for line in lines
        if len(line) >= SHORTEST_SECRET and "-----" not in line and not line.startswith("b3BlbnNzaC1rZXktdjE")
    }


def copy_inventory(folder: Path) -> Path:
    """A copy of the lab's inventory; whatever it is made to say, the machines stay what they are."""
    copy = folder / "inventory"
    shutil.copytree(INVENTORY, copy)
    return copy


def serving(lab: Lab) -> bool:
    """Whether the application server passes every check and its users' journeys."""
    return lab.run("verify", "appserver").code == 0


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, up and healed. It stays up for the next test; `make clean` takes it down."""
    if os.geteuid() != 0:
        pytest.fail("the lab needs root")
    machine = Lab()
    machine.ok("kit", "build", timeout=2400)
    machine.ok("lab", "up", timeout=1200)
    return machine


@pytest.fixture
def healthy(lab: Lab) -> Lab:
    """The lab with every host well and no run open, whatever the test before left behind."""
    lab.run("runs", "abandon", "last", "--reason", "left by an earlier test")
    lab.ok("lab", "heal")
    return lab


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> random.Random:
    """Random moments that can be had again: RMC_DR_SEED, else the day."""
    value = int(os.environ.get("RMC_DR_SEED", datetime.now(UTC).strftime("%Y%m%d")))
    request.node.user_properties.append(("RMC_DR_SEED", value))
    return random.Random(f"{value}:{request.node.nodeid}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test` proves again the long test that was proven longest ago; RMC_DR_LONG=all runs them all.

    One without a proof in the ledger waits for `make test-all`, which writes it; a slow one always does.
    """
    wanted = os.environ.get("RMC_DR_LONG", "1")
    if wanted == "all":
        return
    known = ledger.entries(PROOF)
    long = [item for item in items if item.get_closest_marker("long")]
    proven = sorted(
        (
            item
            for item in long
            if "date" in known.get(item.nodeid, {}) and not item.get_closest_marker("slow")
        ),
        key=lambda item: known[item.nodeid]["date"],
    )
    left_out = set(long) - set(proven[: int(wanted)])
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Callable[[], Any] = yield
    report = outcome.get_result()
    if report.when == "call" and report.passed:
        fault_table.keep(item)
        if item.get_closest_marker("long"):
            ledger.keep(PROOF, {item.nodeid: {**ledger.stamp(), "seconds": round(report.duration)}})
