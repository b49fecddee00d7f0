"""The load that judges a drill: it must see a lost row, a doubled one, a broken attachment, and an outage."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rmc_dr import tls
from rmc_dr.lab import load

SERVER_NAME = "app1"
LATEST_SECONDS = 30


class Application(ThreadingHTTPServer):
    """Stands in for one application: remembers what it acknowledged, over TLS."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "host.pem", folder / "host.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.checks: dict[str, str] = {}
        self.attachments: dict[str, bytes] = {}
        self.clients: set[str] = set()
        self.swallow = 0  # so many writes are stored and not answered
        self.down = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def crash(self) -> None:
        self.down = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""

    def rows(self) -> str:
        checks = [f"check\tapp\t{name}\t{marker}\n" for name, marker in self.checks.items()]
        return "".join([*checks, *(f"attachment\tapp\t{name}\t{name}\n" for name in self.attachments)])


class Handler(BaseHTTPRequestHandler):
    server: Application
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.clients.add(self.client_address[0])
        if self.server.down:
            self.close_connection = True
            return
        if self.path.endswith("/login"):
            known = json.loads(body) == {"user": "tester", "password": "not-on-argv"}
            self.answer(200 if known else 401, json.dumps({"token": "t1"}).encode())
            return
        if self.headers["Authorization"] != "Bearer t1":
            self.answer(401, b"")
            return
        if self.path.endswith("/checks"):
            check = json.loads(body)
            self.server.checks[check["id"]] = check["specimen"]
        else:
            self.server.attachments[self.path.rsplit("/", 1)[1]] = body
        if self.server.swallow:
            self.server.swallow -= 1
            self.close_connection = True
            return
        self.answer(201, b"{}")

    def do_GET(self) -> None:
        content = self.server.attachments.get(self.path.rsplit("/", 1)[1])
        self.answer(200 if content is not None else 404, content or b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls")
    made = tls.completed({}, "Test Centre", {SERVER_NAME: "198.51.100.11"})
    (path / "ca.pem").write_text(made["ca_certificate"])
    (path / "host.pem").write_text(made["hosts"][SERVER_NAME]["certificate"])
    (path / "host.key").write_text(made["hosts"][SERVER_NAME]["key"])
    return path


@pytest.fixture
def application(folder: Path) -> Iterator[Application]:
    server = Application(folder)
    yield server
    server.crash()


def command(
    what: str, port: int, folder: Path, ledger: Path, *more: str, name: str = SERVER_NAME
) -> list[str]:
    program = [sys.executable, str(Path(load.__file__)), what, "--app", f"app=https://127.0.0.1:{port}/app"]
    return [*program, "--server-name", name, "--ca", str(folder / "ca.pem"), "--ledger", str(ledger), *more]


ENVIRONMENT = {**os.environ, "LOAD_USER_APP": "tester", "LOAD_PASSWORD_APP": "not-on-argv"}


def write(application: Application, folder: Path, ledger: Path, *more: str, **options: Any) -> None:
    bounds = ["--rate", "400", "--seconds", "10", "--most", "30", "--attachment-every", "3", *more]
    line = command("run", application.server_port, folder, ledger, *bounds, **options)
    assert subprocess.run(line, env=ENVIRONMENT, timeout=LATEST_SECONDS, check=False).returncode == 0


def audit(application: Application, folder: Path, ledger: Path) -> tuple[int, dict[str, Any]]:
    rows = ledger.with_suffix(".rows")
    rows.write_text(application.rows())
    line = command("audit", application.server_port, folder, ledger, "--rows", str(rows))
    done = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, text=True, timeout=LATEST_SECONDS, check=False
    )
    return done.returncode, json.loads(done.stdout)


def test_all_is_well_and_it_stops_by_itself(application: Application, folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    write(application, folder, ledger)
    code, told = audit(application, folder, ledger)
    assert code == 0
    assert told["acknowledged"] == told["present"] >= 30
    assert told["attachments_acknowledged"] == len(application.attachments)
    assert (told["lost"], told["duplicated"], told["attachments_missing"], told["unknown"]) == (0, 0, 0, 0)
    assert "not-on-argv" not in ledger.read_text()


def test_the_users_come_from_the_address_that_is_theirs(
    application: Application, folder: Path, tmp_path: Path
) -> None:
    """The control machine's own address passes every fence; a user's must not."""
    write(application, folder, tmp_path / "ledger.jsonl", "--source", "127.0.0.2")
    assert application.clients == {"127.0.0.2"}


def test_one_deleted_row_is_lost_1(application: Application, folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    write(application, folder, ledger)
    application.checks.popitem()
    code, told = audit(application, folder, ledger)
    assert (code, told["lost"], told["duplicated"]) == (1, 1, 0)


def test_an_altered_row_is_lost_and_a_copied_one_is_a_duplicate(
    application: Application, folder: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    write(application, folder, ledger)
    first, second = list(application.checks)[:2]
    application.checks[first] = "someone else's specimen"
    application.checks["11111111-2222-4333-8444-555555555555"] = application.checks[second]
    _code, told = audit(application, folder, ledger)
    assert (told["lost"], told["duplicated"]) == (1, 1)


def test_an_attachment_with_other_bytes_is_missing(
    application: Application, folder: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    write(application, folder, ledger)
    application.attachments[next(iter(application.attachments))] += b"x"
    code, told = audit(application, folder, ledger)
    assert (code, told["lost"], told["attachments_missing"]) == (1, 0, 1)


def test_stored_without_an_answer_is_unknown_not_lost(
    application: Application, folder: Path, tmp_path: Path
) -> None:
    application.swallow = 5
    ledger = tmp_path / "ledger.jsonl"
    write(application, folder, ledger)
    code, told = audit(application, folder, ledger)
    assert (code, told["lost"]) == (0, 0)
    assert (told["unknown"], told["unknown_present"]) == (5, 5)


def test_another_host_name_is_not_trusted(application: Application, folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    write(application, folder, ledger, "--seconds", "1", name="app2")
    assert not application.checks
    assert "ack" not in {entry["what"] for entry in load.read_ledger(ledger)}


def test_an_outage_is_seen_and_outlived(folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    before = Application(folder)
    port = before.server_port
    line = command("run", port, folder, ledger, "--rate", "100", "--seconds", "20")
    with subprocess.Popen(line, env=ENVIRONMENT) as users:
        wait_for_acknowledged(ledger, 30)
        before.crash()
        time.sleep(1.5)
        after = Application(folder, port)
        after.checks, after.attachments = before.checks, before.attachments
        wait_for_acknowledged(ledger, len(load.read_ledger(ledger)) // 2 + 30)
        users.send_signal(signal.SIGTERM)
        assert users.wait(LATEST_SECONDS) == 0
    code, told = audit(after, folder, ledger)
    after.crash()
    assert code == 0
    assert 1.2 < told["outage_seconds"] < 10


def wait_for_acknowledged(ledger: Path, count: int) -> None:
    deadline = time.monotonic() + LATEST_SECONDS
    while time.monotonic() < deadline:
        if ledger.exists() and ledger.read_bytes().count(b'"what": "ack"') >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"not {count} acknowledged within {LATEST_SECONDS} s")


def test_missing_credentials_are_named(folder: Path, tmp_path: Path) -> None:
    line = command("run", 1, folder, tmp_path / "ledger.jsonl")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LOAD_")}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "LOAD_USER_APP" in done.stderr


def test_a_torn_or_unended_line_is_not_acknowledged(tmp_path: Path) -> None:
    entry = {"m": 1.0, "what": "intent", "kind": "check", "app": "a", "id": "u1"}
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(json.dumps(entry) + "\n" + json.dumps({**entry, "what": "ack"}))
    told = load.compare(load.read_ledger(ledger), [])
    assert (told["acknowledged"], told["unknown"], told["lost"]) == (0, 1, 0)


def test_an_application_that_never_came_back_is_an_outage_to_the_end() -> None:
    def line(at: float, what: str, app: str) -> dict[str, Any]:
        return {"m": at, "what": what, "kind": "check", "app": app, "id": f"{app}{at}"}

    steady = [line(float(second), "ack", "one") for second in range(60)]
    down = [line(1.0, "ack", "two"), line(50.0, "refused", "two")]
    assert load.outage([*steady, *down]) == 49.0
