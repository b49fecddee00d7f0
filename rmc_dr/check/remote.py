"""Sends the probe to a host over SSH, once a look; a dead host costs one timeout."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import time
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from rmc_dr import content, ssh
from rmc_dr.check.roads import Wanted
from rmc_dr.check.seen import Answer, HostSeen, read_facts
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _

CONNECT_SECONDS = 3
PROBE_SECONDS = 12  # the probe itself ends after six
FAILED = 255  # ssh's own: no session
NO_WAY = "connect to host"
WRONG_KEY = ("verification failed", "HOST IDENTIFICATION")
PROBE = Path(__file__).with_name("probe.py")


def observe(estate: Estate, wanted: Wanted, peers: dict[str, str]) -> HostSeen:
    """What a host tells of itself. ``peers`` are the names and addresses that it must resolve and ping."""
    host = estate.host(wanted.name)
    remote = shlex.join(["exec", "python3", "-I", "-", json.dumps(_asked(estate, wanted, peers))])
    before = time.time()
    code, out, said = _run(estate, host, remote)
    after = time.time()
    if code == FAILED:
        return HostSeen(host.name, _refusal(estate, host, said), said[-200:])
    facts = read_facts(_parsed(out)) if code == 0 else None
    if facts is None:
        return HostSeen(host.name, Answer.UNREADABLE, said[-200:] or f"exit {code}")
    return HostSeen(host.name, Answer.SYSTEM, "", facts, (facts.ended - after, facts.began - before))


def _asked(estate: Estate, wanted: Wanted, peers: dict[str, str]) -> dict[str, object]:
    return {
        "address": wanted.address,
        "interface": estate.config.network.interface,
        "peers": peers,
        "units": list(wanted.units),
        "process": "liberty.service" if wanted.group == "appserver" else "",
        "roads": [asdict(road) for road in wanted.roads],
    }


def _run(estate: Estate, host: Host, remote: str) -> tuple[int, str, str]:
    """Over the connection of an earlier look where one is open; over a new one where that has died."""
    folder = content.STATE / "ssh"
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    # A digest, for the path of a socket must be short.
    shared = folder / sha256(f"{estate.name}/{host.name}".encode()).hexdigest()[:16]
    was_open = shared.exists()
    ended = _ssh(ssh.command(estate, host, connect_timeout=CONNECT_SECONDS, shared=shared), remote)
    if was_open and ended[0] == FAILED and not any(word in ended[2] for word in (*WRONG_KEY, NO_WAY)):
        shared.unlink(missing_ok=True)
        return _ssh(ssh.command(estate, host, connect_timeout=CONNECT_SECONDS), remote)
    return ended


def _ssh(command: list[str], remote: str) -> tuple[int, str, str]:
    # A file, for the shared connection that stays behind may keep standard error open.
    with tempfile.TemporaryFile() as errors, PROBE.open("rb") as script:
        try:
            done = subprocess.run(
                [*command, remote],
                stdin=script,
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=PROBE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 1, "", _("no answer within {seconds} s").format(seconds=PROBE_SECONDS)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
        return done.returncode, done.stdout.decode(errors="replace"), said


def _refusal(estate: Estate, host: Host, said: str) -> Answer:
    """What it means that ssh gave no session: by its own words, and by the rescue system's key."""
    if NO_WAY in said:
        return Answer.REFUSED if "Connection refused" in said else Answer.SILENT
    if not any(word in said for word in WRONG_KEY):
        return Answer.UNREADABLE
    code, _out, _said = _ssh(ssh.command(estate, host, "rescue", connect_timeout=CONNECT_SECONDS), "true")
    return Answer.RESCUE if code == 0 else Answer.FOREIGN


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
