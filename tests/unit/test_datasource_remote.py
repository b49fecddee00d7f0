"""A datasource is read as Liberty reads it; the driver's protocol is spoken against what checks it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import pytest
import yaml
from role_module import loaded

from rmc_dr import content
from rmc_dr.diagnose.sight import Source, expected, read
from rmc_dr.estate import Estate
from rmc_dr.observe import datasource_remote as remote
from rmc_dr.observe import inside

ROLE = content.root() / "roles" / "liberty"
DATABASES = content.root() / "roles" / "databases" / "library" / "rmc_dr_databases.py"
PASSWORD = 'p\\w"<&é'


def options() -> list[str]:
    """The options of the URL as the role has them, its numbers filled in."""
    known = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    listed = yaml.safe_load((ROLE / "vars/main.yml").read_text())["liberty_url_options"]
    return [re.sub(r"\{\{ (\w+) \}\}", lambda found: str(known[found[1]]), option) for option in listed]


@pytest.fixture
def server(tmp_path: Path, estate: Estate) -> Path:
    """A server's folder as the role configures it."""
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)  # noqa: S701 (as Ansible does)
    apps = [app.model_dump() for app in estate.config.applications.apps]
    known = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    values = {
        **known,
        "ansible_managed": "managed",
        "estate": {"centre": "A & B"},
        "liberty_features": [],
        "liberty_https_port": 9443,
        "liberty_applications": apps,
        "liberty_hosts": "db1:5432,db2:5432",
        "liberty_url_options": options(),
        "liberty_secrets": {"apps": {app["name"]: {"database_password": PASSWORD} for app in apps}},
    }
    values["estate"] = {"centre": "A centre"}
    for name in ("server.xml", "variables/passwords.properties"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(environment.from_string((ROLE / f"templates/{name}.j2").read_text()).render(values))
    return tmp_path


def test_the_roles_own_configuration_is_the_estates(server: Path, estate: Estate) -> None:
    found = {source["id"]: source for source in remote.sources(server, [])}
    assert set(found) == set(expected(estate))
    for name, right in expected(estate).items():
        hosts, database, given = remote.ends(found[name])
        assert frozenset(hosts) == right.hosts
        assert (database, found[name]["user"]) == (right.database, right.user)
        assert (given["sslmode"], given["sslrootcert"]) == (right.sslmode, right.sslrootcert)
        assert found[name]["password"] == PASSWORD
        assert found[name]["maxPoolSize"] == "20"


def test_what_overrides_wins_and_a_variable_has_its_value_from_a_file(server: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "place").write_text("db9\n")
    overrides = server / "configDropins" / "overrides"
    overrides.mkdir(parents=True)
    (overrides / "a.xml").write_text(
        '<server><variable name="port" defaultValue="5433"/><dataSource id="management">'
        '<properties.postgresql user="u" password="{xor}PDc+MTg6" serverName="${place}" portNumber="${port}"'
        ' databaseName="d" URL=""/></dataSource></server>'
    )
    found = next(one for one in remote.sources(server, [more]) if one["id"] == "management")
    assert remote.ends(found) == ([("db9", 5433)], "d", {"sslmode": "", "sslrootcert": ""})
    assert remote.decoded(found["password"]) == "change"


@pytest.mark.parametrize("password", ["{aes}AAAA", "{hash}x", "${gone}"])
def test_a_password_that_only_liberty_reads_is_said_not_guessed(password: str) -> None:
    told = remote.one({"id": "a", "URL": "jdbc:postgresql://h:1/d", "user": "u", "password": password}, "n")
    assert told["trouble"]
    assert "attempts" not in told


@pytest.mark.parametrize("url", ["jdbc:oracle:thin:@h:1:x", "postgresql://h/d", "jdbc:postgresql://h:x/d"])
def test_a_url_of_another_kind_is_said(url: str) -> None:
    assert remote.one({"id": "a", "URL": url, "password": "p"}, "n")["trouble"]


class FakeServer:
    """As much of PostgreSQL as a log-in needs; ``code`` refuses it after the password."""

    def __init__(self, verifier: str, code: str = "", routine: str = "") -> None:
        self.verifier, self.code, self.routine = verifier, code, routine
        self.started: dict[str, str] = {}

    def serve(self, channel: socket.socket) -> None:
        with suppress(OSError, struct.error):  # the client has gone
            self._serve(channel)

    def _serve(self, channel: socket.socket) -> None:
        length = struct.unpack("!i", channel.recv(4))[0]
        words = channel.recv(length - 4)[4:].split(b"\0")
        self.started = dict(zip(*[(word.decode() for word in words if word)] * 2, strict=False))
        send(channel, b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0")
        if not self._scram(channel):
            refuse(channel, "28P01", "auth_failed")
            return
        send(channel, b"R", struct.pack("!i", 0))
        if self.code:
            refuse(channel, self.code, self.routine)
            return
        send(channel, b"S", b"server_version\x0017\0")
        send(channel, b"Z", b"I")
        while True:
            statement = message(channel)
            if statement[:1] == b"X":
                return
            value = b"f" if b"pg_is_in_recovery" in statement else b"x" * remote.LARGE_BYTES
            send(channel, b"T", b"\0\0")
            send(channel, b"D", struct.pack("!hi", 1, len(value)) + value)
            send(channel, b"C", b"SELECT 1\0")
            send(channel, b"Z", b"I")

    def _scram(self, channel: socket.socket) -> bool:
        rounds, salt, stored, signing = re.fullmatch(
            r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)", self.verifier
        ).groups()  # type: ignore[union-attr]
        first = message(channel)[1 + len("SCRAM-SHA-256\0") + 4 :].decode()
        bare = first.removeprefix("n,,")
        nonce = bare.split("r=")[1] + base64.b64encode(os.urandom(9)).decode()
        challenge = f"r={nonce},s={salt},i={rounds}"
        send(channel, b"R", struct.pack("!i", 11) + challenge.encode())
        final = message(channel)[1:].decode()
        without, proof = final.rsplit(",p=", 1)
        signed = f"{bare},{challenge},{without}".encode()
        signature = hmac.digest(base64.b64decode(stored), signed, "sha256")
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        if hashlib.sha256(key).digest() != base64.b64decode(stored):
            return False
        answer = base64.b64encode(hmac.digest(base64.b64decode(signing), signed, "sha256")).decode()
        send(channel, b"R", struct.pack("!i", 12) + f"v={answer}".encode())
        return True


def send(channel: socket.socket, kind: bytes, body: bytes) -> None:
    channel.sendall(kind + struct.pack("!i", len(body) + 4) + body)


def message(channel: socket.socket) -> bytes:
    """Its kind and its body."""
    kind, length = channel.recv(1), struct.unpack("!i", channel.recv(4))[0] - 4
    body = b""
    while len(body) < length:
        body += channel.recv(length - len(body))
    return kind + body


def refuse(channel: socket.socket, code: str, routine: str) -> None:
    parts = {"S": "FATAL", "C": code, "M": "no", "R": routine}
    send(channel, b"E", b"".join(f"{key}{value}\0".encode() for key, value in parts.items()) + b"\0")


@contextmanager
def standing(fake: FakeServer) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                channel, _peer = listener.accept()
            except OSError:
                return
            with channel:
                fake.serve(channel)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def verifier(password: str) -> str:
    """As the role databases writes it into PostgreSQL, without what it speaks to PostgreSQL with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "psycopg2", ModuleType("psycopg2"))
        sys.modules["psycopg2"].sql = None  # type: ignore[attr-defined]
        made: str = loaded(DATABASES, "databases_for_datasource").verifier(password, b"a salt of 16 by.")
    return made


def attempt(port: int, password: str = PASSWORD) -> dict[str, Any]:
    return remote.attempt("127.0.0.1", port, "d", ("u", password), {"sslmode": "disable"})


def test_a_right_password_gets_in_and_a_large_answer_comes_through() -> None:
    fake = FakeServer(verifier(PASSWORD))
    with standing(fake) as port:
        told = attempt(port)
    assert (told["stage"], told["recovery"], told["whole"]) == ("done", False, True), told
    assert fake.started["user"] == "u"
    assert fake.started["database"] == "d"


@pytest.mark.parametrize(
    ("password", "code", "routine", "said"),
    [
        ("another", "", "", ("28P01", "auth_failed")),
        (PASSWORD, "28000", "InitializeSessionUserId", ("28000", "InitializeSessionUserId")),
        (PASSWORD, "53300", "CheckMyDatabase", ("53300", "CheckMyDatabase")),
    ],
)
def test_a_refusal_keeps_the_servers_code(
    password: str, code: str, routine: str, said: tuple[str, str]
) -> None:
    with standing(FakeServer(verifier(PASSWORD), code, routine)) as port:
        told = attempt(port, password)
    assert (told["stage"], told["sqlstate"], told["routine"]) == ("auth", *said)
    assert PASSWORD not in str(told)


def test_a_port_that_is_shut_and_one_that_is_mute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        told = attempt(port)
        assert (told["stage"], told["why"]) == ("auth", "timeout")
    told = attempt(port)
    assert (told["stage"], told["why"]) == ("connect", "refused")


def test_a_false_server_is_not_believed() -> None:
    """It knows what a client proves, but not what PostgreSQL proves back."""
    kept = verifier(PASSWORD)
    with standing(FakeServer(f"{kept[: kept.rindex(':')]}:{base64.b64encode(bytes(32)).decode()}")) as port:
        told = attempt(port)
    assert told["stage"] == "auth"
    assert "does not know" in told["said"]


def test_the_password_stays_where_it_is(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither asked for nor answered with: both sides make a digest with a key of the call."""
    asked: list[str] = []

    class Vault:
        def get(self, *_keys: str) -> str:
            return PASSWORD

    def run(_estate: Estate, _host: Any, remote_command: str, _seconds: float, given: str = "") -> Any:
        asked.append(remote_command + given)
        nonce = re.search(r'"nonce": "(\w+)"', remote_command)[1]  # type: ignore[index]
        digest = hmac.new(nonce.encode(), PASSWORD.encode(), "sha256").hexdigest()
        out = f'{{"sources": [{{"id": "management", "digest": "{digest}"}}, {{"id": "odd", "digest": "x"}}]}}'
        return type("Done", (), {"returncode": 0, "stdout": out, "stderr": ""})

    monkeypatch.setattr(Estate, "opened", lambda _self: Vault())
    monkeypatch.setattr(inside.ssh, "ask", run)
    mine, odd = inside.observe_sources(estate, estate.host("app1"))
    assert mine.password is True
    assert odd.password is None
    assert PASSWORD not in asked[0]
    assert not hasattr(mine, "digest")


def test_a_document_is_read_whole_or_not_at_all() -> None:
    told = remote.one(
        {"id": "a", "URL": "jdbc:postgresql://127.0.0.1:1/d", "user": "u", "password": "p"}, "n"
    )
    del told["digest"]
    source = read(Source, told)
    assert source
    assert source.attempts[0].stage == "connect"
    assert read(Source, {"id": "a", "hosts": "nonsense"}) is None
