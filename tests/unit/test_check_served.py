"""One visit to a port: how it answers, and what its certificate proves; against real TLS on the loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rmc_dr import tls
from rmc_dr.check import look as looking
from rmc_dr.check import probe, served
from rmc_dr.check.roads import Road
from rmc_dr.check.seen import Way
from rmc_dr.estate import Estate
from rmc_dr.https import Https


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and a certificate of db1 at the loopback's address, as a host holds them."""
    folder = tmp_path_factory.mktemp("tls")
    made = tls.completed({}, "Centre", {"db1": "127.0.0.1"})
    (folder / "ca.pem").write_text(made["ca_certificate"])
    (folder / "host.pem").write_text(made["hosts"]["db1"]["certificate"])
    (folder / "host.key").write_text(made["hosts"]["db1"]["key"])
    return folder


@contextmanager
def server(certificates: Path, *, postgresql: bool = False, mute: bool = False) -> Iterator[int]:
    """Serves TLS to one visitor, asked for first as PostgreSQL wants it, or says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "host.pem", certificates / "host.key")
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            visitor, _address = listener.accept()
            with visitor:
                if mute:
                    over.wait(10)
                    return
                if postgresql:
                    assert visitor.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
                    visitor.sendall(b"S")
                try:
                    with context.wrap_socket(visitor, server_side=True) as secure:
                        secure.recv(1)
                except OSError:
                    pass  # the visitor does not believe the certificate

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join(5)


def trust(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.pem"))


@pytest.mark.parametrize("service", ["patroni", "postgresql"])
def test_how_long_a_certificate_is_good_for(certificates: Path, service: str) -> None:
    with server(certificates, postgresql=service == "postgresql") as port:
        reached, certificate = served.visit(Road("db1", "127.0.0.1", port, service), trust(certificates))
    assert (reached.why, reached.tls) == (Way.OPEN, "")
    assert certificate is not None
    assert (certificate.host, certificate.trouble) == ("db1", "")
    assert certificate.days == pytest.approx(tls.CERTIFICATE_VALID.days, abs=1)


def test_a_certificate_of_another_name_proves_nothing(certificates: Path) -> None:
    with server(certificates) as port:
        _reached, certificate = served.visit(Road("db2", "127.0.0.1", port, "patroni"), trust(certificates))
    assert certificate is not None
    assert certificate.days is None
    assert "db2" in certificate.trouble


def test_a_service_that_hangs_is_not_waited_for(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "SECONDS", 0.2)
    with server(certificates, mute=True) as port:
        reached, certificate = served.visit(Road("db1", "127.0.0.1", port, "patroni"), trust(certificates))
    assert (reached.why, certificate) == (Way.OPEN, None)
    assert reached.tls


def test_a_port_that_is_closed(certificates: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reached, certificate = served.visit(Road("db1", "127.0.0.1", port, "patroni"), trust(certificates))
    assert (reached.why, certificate) == (Way.REFUSED, None)


@pytest.mark.parametrize(("to", "said"), [("db1", ""), ("db2", "certificate: ")])
def test_the_probe_proves_the_other_side(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, to: str, said: str
) -> None:
    monkeypatch.setattr(probe, "TLS", str(certificates))
    with server(certificates) as port:
        reached = probe.connect({"to": to, "address": "127.0.0.1", "port": port, "tls": True})
    assert reached["why"] == ""
    assert reached["tls"].startswith(said)
    assert bool(reached["tls"]) is bool(said)


Health = tuple[bool | None, bool | None, tuple[str, ...]]
UP, DOWN = (
    httpx.Response(200, json={"checks": []}),
    httpx.Response(
        503, json={"checks": [{"name": "management", "status": "DOWN"}, {"name": "x", "status": "UP"}]}
    ),
)


@pytest.mark.parametrize(
    ("live", "ready", "expected"),
    [
        (UP, UP, (True, True, ())),
        (UP, DOWN, (True, False, ("management",))),
        (DOWN, DOWN, (False, False, ("management",))),
        (None, UP, (None, None, ())),
        (UP, None, (True, False, ())),
        (httpx.Response(404), httpx.Response(404), (None, None, ())),
        (httpx.Response(200, text="?"), httpx.Response(503, text="?"), (True, False, ())),
    ],
)
def test_what_microprofile_health_says(
    monkeypatch: pytest.MonkeyPatch,
    estate: Estate,
    live: httpx.Response | None,
    ready: httpx.Response | None,
    expected: Health,
) -> None:
    answers = {"/health/live": live, "/health/ready": ready}

    def request(_self: Https, _method: str, path: str) -> httpx.Response:
        answer = answers[path]
        if answer is None:
            raise httpx.ReadTimeout("timed out")
        return answer

    monkeypatch.setattr(Https, "__init__", lambda *_given: None)
    monkeypatch.setattr(Https, "__exit__", lambda *_given: None)
    monkeypatch.setattr(Https, "request", request)
    seen = looking._health(estate, estate.host("app1"))
    assert (seen.live, seen.ready, seen.down) == expected
    assert bool(seen.trouble) is (None in (live, ready))
