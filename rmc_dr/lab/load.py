"""Users at work, independent of rmc_dr: it imports nothing of it and shares no code with what it judges.

    python load.py run --app NAME=URL ... --server-name HOST --ca CA --ledger FILE
    python load.py audit --app NAME=URL ... --server-name HOST --ca CA --ledger FILE --rows FILE

Names and passwords come from LOAD_USER_<NAME> and LOAD_PASSWORD_<NAME>. Every write carries a UUID made here.
The ledger has a line before a write is sent and one after it was answered; only an answer whose line is on
the disk counts as acknowledged. A write without an answer is unknown and is not sent again. ``--rows`` holds
what the databases have: lines of kind, application, id, marker, split by tabs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import ssl
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

TIMEOUTS = httpx.Timeout(5.0, connect=1.0)
PATIENCE = httpx.Timeout(60.0)  # what came through is counted afterwards; a busy server may take its time
PAUSE_AFTER_FAILURE_SECONDS = 0.25
ATTACHMENT_BYTES = (1_000, 200_000)


@dataclass(frozen=True)
class Site:
    """Where one application is, and how its certificate is checked."""

    name: str
    url: str
    server_name: str
    ca: str
    source: str | None = None  # the address that its users come from

    def client(self, timeouts: httpx.Timeout = TIMEOUTS) -> httpx.Client:
        context = ssl.create_default_context(cafile=self.ca)
        transport = httpx.HTTPTransport(verify=context, local_address=self.source, trust_env=False)
        return httpx.Client(transport=transport, timeout=timeouts, trust_env=False)

    def request(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        return client.request(method, self.url + path, extensions={"sni_hostname": self.server_name}, **more)

    def credentials(self) -> dict[str, str]:
        """Raises KeyError naming the variable that is not set."""
        key = self.name.upper().replace("-", "_")
        return {"user": os.environ[f"LOAD_USER_{key}"], "password": os.environ[f"LOAD_PASSWORD_{key}"]}

    def login(self, client: httpx.Client) -> dict[str, str]:
        answer = self.request(client, "POST", "/api/login", json=self.credentials())
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['token']}"}


class Ledger:
    """Appends lines; an acknowledgement is on the disk before it counts.

    ``t`` is the time of day, ``m`` the steady clock, both in seconds.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.mutex = threading.Lock()

    def write(self, what: str, *, durable: bool = False, **fields: Any) -> None:
        clocks = {"t": round(time.time(), 3), "m": round(time.monotonic(), 3)}
        line = json.dumps({**clocks, "what": what, **fields}) + "\n"
        with self.mutex:
            os.write(self.descriptor, line.encode())
            if durable:
                os.fsync(self.descriptor)


@dataclass
class Pace:
    """When to stop: asked to, out of time, or enough written. ``interval`` is each worker's, in seconds."""

    interval: float
    deadline: float
    most: int
    attachment_every: int
    stop: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    def over(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self.deadline or self.sent >= self.most


def work(site: Site, ledger: Ledger, pace: Pace) -> None:
    """One user: writes until told to stop, logs in again after every failure."""
    token: dict[str, str] = {}
    with site.client() as client:
        while not pace.over():
            began = time.monotonic()
            try:
                token = token or site.login(client)
            except (httpx.HTTPError, KeyError, ValueError):
                ledger.write("refused", app=site.name)
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)
                continue
            pace.sent += 1
            kind = "check" if random.randrange(pace.attachment_every) else "attachment"  # noqa: S311
            if not _write_one(site, client, token, ledger, kind):
                token = {}
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)
            time.sleep(max(0.0, pace.interval - (time.monotonic() - began)))


def _write_one(site: Site, client: httpx.Client, token: Mapping[str, str], ledger: Ledger, kind: str) -> bool:
    name = str(uuid.uuid4())
    about: dict[str, Any] = {"kind": kind, "app": site.name, "id": name}
    if kind == "check":
        path, body = "/api/checks", json.dumps(_check(name)).encode()
    else:
        content = random.randbytes(random.randint(*ATTACHMENT_BYTES))  # noqa: S311
        about["sha256"] = hashlib.sha256(content).hexdigest()
        path, body = f"/api/attachments/{name}", content
    headers = {**token, "Content-Type": "application/json" if kind == "check" else "application/octet-stream"}
    ledger.write("intent", **about)
    try:
        answer = site.request(client, "POST", path, headers=headers, content=body)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        ledger.write("refused", **about)
        return False
    except httpx.HTTPError:
        ledger.write("unknown", **about)
        return False
    if answer.is_success:
        ledger.write("ack", durable=True, **about)
        return True
    ledger.write("unknown", status=answer.status_code, **about)
    return False


def _check(name: str) -> dict[str, str]:
    return {
        "id": name,
        "subject": random.choice(["gamete", "embryo"]),  # noqa: S311
        "specimen": f"load-{name}",
        "step": "identity",
        "witness": "load",
    }


def run(sites: list[Site], args: argparse.Namespace) -> int:
    """Post through every application until SIGTERM, the time or the count; always ends by itself."""
    pace = Pace(
        len(sites) * args.workers / args.rate,
        time.monotonic() + args.seconds,
        args.most,
        args.attachment_every,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: pace.stop.set())
    ledger = Ledger(args.ledger)
    workers = [
        threading.Thread(target=work, args=(site, ledger, pace))
        for site in sites
        for _ in range(args.workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():
            worker.join(0.2)
    return 0


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a ledger; a torn last one was never acknowledged."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def compare(ledger: list[dict[str, Any]], rows: list[tuple[str, str, str, str]]) -> dict[str, Any]:
    """What was acknowledged against what the databases hold. Pure.

    A row counts as present only with the marker that was sent; one of ours twice, or under an id that was
    never sent, is a duplicate. An intent whose end nobody wrote down is unknown.
    """
    ended = {
        what: {_row(e) for e in ledger if e["what"] == what and "id" in e} for what in ("ack", "refused")
    }
    acknowledged = ended["ack"]
    unknown = {_row(e) for e in ledger if e["what"] == "intent"} - acknowledged - ended["refused"]
    held = Counter(rows)
    lost = acknowledged - held.keys()
    ours = {(kind, app, marker) for kind, app, _id, marker in acknowledged | unknown}
    written = Counter((kind, app, marker) for kind, app, _id, marker in rows)
    return {
        "acknowledged": len(acknowledged),
        "unknown": len(unknown),
        "unknown_present": len(unknown & held.keys()),
        "present": len(acknowledged & held.keys()),
        "lost": len(lost),
        "lost_at": sorted(e.get("t", 0.0) for e in ledger if e["what"] == "ack" and _row(e) in lost),
        "duplicated": sum(max(0, written[mark] - 1) for mark in ours),
        "attachments_acknowledged": sum(row[0] == "attachment" for row in acknowledged),
        "outage_seconds": round(outage(ledger), 1),
    }


def _row(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    """The row that a write must have become."""
    marker = entry["id"] if entry["kind"] == "attachment" else f"load-{entry['id']}"
    return entry["kind"], entry["app"], entry["id"], marker


def outage(ledger: list[dict[str, Any]]) -> float:
    """The longest time in seconds in which one application acknowledged nothing, up to the end. Pure."""
    longest = 0.0
    for app in {entry["app"] for entry in ledger if "app" in entry}:
        mine = [entry for entry in ledger if entry.get("app") == app]
        moments = [entry["m"] for entry in mine if entry["what"] == "ack"] + [mine[-1]["m"]]
        longest = max([longest, *(after - before for before, after in pairwise(sorted(moments)))])
    return longest


def missing_attachments(sites: list[Site], ledger: list[dict[str, Any]]) -> list[float]:
    """When those attachments were acknowledged that do not come back with the bytes that were sent."""
    missing = []
    for site in sites:
        with site.client(PATIENCE) as client:
            token = site.login(client)
            for entry in ledger:
                if entry["what"] != "ack" or entry["kind"] != "attachment" or entry["app"] != site.name:
                    continue
                if not _comes_back(site, client, token, entry):
                    missing.append(entry.get("t", 0.0))
    return sorted(missing)


def _comes_back(site: Site, client: httpx.Client, token: dict[str, str], entry: dict[str, Any]) -> bool:
    try:
        answer = site.request(client, "GET", f"/api/attachments/{entry['id']}", headers=token)
    except httpx.HTTPError:
        return False
    return answer.is_success and hashlib.sha256(answer.content).hexdigest() == entry["sha256"]


def audit(sites: list[Site], args: argparse.Namespace) -> int:
    """Print one JSON object; exit 1 where something acknowledged is lost, doubled or missing."""
    ledger = read_ledger(args.ledger)
    fields = [line.split("\t") for line in args.rows.read_text().splitlines()]
    result = compare(ledger, [(row[0], row[1], row[2], row[3]) for row in fields if len(row) == 4])
    result["missing_at"] = missing_attachments(sites, ledger)
    result["attachments_missing"] = len(result["missing_at"])
    sys.stdout.write(json.dumps(result) + "\n")
    return int(any(result[key] for key in ("lost", "duplicated", "attachments_missing")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", choices=["run", "audit"])
    parser.add_argument("--app", action="append", required=True, metavar="NAME=URL")
    parser.add_argument("--server-name", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--source", metavar="ADDRESS", help="this machine's address that the users come from")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--workers", type=int, default=3, help="users for each application")
    parser.add_argument("--rate", type=float, default=60, help="writes a second in all")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--most", type=int, default=200_000)
    parser.add_argument("--attachment-every", type=int, default=20, help="one write in so many is a file")
    args = parser.parse_args()
    pairs = [pair.partition("=") for pair in args.app]
    sites = [Site(name, url, args.server_name, args.ca, args.source) for name, _equals, url in pairs]
    if args.command == "audit" and args.rows is None:
        parser.error("audit needs --rows")
    try:
        for site in sites:
            site.credentials()
        return run(sites, args) if args.command == "run" else audit(sites, args)
    except KeyError as error:
        parser.error(f"the environment lacks {error.args[0]}")
    except (httpx.HTTPError, OSError) as error:
        sys.stderr.write(f"load: {error}\n")
        return 3


if __name__ == "__main__":
    sys.exit(main())
