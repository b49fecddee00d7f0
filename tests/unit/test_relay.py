"""A relay carries HTTPS to where no network leads: the name and its certificate are proven all the same."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from test_serving import here, listening  # noqa: F401 the fixture

from rmc_dr.estate import Estate
from rmc_dr.https import Https
from rmc_dr.relay import relayed

NOWHERE = "192.0.2.1"  # a documentation address: no network leads to it
PUMP = """
import socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def forth():
    while data := sys.stdin.buffer.raw.read(65536):
        there.sendall(data)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=forth, daemon=True).start()
while data := there.recv(65536):
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
"""


@pytest.fixture
def hidden(here: Estate) -> Estate:  # noqa: F811
    """The host's address leads nowhere."""
    return replace(here, hosts={**here.hosts, "app1": replace(here.host("app1"), address=NOWHERE)})


def test_https_goes_through_and_proves_the_name(here: Estate, hidden: Estate, tmp_path: Path) -> None:  # noqa: F811
    port = here.config.applications.port
    with (
        listening(here, tmp_path),
        relayed([sys.executable, "-c", PUMP, str(port)]) as through,
        Https(hidden, hidden.host("app1"), port, 5, through) as https,
    ):
        for _again in range(3):
            assert https.request("GET", "/management/api/health").status_code == 200


def test_another_ones_certificate_is_refused(here: Estate, hidden: Estate, tmp_path: Path) -> None:  # noqa: F811
    port = here.config.applications.port
    with (
        listening(here, tmp_path, name="other"),
        relayed([sys.executable, "-c", PUMP, str(port)]) as through,
        Https(hidden, hidden.host("app1"), port, 5, through) as https,
        pytest.raises(httpx.HTTPError, match="certificate"),
    ):
        https.request("GET", "/management/api/health")


def test_a_relay_leads_to_the_command_behind_it() -> None:
    with relayed(["cat"]) as path:
        for text in (b"one", b"other"):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(path))
                caller.sendall(text)
                caller.shutdown(socket.SHUT_WR)
                assert caller.recv(16) == text
    assert not path.exists()
