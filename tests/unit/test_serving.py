"""Whether a host serves, asked of real sockets: only the host's own word is a no; the rest is unknown."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rmc_dr import tls
from rmc_dr.cli import status
from rmc_dr.estate import Estate
from rmc_dr.model import HostObservation, Reach
from rmc_dr.observe import hosts

HERE = "127.0.0.1"
AUTHORITY = tls.completed({}, "A centre", {"app1": HERE, "other": HERE})


@pytest.fixture
def here(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """The estate with app1 on this machine, at a port where nothing listens, and a CA of its own."""
    monkeypatch.setattr(hosts, "SERVING_TIMEOUT_SECONDS", 0.5)
    estate.private_dir.mkdir()
    (estate.private_dir / "ca.pem").write_text(AUTHORITY["ca_certificate"])
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port = probe.getsockname()[1]
    applications = estate.config.applications.model_copy(update={"port": port})
    config = estate.config.model_copy(update={"applications": applications})
    app1 = replace(estate.host("app1"), address=HERE)
    return replace(estate, config=config, hosts={**estate.hosts, "app1": app1})


@contextmanager
def listening(estate: Estate, folder: Path, name: str = "app1", broken: str = "") -> Iterator[None]:
    """Serve every application over TLS as the host ``name``; the path ``broken`` answers 503."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if broken and self.path.startswith(broken) else 200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    for kind in ("certificate", "key"):
        (folder / kind).write_text(AUTHORITY["hosts"][name][kind])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    server = ThreadingHTTPServer((HERE, estate.config.applications.port), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def serving(estate: Estate) -> bool | None:
    return hosts._serving(estate, estate.host("app1"))


def test_all_applications_answer(here: Estate, tmp_path: Path):
    with listening(here, tmp_path):
        assert serving(here) is True


def test_one_application_answers_otherwise(here: Estate, tmp_path: Path):
    with listening(here, tmp_path, broken=here.config.applications.apps[-1].context_root):
        assert serving(here) is False


def test_nothing_listens(here: Estate):
    assert serving(here) is False


def test_a_busy_server_may_serve(here: Estate):
    """It takes the connection and answers too late."""
    with socket.create_server((HERE, here.config.applications.port)):
        assert serving(here) is None


def test_a_wrong_certificate_is_no_proof_that_nobody_is_served(here: Estate, tmp_path: Path):
    with listening(here, tmp_path, name="other"):
        assert serving(here) is None


def test_without_the_ca_nobody_can_tell(here: Estate):
    (here.private_dir / "ca.pem").unlink()
    assert serving(here) is None


@pytest.mark.parametrize(
    ("reach", "serves", "following"),
    [
        (Reach.SYSTEM, True, ""),
        (Reach.SYSTEM, False, "rmc-dr rebuild appserver app1 --plan"),
        (Reach.SILENT, None, "rmc-dr rebuild appserver app1 --plan"),
        (Reach.RESCUE, False, "rmc-dr rebuild appserver app1 --plan"),
        (Reach.SYSTEM, None, "rmc-dr verify appserver"),
        (Reach.UNKNOWN, None, "rmc-dr verify appserver"),
        (Reach.FOREIGN, None, "rmc-dr verify appserver"),
    ],
)
def test_what_is_unknown_is_looked_at_and_not_rebuilt(reach: Reach, serves: bool | None, following: str):
    seen = [HostObservation("app1", reach, serving=serves)]
    assert status._next(None, seen, "healthy", [], proven=True) == following
    assert status._next("a-run", seen, "healthy", [], proven=True) == "rmc-dr resume"
    assert status._next(None, seen, "split-brain", [], proven=True) == "rmc-dr db status"


def test_unknown_has_a_word_of_its_own():
    words = {status._state(HostObservation("app1", Reach.SYSTEM, serving=it)) for it in (True, False, None)}
    assert len(words) == 3
