"""Every secret of the lab, searched for wherever it must not be: while a rebuild runs, and after it."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Lab, secret_lines

from rmc_dr import content

pytestmark = [pytest.mark.lab, pytest.mark.long]
CHUNK = 1 << 22
# Where playbooks work while they run: our own folders, and the one that Ansible takes unless told otherwise.
OURS = (Path(tempfile.gettempdir()), "rmc-dr-*")
ANSIBLES = (Path.home() / ".ansible/tmp", "*")
RENDERED = "rendered"


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
    """Looks at all processes' arguments and at the playbooks' folders again and again until told to stop."""

    def __init__(self, secrets: set[bytes], *places: tuple[Path, str]) -> None:
        super().__init__()
        self.secrets = secrets
        self.places = places
        self.over = threading.Event()
        self.looks = 0
        self.seen: set[bytes] = set()
        self.known: dict[Path, tuple[int, int]] = {}
        self.files: dict[Path, int] = {}  # who holds a secret: the mode of the folder that shuts it in

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.look()

    def look(self) -> None:
        self.looks += 1
        self.seen |= {line for line in arguments() if any(secret in line for secret in self.secrets)}
        for folder, pattern in self.places:
            for top in folder.glob(pattern):
                for where, _folders, names in os.walk(top):
                    for name in names:
                        with suppress(OSError):
                            self.read(Path(where, name), top)

    def read(self, path: Path, top: Path) -> None:
        """A file that has not changed since the last look is not read again."""
        status = path.lstat()
        version = (status.st_mtime_ns, status.st_size)
        if not stat.S_ISREG(status.st_mode) or self.known.get(path) == version:
            return
        self.known[path] = version
        if holds(path, self.secrets):
            self.files[path] = stat.S_IMODE(top.stat().st_mode)


def test_the_search_can_find(tmp_path: Path):
    hidden = tmp_path / "a.txt"
    hidden.write_bytes(b"x" * (CHUNK - 4) + b"needle-in-hay")
    assert holds(hidden, {b"needle-in-hay"})


def test_the_watch_can_find(tmp_path: Path):
    watch = Watch({b"needle-in-hay"}, (tmp_path, "rmc-dr-*"))
    hidden = tmp_path / "rmc-dr-x/runner/artifacts/command"
    hidden.parent.mkdir(parents=True)
    hidden.write_bytes(b"nothing")
    watch.look()
    assert watch.files == {}
    hidden.write_bytes(b"PASSWORD=needle-in-hay")
    (tmp_path / "rmc-dr-x").chmod(0o750)
    watch.look()
    assert watch.files == {hidden: 0o750}


def test_no_secret_leaves_the_vault(healthy: Lab, tmp_path: Path):
    """While playbooks run: nowhere, but for the templates that Ansible renders before it sends them, in a
    folder that nobody but root can enter. Afterwards: nowhere.
    """
    secrets = {line.encode() for line in secret_lines(healthy)}
    assert len(secrets) > 20
    watch = Watch(secrets, OURS, ANSIBLES)
    watch.start()
    try:
        said = healthy.ok("drill", "appserver", "--json", timeout=1800)
        healthy.ok("fence", "release", "app1")
        words = ("--notes", "演练", "--training", "no", "--without-consent", "a rehearsal", "--yes")
        healthy.ok("deploy", "management", "--release", "1.0.0", *words)
    finally:
        watch.over.set()
        watch.join()
    assert watch.looks > 100
    assert any(path.name.endswith(".json") for path in watch.known), "it has not seen a playbook at work"
    assert watch.seen == set()
    rendered = {path: mode for path, mode in watch.files.items() if RENDERED in path.parts}
    assert watch.files.keys() - rendered.keys() == set()
    assert set(rendered.values()) <= {0o700}, rendered
    left = [path for folder, pattern in (OURS, ANSIBLES) for path in folder.glob(f"{pattern}/**/*")]
    assert [str(path) for path in left if path.is_file() and holds(path, secrets)] == []

    assert not stream_holds([said.out.encode(), said.err.encode()], secrets)
    page = tmp_path / "page.html"
    report = (
        healthy.ok("report", "run", "last").out + healthy.ok("report", "run", "last", "--html", str(page)).out
    )
    assert not stream_holds([report.encode()], secrets)
    assert "<html" in page.read_text()
    folders = [content.STATE / name for name in ("runs", "verify", "kit", "cache", "logs")]
    logs = [*(content.STATE / "lab").glob("*.log"), *(content.STATE / "lab").glob("hosts/*/*.log")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()] + logs
    assert {path.relative_to(content.STATE).parts[0] for path in files} >= {"runs", "kit", "logs"}
    assert [str(path) for path in [*files, page] if holds(path, secrets)] == []
