"""Every secret of the lab, searched for wherever it must not be: while a rebuild runs, and after it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Lab

from rmc_dr import content

pytestmark = [pytest.mark.lab, pytest.mark.long]
SHORTEST = 8
CHUNK = 1 << 22


def needles(lab: Lab) -> set[bytes]:
    """Every secret, and each line of a longer one that tells something."""
    found: set[bytes] = set()
    for secret in lab.estate().opened().values():
        lines = [line.strip() for line in secret.splitlines()]
        found |= {line.encode() for line in lines if len(line) >= SHORTEST and not line.startswith("-----")}
    return found


def holds(path: Path, secrets: set[bytes]) -> bool:
    """Whether a file holds a secret; a zstd file is looked into."""
    if path.suffix == ".zst":
        with subprocess.Popen(["zstd", "-dc", str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            return stream_holds(iter(lambda: process.stdout.read(CHUNK), b""), secrets)
    with path.open("rb") as file:
        return stream_holds(iter(lambda: file.read(CHUNK), b""), secrets)


def stream_holds(chunks: Iterable[bytes], secrets: set[bytes]) -> bool:
    longest = max(map(len, secrets))
    tail = b""
    found = False
    for chunk in chunks:
        window = tail + chunk
        found = found or any(secret in window for secret in secrets)
        tail = window[-longest:]
    return found


def arguments() -> Iterator[bytes]:
    """The arguments of every process of this machine, the lab's hosts included."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield (entry / "cmdline").read_bytes()


class Watch(threading.Thread):
    """Looks at all processes' arguments again and again until told to stop."""

    def __init__(self, secrets: set[bytes]) -> None:
        super().__init__()
        self.secrets = secrets
        self.over = threading.Event()
        self.looks = 0
        self.seen: set[bytes] = set()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.looks += 1
            self.seen |= {line for line in arguments() if any(secret in line for secret in self.secrets)}


def test_the_search_can_find(tmp_path: Path):
    hidden = tmp_path / "a.txt"
    hidden.write_bytes(b"x" * (CHUNK - 4) + b"needle-in-hay")
    assert holds(hidden, {b"needle-in-hay"})


def test_no_secret_leaves_the_vault(healthy: Lab):
    secrets = needles(healthy)
    assert len(secrets) > 10
    watch = Watch(secrets)
    watch.start()
    try:
        said = healthy.ok("drill", "appserver", "--json", timeout=1800)
    finally:
        watch.over.set()
        watch.join()
    assert watch.looks > 100
    assert watch.seen == set()
    assert not stream_holds([said.out.encode(), said.err.encode()], secrets)
    report = healthy.ok("report", "last").out.encode()
    assert not stream_holds([report], secrets)
    folders = [content.STATE / name for name in ("runs", "verify", "kit", "cache")]
    logs = [*(content.STATE / "lab").glob("*.log"), *(content.STATE / "lab").glob("hosts/*/*.log")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()] + logs
    assert [str(path) for path in files if holds(path, secrets)] == []
