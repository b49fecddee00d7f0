"""An incident around a real rebuild: its run joins, its news arrives, a systemd timer tells of its breach."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import INVENTORY, RMC_DR, Lab, copy_inventory
from control import control_machine, on_control

from rmc_dr import content
from rmc_dr.estate import load
from rmc_dr.record import find, read

pytestmark = pytest.mark.lab
TOKEN = "a-token-that-nobody-may-read"
CENTRE = "Rehearsal Reproductive Medicine Centre: "
SECONDS = 60
SEEN = Path("/srv/told")  # where the control machine sees the inventory: its /tmp is its own


def close_what_is_open(lab: Lab) -> None:
    lab.run("incident", "close", "left by an earlier test")


@pytest.fixture
def calm(lab: Lab) -> Iterator[Lab]:
    """The lab without an open incident, before and after."""
    close_what_is_open(lab)
    yield lab
    close_what_is_open(lab)


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    """A receiver's address, and the titles that it was told."""
    titles: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            titles.append(str(body["title"]).removeprefix(CENTRE))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/{TOKEN}", titles
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(heard: tuple[str, list[str]], tmp_path: Path) -> Path:
    """The lab's inventory with that receiver in its vault."""
    inventory = copy_inventory(tmp_path)
    password = (load(INVENTORY).private_dir / "vault-password").read_text().strip()
    vault = VaultLib([("default", VaultSecret(password.encode()))])
    path = inventory / "group_vars/all/vault.yml"
    opened = yaml.safe_load(vault.decrypt(path.read_bytes()))
    opened["vault"]["notify"] = {"addresses": heard[0]}
    path.write_bytes(vault.encrypt(yaml.safe_dump(opened), VaultSecret(password.encode())))
    return inventory


def soon(so: Callable[[], bool], what: object) -> None:
    deadline = time.monotonic() + SECONDS
    while not so():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def shown(lab: Lab) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lab.ok("incident", "show", "--json").out)
    return document


def test_opened_noted_and_closed_by_hand(calm: Lab):
    opened = calm.ok("incident", "open", "nobody can log in", "--finding", "application-stopped")
    assert "critical: effect-answered" in opened.out
    assert "critical: effect-answered" in calm.ok().out, "bare rmc-dr shows it"
    assert calm.run("incident", "open", "again").code == 3
    calm.ok("incident", "note", "called the ward, they go on by paper", "--reached", "answered")
    assert shown(calm)["leading"] == "effect-solved"
    calm.ok("incident", "classify", "--finding", "data-lost")
    calm.ok("incident", "classify", "--class", "major", "--reason", "one clerk only")
    assert shown(calm)["class"] == "major"
    closed = calm.ok("incident", "close", "a power supply burnt; replaced")
    assert "a power supply burnt; replaced" in closed.out
    assert "effect-" not in calm.ok().out


@pytest.mark.long
def test_a_rebuild_joins_it_and_whoever_is_named_hears_of_it(
    healthy: Lab, calm: Lab, told: Path, heard: tuple[str, list[str]]
):
    ours, titles = ("-i", str(told)), heard[1]
    calm.ok(*ours, "incident", "watch")  # what waits of other incidents is told first
    titles.clear()
    calm.ok(*ours, "incident", "open", "nobody can log in", "--finding", "server-dead")
    soon(lambda: bool(titles), "the opening arrives")
    calm.ok("lab", "break", "app1", "--how", "process")
    said = calm.ok(*ours, "rebuild", "appserver", "--yes", timeout=1500)
    assert "critical: effect-answered" in said.out, "the live view shows it"
    soon(lambda: any(title.endswith("ends: recovered") for title in titles), titles)
    run = find("last")
    kept = shown(calm)
    assert read(run)[0].get("incident") == kept["incident"]
    assert run.name in kept["runs"]
    finished = [event for event in read(run) if event.event == "stage-finished"]
    assert len([title for title in titles if "Rebuild of the application server: " in title]) == len(finished)
    calm.ok("incident", "note", "the ward works again", "--reached", "running")
    calm.ok(*ours, "incident", "close", "Liberty died")
    soon(lambda: titles[-1].startswith("Incident closed"), titles)
    for folder in (run, content.STATE / "incidents" / kept["incident"]):
        for path in folder.rglob("*"):
            assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.long
def test_a_timer_tells_of_the_breach_when_nobody_runs_a_command(
    calm: Lab, told: Path, heard: tuple[str, list[str]]
):
    noticed = (datetime.now(UTC) - timedelta(hours=9)).isoformat(timespec="seconds")
    words = ("incident", "open", "nobody looks", "--finding", "users-out", "--noticed", noticed)
    calm.ok("-i", str(told), *words)
    with control_machine({told: SEEN}):
        on_control(str(RMC_DR), "-i", str(SEEN), "schedule", "install")
        assert "rmc-dr-lab-incident.timer" in on_control("systemctl", "list-timers", "--all")
        on_control("systemctl", "start", "rmc-dr-lab-incident.service")
    soon(lambda: "Clock effect-solved is BREACHED" in heard[1], heard[1])
    assert [one["clock"] for one in shown(calm)["events"] if one["event"] == "clock-breached"] == [
        "effect-answered",
        "effect-solved",
    ]
