"""The users of a drill: an independent program at work, and what became of what was acknowledged to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from rmc_dr import ssh
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import load

PATIENCE_SECONDS = 300
ROWS = (
    "select 'check', '{app}', id, specimen from checks"
    " union all select 'attachment', '{app}', id, id::text from attachments"
)


@contextmanager
def users_at_work(estate: Estate, ledger: Path) -> Iterator[None]:
    """Users post through every application for as long as the block lasts; ``ledger`` holds what they saw."""
    command = ["setpriv", "--pdeathsig", "TERM", *_command(estate, "run", ledger)]
    users = subprocess.Popen(command, env=_environment(estate))
    try:
        yield
    finally:
        users.terminate()
        users.wait(timeout=60)


def _command(estate: Estate, what: str, ledger: Path) -> list[str]:
    host = estate.group("appserver")[0]
    port = estate.config.applications.port
    sites = [
        word
        for app in estate.config.applications.apps
        for word in ("--app", f"{app.name}=https://{host.address}:{port}{app.context_root}")
    ]
    ca = str(estate.private_dir / "ca.pem")
    program = [sys.executable, str(Path(load.__file__)), what]
    source = ["--source", str(estate.config.network.drill_address)]
    return [*program, *sites, *source, "--server-name", host.name, "--ca", ca, "--ledger", str(ledger)]


def _environment(estate: Estate) -> dict[str, str]:
    secrets = estate.opened()
    names = {}
    for app in estate.config.applications.apps:
        key = app.name.upper().replace("-", "_")
        names[f"LOAD_USER_{key}"] = secrets.get("apps", app.name, "journey", "user")
        names[f"LOAD_PASSWORD_{key}"] = secrets.get("apps", app.name, "journey", "password")
    return {**os.environ, **names}


def acknowledged(ledger: Path) -> int:
    """How many writes are acknowledged so far."""
    return ledger.read_bytes().count(b'"what": "ack"') if ledger.exists() else 0


def wait_for(ledger: Path, count: int) -> int:
    """Wait until so many writes are acknowledged; returns how many. Raises Error when none come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (so_far := acknowledged(ledger)) < count:
        if time.monotonic() > deadline:
            raise Error(
                "load-stalled",
                _("The users got only {count} writes acknowledged.").format(count=so_far),
                _("See `rmc-dr verify appserver`; the ledger is {path}.").format(path=ledger),
            )
        time.sleep(0.5)
    return so_far


def wait_until_all_go_on(ledger: Path, since: float) -> None:
    """Wait until every application that was at work has acknowledged a write after that steady moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        entries = load.read_ledger(ledger)
        waiting = {entry["app"] for entry in entries if "app" in entry}
        waiting -= {entry["app"] for entry in entries if entry["what"] == "ack" and entry["m"] > since}
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise Error(
                "load-stalled",
                _("Nothing was acknowledged after the break by: {apps}.").format(
                    apps=", ".join(sorted(waiting))
                ),
                _("See `rmc-dr verify appserver`; the ledger is {path}.").format(path=ledger),
            )
        time.sleep(0.25)


def outage_after(entries: list[dict[str, Any]], broke: float) -> tuple[float, float]:
    """The longest silence that ended after the break, over all applications: its length, and its end. Pure.

    In seconds, by the steady clock of the ledger.
    """
    longest = (0.0, broke)
    for app in {entry["app"] for entry in entries if "app" in entry}:
        moments = [entry["m"] for entry in entries if entry["what"] == "ack" and entry["app"] == app]
        silences = [(after - before, after) for before, after in pairwise(sorted(moments)) if after > broke]
        longest = max([longest, *silences])
    return longest


def audit(estate: Estate, ledger: Path) -> dict[str, Any]:
    """What was acknowledged against what the databases hold. Raises Error where that cannot be compared."""
    rows = ledger.with_suffix(".rows")
    rows.write_text("".join(_rows(estate, app.name, app.database) for app in estate.config.applications.apps))
    command = [*_command(estate, "audit", ledger), "--rows", str(rows)]
    done = subprocess.run(command, env=_environment(estate), capture_output=True, text=True, check=False)
    if not done.stdout:
        raise Error(
            "audit-failed",
            _("The ledger could not be compared: {said}.").format(said=done.stderr.strip()[-200:]),
            _("The ledger is {path}.").format(path=ledger),
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _rows(estate: Estate, app: str, database: str) -> str:
    """Every row of one application's database as its primary holds it, read by the superuser there."""
    query = ROWS.format(app=app)
    psql = f"runuser -u postgres -- psql -X -At -F '\t' -d {database}"
    primary = f"test \"$({psql} -c 'select pg_is_in_recovery()')\" = f"
    for host in estate.group("dbserver"):
        command = [*ssh.command(estate, host), f"{primary} && {psql}"]
        done = subprocess.run(command, input=query, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
    raise Error(
        "no-primary",
        _("No database host answers as primary."),
        _("Look with `rmc-dr db status`."),
    )
