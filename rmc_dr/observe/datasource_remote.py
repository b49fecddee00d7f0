"""Runs on the application server, out of SSH's standard input: connects as each datasource would.

Reads Liberty's own configuration there, and makes one connection to each host that a datasource names, with
its user, its password and its TLS settings: PostgreSQL's start-up, TLS and SCRAM in the standard library,
for nothing is installed there. Prints one JSON document. The password goes to the database alone, as
PostgreSQL's protocol wants it; a keyed digest of it is printed, so that who knows the estate's can compare.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import struct
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 4.0
LARGE_BYTES = 20000
PORT = 5432
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
PROTOCOL = 196608
VARIABLE = re.compile(r"\$\{([^${}]+)\}")
URL = re.compile(r"jdbc:postgresql:(?://(?P<hosts>[^/?]*)/)?(?P<database>[^?]*)(?:\?(?P<options>.*))?")
DEEPEST = 8  # a variable that names itself
NO_TLS = ("disable", "allow")
XOR = ord("_")
SKIPPED = b"SNKA"  # parameters, notices, the cancel key, notifications


class Refused(Exception):
    """The server's own words, with its SQLSTATE and the name of the routine that said them."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields.get("M", ""))
        self.sqlstate, self.routine = fields.get("C", ""), fields.get("R", "")


# --- what the configuration says


def sources(folder: Path, more: list[Path]) -> list[dict[str, Any]]:
    """Every datasource of a Liberty server; what stands later, as an override, wins."""
    found: dict[str, dict[str, Any]] = {}
    variables = dict(defined(folder, more))
    for document in documents(folder):
        for element in document.iter("variable"):
            value = element.get("value", element.get("defaultValue", ""))
            if element.get("value") is not None or element.get("name", "") not in variables:
                variables[element.get("name", "")] = value
        for element in document.iter("dataSource"):
            known = found.setdefault(element.get("id") or element.get("jndiName") or "", {})
            manager, properties = element.find("connectionManager"), _properties(element)
            known.update({key: value for key, value in properties.items() if value is not None})
            if manager is not None and manager.get("maxPoolSize"):
                known["maxPoolSize"] = manager.get("maxPoolSize")
    return [
        {"id": name, **{key: resolved(value, variables) for key, value in known.items()}}
        for name, known in found.items()
    ]


def documents(folder: Path) -> Iterator[ElementTree.Element]:
    drop_ins = folder / "configDropins"
    paths = [
        *sorted((drop_ins / "defaults").glob("*.xml")),
        folder / "server.xml",
        *sorted((drop_ins / "overrides").glob("*.xml")),
    ]
    for path in paths:
        if path.is_file():
            document = ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 (root's own file)
            yield document
            for include in document.iter("include"):
                other = folder / include.get("location", "")
                if other.is_file():
                    yield ElementTree.fromstring(other.read_text(encoding="utf-8"))  # noqa: S314


def _properties(element: ElementTree.Element) -> dict[str, str | None]:
    for child in element:
        if child.tag == "properties" or child.tag.startswith("properties."):
            names = (
                "URL",
                "user",
                "password",
                "serverName",
                "portNumber",
                "databaseName",
                "sslMode",
                "sslRootCert",
            )
            return {name: child.get(name, child.get(name.lower())) for name in names}
    return {}


def defined(folder: Path, more: list[Path]) -> Iterator[tuple[str, str]]:
    """Variables out of files: one a file by its name, or many in a file of properties."""
    for where in (folder / "variables", *more):
        for path in sorted(where.glob("**/*")) if where.is_dir() else ():
            if path.suffix == ".properties" and path.is_file():
                yield from properties(path.read_text(encoding="utf-8"))
            elif path.is_file():
                yield str(path.relative_to(where)), path.read_text(encoding="utf-8").rstrip("\n")
    plain = folder / "bootstrap.properties"
    if plain.is_file():
        yield from properties(plain.read_text(encoding="utf-8"))


def properties(text: str) -> Iterator[tuple[str, str]]:
    """Java's properties, as far as one line holds one."""
    for line in text.splitlines():
        stripped = line.lstrip()
        if not stripped or stripped[0] in "#!":
            continue
        parted = re.match(r"((?:\\.|[^\\=:\s])+)\s*[=:\s]\s*(.*)", stripped)
        if parted:
            yield _unescaped(parted[1]), _unescaped(parted[2])


def _unescaped(text: str) -> str:
    plain = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}

    def one(found: re.Match[str]) -> str:
        return chr(int(found[1][1:], 16)) if len(found[1]) == 5 else plain.get(found[1], found[1])

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", one, text)


def resolved(value: str, variables: Mapping[str, str]) -> str:
    for _depth in range(DEEPEST):
        value, changed = VARIABLE.subn(lambda found: variables.get(found[1], found[0]), value)
        if not changed:
            break
    return value


def decoded(password: str) -> str:
    """What Liberty makes of a password. Raises ValueError for one that only Liberty's own key opens."""
    if password.startswith("{xor}"):
        return bytes(byte ^ XOR for byte in base64.b64decode(password[5:])).decode()
    if re.match(r"\{(aes|hash)[^}]*\}", password):
        raise ValueError("the password is encrypted with Liberty's own key")
    if VARIABLE.search(password):
        raise ValueError("the password's variable is not defined")
    return password


def ends(source: Mapping[str, Any]) -> tuple[list[tuple[str, int]], str, dict[str, str]]:
    """Hosts with their ports, the database, and the options of a datasource. Raises ValueError."""
    if not source.get("URL"):
        host, port = source.get("serverName") or "localhost", int(source.get("portNumber") or PORT)
        options = {"sslmode": source.get("sslMode") or "", "sslrootcert": source.get("sslRootCert") or ""}
        return [(host, port)], source.get("databaseName") or "", options
    parts = URL.fullmatch(source["URL"])
    if not parts:
        raise ValueError("its URL is none of PostgreSQL's driver")
    hosts: list[tuple[str, int]] = []
    for end in (parts["hosts"] or "localhost").split(","):
        name, _colon, number = end.rpartition(":") if ":" in end else (end, "", "")
        hosts.append((unquote(name), int(number or PORT)))
    options = dict(parse_qsl(parts["options"] or "", keep_blank_values=True))
    return hosts, unquote(parts["database"]), options


# --- one connection


class Talk:
    """PostgreSQL's messages over a socket."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def send(self, kind: bytes, body: bytes) -> None:
        self.channel.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def read(self, wanted: bytes) -> tuple[bytes, bytes]:
        """The next message of these kinds. Raises Refused, or OSError where the server is gone."""
        while True:
            kind = self._bytes(1)
            body = self._bytes(struct.unpack("!i", self._bytes(4))[0] - 4)
            if kind == b"E":
                raise Refused(fields(body))
            if kind in wanted:
                return kind, body
            if kind not in SKIPPED:
                raise OSError(f"an unexpected message {kind!r}")

    def _bytes(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            some = self.channel.recv(count - len(read))
            if not some:
                raise OSError("the server closed the connection")
            read += some
        return read


def fields(body: bytes) -> dict[str, str]:
    parts = [part for part in body.split(b"\0") if part]
    return {chr(part[0]): part[1:].decode(errors="replace") for part in parts}


def attempt(
    host: str, port: int, database: str, login: tuple[str, str], options: Mapping[str, str]
) -> dict[str, Any]:
    """One connection, as far as it comes. It asks whether the server only reads, and for a large answer."""
    began = time.monotonic()
    said: dict[str, Any] = {"host": host, "port": port, "stage": "resolve"}
    try:
        address = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)[0][4][0]
        said["stage"] = "connect"
        with socket.create_connection((str(address), port), timeout=CONNECT_SECONDS) as plain:
            plain.settimeout(ANSWER_SECONDS)
            said["stage"] = "tls"
            talk = Talk(secured(plain, host, options))
            said["stage"] = "auth"
            enter(talk, database, *login)
            said["stage"] = "query"
            said["recovery"] = ask(talk, "select pg_is_in_recovery()") == b"t"
            said["whole"] = False
            large = ask(talk, f"select repeat('x', {LARGE_BYTES}) /* {'x' * LARGE_BYTES} */")
            said.update(whole=len(large) == LARGE_BYTES, stage="done")
            talk.send(b"X", b"")
    except Refused as refused:
        said.update(said=str(refused)[:200], sqlstate=refused.sqlstate, routine=refused.routine)
    except ssl.SSLCertVerificationError as error:
        said["said"] = f"certificate: {error.verify_message}"[:200]
    except OSError as error:
        words = error.args[0] if len(error.args) == 1 else error  # an SSLError of one word prints a tuple
        said.update(why=why(error), said=(str(words) or type(error).__name__)[:200])
    said["ms"] = round((time.monotonic() - began) * 1000, 1)
    return said


def secured(plain: socket.socket, host: str, options: Mapping[str, str]) -> socket.socket:
    """The same connection under TLS, as the driver's sslmode wants it. Raises OSError or Refused."""
    mode = options.get("sslmode") or ("require" if options.get("ssl") == "true" else "prefer")
    if mode in NO_TLS:
        return plain
    plain.sendall(SSL_REQUEST)
    answer = plain.recv(1)
    if answer != b"S":
        if mode == "prefer":
            return plain
        raise ssl.SSLError("the server speaks no TLS")
    trust = ssl.create_default_context(cafile=options.get("sslrootcert") or None)
    if mode not in ("verify-ca", "verify-full"):
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    trust.check_hostname = mode == "verify-full"
    return trust.wrap_socket(plain, server_hostname=host)


def enter(talk: Talk, database: str, user: str, password: str) -> None:
    """Start-up and authentication until the server is ready. Raises Refused or OSError."""
    words = {"user": user, "database": database, "application_name": "rmc-dr diagnose"}
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in words.items()) + b"\0"
    talk.channel.sendall(struct.pack("!ii", len(body) + 8, PROTOCOL) + body)
    _kind, asked = talk.read(b"R")
    code = struct.unpack("!i", asked[:4])[0]
    if code == 10:
        scram(talk, password)
    elif code == 5:
        inner = hashlib.md5((password + user).encode()).hexdigest()  # noqa: S324 (the server asks for it)
        talk.send(b"p", b"md5" + hashlib.md5(inner.encode() + asked[4:8]).hexdigest().encode() + b"\0")  # noqa: S324
    elif code == 3:
        talk.send(b"p", password.encode() + b"\0")
    elif code != 0:
        raise OSError(f"the server asks for authentication {code}")
    if code in (3, 5):
        talk.read(b"R")
    talk.read(b"Z")


def scram(talk: Talk, password: str) -> None:
    """SCRAM-SHA-256 (RFC 7677), without channel binding. Raises Refused, or OSError for a false server."""
    mine = base64.b64encode(os.urandom(18)).decode()
    bare = f"n=,r={mine}"
    first = f"n,,{bare}".encode()
    talk.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
    server = talk.read(b"R")[1][4:].decode()
    given = dict(part.split("=", 1) for part in server.split(","))
    if not given["r"].startswith(mine):
        raise OSError("the server answers with another nonce")
    salt, rounds = base64.b64decode(given["s"]), int(given["i"])
    prepared = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, rounds)
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={given['r']}"
    message = f"{bare},{server},{final}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    talk.send(b"p", f"{final},p={proof}".encode())
    verified = talk.read(b"R")[1][4:].decode()
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
    if verified != f"v={base64.b64encode(expected).decode()}":
        raise OSError("the server does not know the password itself")
    talk.read(b"R")


def ask(talk: Talk, statement: str) -> bytes:
    """The first column of the only row. Raises Refused or OSError."""
    talk.send(b"Q", statement.encode() + b"\0")
    talk.read(b"T")
    row = talk.read(b"D")[1]
    talk.read(b"C")
    talk.read(b"Z")
    return row[6:]


def why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "unresolved"
    return "" if isinstance(error, (ssl.SSLError, FileNotFoundError, PermissionError)) else "unreachable"


# --- the whole


def look(asked: Mapping[str, Any]) -> dict[str, Any]:
    found = sources(Path(asked["folder"]), [Path(path) for path in asked["variables"]])
    with ThreadPoolExecutor(16) as pool:
        return {"sources": list(pool.map(lambda source: one(source, asked["nonce"]), found))}


def one(source: Mapping[str, Any], nonce: str) -> dict[str, Any]:
    """A datasource's settings, and what came of its connections."""
    told: dict[str, Any] = {"id": source["id"], "user": source.get("user") or ""}
    try:
        most = str(source.get("maxPoolSize") or "50")  # Liberty's own default
        told["pool_most"] = int(most) if most.isdigit() else None
        hosts, database, options = ends(source)
        mode, authority = options.get("sslmode", ""), options.get("sslrootcert", "")
        told.update(hosts=hosts, database=database, sslmode=mode, sslrootcert=authority)
        password = decoded(source.get("password") or options.get("password") or "")
    except ValueError as error:
        return {**told, "trouble": str(error)[:200]}
    login = (told["user"], password)
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        tried = pool.map(lambda end: attempt(end[0], end[1], database, login, options), hosts)
        digest = hmac.new(nonce.encode(), password.encode(), "sha256").hexdigest()
        return {**told, "digest": digest, "attempts": list(tried)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(json.loads(sys.argv[1]))) + "\n")
