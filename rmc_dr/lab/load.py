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

TIMEOUT_SECONDS = 5.0
PAUSE_AFTER_FAILURE_SECONDS = 0.25
ATTACHMENT_EVERY = 20
ATTACHMENT_BYTES = (1_000, 200_000)


@dataclass(frozen=True)
class Site:
    """Where one application is, and how its certificate is checked."""

    name: str
    url: str
    server_name: str
    ca: str

    def client(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=self.ca)
        return httpx.Client(verify=context, timeout=TIMEOUT_SECONDS, trust_env=False)

    def request(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        return client.request(method, self.url + path, extensions={"sni_hostname": self.server_name}, **more)

    def login(self, client: httpx.Client) -> dict[str, str]:
        key = self.name.upper().replace("-", "_")
        who = {"user": os.environ[f"LOAD_USER_{key}"], "password": os.environ[f"LOAD_PASSWORD_{key}"]}
        answer = self.request(client, "POST", "/api/login", json=who)
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['token']}"}


class Ledger:
    """Appends lines; an acknowledgement is on the disk before it counts."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.mutex = threading.Lock()

    def write(self, what: str, *, durable: bool = False, **fields: Any) -> None:
        line = json.dumps({"t": round(time.time(), 3), "what": what, **fields}) + "\n"
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
            if not _write_one(site, client, token, ledger):
                token = {}
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)
            time.sleep(max(0.0, pace.interval - (time.monotonic() - began)))


def _write_one(site: Site, client: httpx.Client, token: Mapping[str, str], ledger: Ledger) -> bool:
    kind = "attachment" if random.randrange(ATTACHMENT_EVERY) == 0 else "check"  # noqa: S311
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
    pace = Pace(len(sites) * args.workers / args.rate, time.monotonic() + args.seconds, args.most)
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
    """What was acknowledged against what the databases hold. Pure."""
    acknowledged = {(e["kind"], e["app"], e["id"]) for e in ledger if e["what"] == "ack"}
    unknown = {(e["kind"], e["app"], e["id"]) for e in ledger if e["what"] == "unknown"}
    present = {(kind, app, name) for kind, app, name, _marker in rows}
    ours = {name for _kind, _app, name in acknowledged | unknown}
    ours |= {f"load-{name}" for name in ours}
    written = Counter((kind, app, marker) for kind, app, _name, marker in rows if marker in ours)
    return {
        "acknowledged": len(acknowledged),
        "unknown": len(unknown),
        "unknown_present": len(unknown & present),
        "present": len(acknowledged & present),
        "lost": len(acknowledged - present),
        "duplicated": sum(times - 1 for times in written.values()),
        "attachments_acknowledged": sum(kind == "attachment" for kind, _app, _name in acknowledged),
        "outage_seconds": round(outage(ledger), 1),
    }


def outage(ledger: list[dict[str, Any]]) -> float:
    """The longest time in seconds in which no write was acknowledged. Pure."""
    moments = [entry["t"] for entry in ledger if entry["what"] == "ack"]
    return max((after - before for before, after in pairwise(moments)), default=0.0)


def missing_attachments(sites: list[Site], ledger: list[dict[str, Any]]) -> int:
    """How many acknowledged attachments do not come back with the bytes that were sent."""
    missing = 0
    for site in sites:
        with site.client() as client:
            token = site.login(client)
            for entry in ledger:
                if entry["what"] != "ack" or entry["kind"] != "attachment" or entry["app"] != site.name:
                    continue
                answer = site.request(client, "GET", f"/api/attachments/{entry['id']}", headers=token)
                good = answer.is_success and hashlib.sha256(answer.content).hexdigest() == entry["sha256"]
                missing += not good
    return missing


def audit(sites: list[Site], args: argparse.Namespace) -> int:
    """Print one JSON object; exit 1 where something acknowledged is lost, doubled or missing."""
    ledger = read_ledger(args.ledger)
    fields = [line.split("\t") for line in args.rows.read_text().splitlines()]
    result = compare(ledger, [(row[0], row[1], row[2], row[3]) for row in fields if len(row) == 4])
    result["attachments_missing"] = missing_attachments(sites, ledger)
    sys.stdout.write(json.dumps(result) + "\n")
    return int(any(result[key] for key in ("lost", "duplicated", "attachments_missing")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", choices=["run", "audit"])
    parser.add_argument("--app", action="append", required=True, metavar="NAME=URL")
    parser.add_argument("--server-name", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--workers", type=int, default=3, help="users for each application")
    parser.add_argument("--rate", type=float, default=60, help="writes a second in all")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--most", type=int, default=200_000)
    args = parser.parse_args()
    pairs = [pair.partition("=") for pair in args.app]
    sites = [Site(name, url, args.server_name, args.ca) for name, _equals, url in pairs]
    return run(sites, args) if args.command == "run" else audit(sites, args)


if __name__ == "__main__":
    sys.exit(main())
