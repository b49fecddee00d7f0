"""Looks into an application server beyond what `rmc-dr check` sees: datasources, threads, memory."""

from __future__ import annotations

import hmac
import json
import secrets
import shlex
import subprocess
from pathlib import Path
from typing import Any

from rmc_dr import ssh
from rmc_dr.diagnose.sight import Inside, Source, read
from rmc_dr.errors import Error
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _

SECONDS = 20.0  # each program ends earlier by itself
SERVER = "/var/lib/liberty/servers/rmc"
IN_MEMORY = "/run/liberty/variables"
DATASOURCE = Path(__file__).with_name("datasource_remote.py")
LIBERTY = Path(__file__).with_name("liberty_remote.py")


def observe_inside(estate: Estate, host: Host, *, threads: bool) -> Inside:
    """Its memory, disks, answer to itself, and ``threads``, which makes Java print them. Raises Error."""
    port = estate.config.applications.port
    asked = {"folder": SERVER, "address": host.address, "port": port, "threads": threads}
    found = read(Inside, _run(estate, host, LIBERTY, asked))
    if found is None:
        raise _odd(host)
    return found


def observe_sources(estate: Estate, host: Host) -> tuple[Source, ...]:
    """Its datasources as its own configuration has them, and a connection made there with each. Raises Error.

    No password leaves the host, and none comes to it: both sides make a digest with a key of this call.
    """
    nonce = secrets.token_hex(32)
    asked = {"folder": SERVER, "variables": [IN_MEMORY], "nonce": nonce}
    answer = _run(estate, host, DATASOURCE, asked)
    if not isinstance(answer, dict) or not isinstance(answer.get("sources"), list):
        raise _odd(host)
    found = [_source(estate, dict(one), nonce) for one in answer["sources"] if isinstance(one, dict)]
    if None in found:
        raise _odd(host)
    return tuple(source for source in found if source)


def _source(estate: Estate, told: dict[str, Any], nonce: str) -> Source | None:
    digest = told.pop("digest", None)
    if isinstance(digest, str) and told.get("id") in {app.name for app in estate.config.applications.apps}:
        password = estate.opened().get("apps", told["id"], "database_password")
        right = hmac.new(nonce.encode(), password.encode(), "sha256").hexdigest()
        told["password"] = hmac.compare_digest(digest, right)
    return read(Source, told)


def _run(estate: Estate, host: Host, program: Path, asked: dict[str, Any]) -> object:
    remote = shlex.join(["exec", "python3", "-I", "-", json.dumps(asked)])
    try:
        done = ssh.ask(estate, host, remote, SECONDS, given=program.read_text(encoding="utf-8"))
    except subprocess.TimeoutExpired:
        raise Error(
            "no-answer",
            _("no answer within {seconds} s").format(seconds=round(SECONDS)),
            _("Look with `rmc-dr check`."),
        ) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-200:] or f"exit {done.returncode}"
        raise Error("no-answer", said, _("Look with `rmc-dr check`."))
    try:
        parsed: object = json.loads(done.stdout)
    except ValueError:
        return None
    return parsed


def _odd(host: Host) -> Error:
    return Error(
        "no-answer",
        _("what came back from {host} is no answer").format(host=host.name),
        _("Look with `rmc-dr check`."),
    )
