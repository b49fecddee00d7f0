"""Every secret of the lab, searched for wherever it must not be: while a rebuild runs, and after it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import INVENTORY, Lab, copy_inventory, secret_lines
from pypdf import PdfReader

from rmc_dr import content
from rmc_dr.estate import load
from rmc_dr.evidence.folder import Kept
from rmc_dr.evidence.manifest import read as read_manifest

pytestmark = [pytest.mark.lab, pytest.mark.long]
CHUNK = 1 << 22
# Where playbooks work while they run: our own folders, and the one that Ansible takes unless told otherwise.
OURS = (Path(tempfile.gettempdir()), "rmc-dr-*")
ANSIBLES = (Path.home() / ".ansible/tmp", "*")
RENDERED = "rendered"
WRITTEN = ("runs", "incidents", "reports", "inspections", "drills")  # what rmc-dr keeps and reports of
# What a patient is called in the hospital's database and logs; nobody is.
NAME, NUMBER = "王小测", "ZY-20261125-0417"
PSQL = "runuser -u postgres -- psql -X -q -d management -c"
PLANT = f"""
{PSQL} "insert into patients (id, code) values (gen_random_uuid(), '{NAME} {NUMBER}')"
{PSQL} "select '{NAME} {NUMBER}'::int" 2>/dev/null
logger -t rmc-dr-test -p user.err "patient {NAME} {NUMBER} not found"
"""  # noqa: S608
UPROOT = f"{PSQL} \"delete from patients where code like '{NAME}%'\""  # noqa: S608


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
    folders = [content.STATE / name for name in (*WRITTEN, "verify", "kit", "cache", "logs")]
    logs = [*(content.STATE / "lab").glob("*.log"), *(content.STATE / "lab").glob("hosts/*/*.log")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()] + logs
    assert {path.relative_to(content.STATE).parts[0] for path in files} >= {"runs", "kit", "logs"}
    assert [str(path) for path in [*files, page] if holds(path, secrets)] == []


@pytest.fixture
def named(healthy: Lab) -> Iterator[set[bytes]]:
    """A patient in the primary's database and in its logs; what a leak would show of him."""
    seen = json.loads(healthy.run("db", "status", "--json").out)
    [primary] = [node["name"] for node in seen["seen"]["nodes"] if node["role"] == "primary"]
    healthy.ok("lab", "exec", primary, "sh", "-c", f"{PLANT}\ntrue")
    yield {NAME.encode(), NAME.encode("unicode_escape"), NUMBER.encode()}
    healthy.ok("lab", "exec", primary, "sh", "-c", UPROOT)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The lab's inventory with a receiver of news in its vault, and all that it was sent."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield with_receiver(copy_inventory(tmp_path), f"json://127.0.0.1:{server.server_port}/x"), heard
        server.shutdown()


def with_receiver(inventory: Path, address: str) -> Path:
    """Name an address in the copy's vault, as an engineer would with ansible-vault."""
    password = (load(INVENTORY).private_dir / "vault-password").read_text().strip()
    secret = VaultSecret(password.encode())
    path = inventory / "group_vars/all/vault.yml"
    opened = yaml.safe_load(VaultLib([("default", secret)]).decrypt(path.read_bytes()))
    opened["vault"]["notify"] = {"addresses": address}
    path.write_bytes(VaultLib([("default", secret)]).encrypt(yaml.safe_dump(opened), secret))
    return inventory


def pdf_text(path: Path) -> bytes:
    """Its characters without the blanks, which a page puts anywhere."""
    return "".join("".join(page.extract_text() for page in PdfReader(path).pages).split()).encode()


def test_neither_secret_nor_patient_in_what_is_told_of_a_fault(
    healthy: Lab, named: set[bytes], told: tuple[Path, list[str]], tmp_path: Path
):
    """The scene holds the patient, as logs do: its files are marked, and nothing else says a word of him."""
    ours, heard, out = ("-i", str(told[0])), told[1], tmp_path / "reports"
    healthy.run("incident", "close", "left by an earlier test")
    healthy.ok(*ours, "incident", "open", "nobody can log in", "--finding", "application-stopped")
    kept = json.loads(healthy.ok(*ours, "preserve", "--json", "--reason", "a drill", timeout=300).out)
    said = [healthy.ok(*ours, "audit", "--evidence", kept["id"], "--json"), healthy.ok(*ours, "audit")]
    said.append(healthy.ok(*ours, "incident", "progress", "--next-in", "60", "--to", str(out), "--json"))
    said.append(healthy.ok(*ours, "incident", "close", "a rehearsal"))
    said += [
        healthy.ok(*ours, "incident", "report", "--lang", lang, "--to", str(out), "--json")
        for lang in ("zh", "en")
    ]
    said.append(healthy.ok(*ours, "incident", "show", "last", "--json"))
    deadline = time.monotonic() + 60
    while not any("Incident closed" in one for one in heard):
        assert time.monotonic() < deadline, heard
        time.sleep(0.2)

    evidence = [path for path in Path(kept["path"]).rglob("*") if path.is_file()]
    sealed = read_manifest(Kept(kept["id"], Path(kept["path"])))
    holding = {path for path in evidence if holds(path, named)}
    marked = {Path(kept["path"]) / piece.file for piece in sealed.had if piece.patient}
    assert holding, "there is something to be found"
    assert holding <= marked

    needles = named | {line.encode() for line in secret_lines(healthy)}
    assert not any(stream_holds([one.out.encode(), one.err.encode()], needles) for one in said)
    assert not stream_holds([one.encode() for one in heard], needles)
    files = [
        path
        for folder in (*(content.STATE / name for name in WRITTEN), out)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    kinds = {path.suffix for path in files}
    assert {".html", ".pdf", ".json", ".jsonl"} <= kinds
    assert [str(path) for path in files if holds(path, needles)] == []
    pages = {path: pdf_text(path) for path in out.glob("*.pdf")}
    assert len(pages) == 3
    blank = {"".join(needle.decode().split()).encode() for needle in needles}
    assert all(kept["id"].encode() in text for path, text in pages.items() if "progress" not in path.name)
    assert [str(path) for path, text in pages.items() if stream_holds([text], blank)] == []
