"""A rehearsal: users at work, a disaster, the same plan and engine as in earnest, and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rmc_dr import rebuild, ssh
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import faults, load
from rmc_dr.model import Request
from rmc_dr.record import RunState, find, read, run_dir

BEFORE_BREAK = 1000
AFTER_RECOVERY = 200
PATIENCE_SECONDS = 300
ROWS = (
    "select 'check', '{app}', id, specimen from checks"
    " union all select 'attachment', '{app}', id, id::text from attachments"
)


@dataclass(frozen=True)
class DrillResult:
    """What the drill measured. Counts are writes; ``outage_seconds`` is the clients' longest wait."""

    run: str
    broke: str
    rto_minutes: float
    outage_seconds: float
    acknowledged_before_break: int
    acknowledged: int
    unknown: int
    unknown_present: int
    present: int
    lost: int
    duplicated: int
    attachments_acknowledged: int
    attachments_missing: int

    @property
    def lossless(self) -> bool:
        return not (self.lost or self.duplicated or self.attachments_missing)


def appserver(
    estate: Estate, how: str, say: Callable[[str], None], listeners: Sequence[rebuild.Listener]
) -> DrillResult:
    """Break the lab's application server under load and rebuild it. Raises what a rebuild raises."""
    target = estate.group("appserver")[0].name
    folder = run_dir("load")
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.jsonl"
    with _users_at_work(estate, ledger):
        say(_("Users are at work; waiting for {count} acknowledged writes.").format(count=BEFORE_BREAK))
        before = _wait_for(ledger, BEFORE_BREAK)
        say(
            _("{count} writes acknowledged. Breaking {host}: {how}.").format(
                count=before, host=target, how=how
            )
        )
        faults.break_host(estate, target, how)
        request = Request("rebuild-appserver", target)
        run_id = rebuild.start(estate, rebuild.make_plan(estate, request), request, listeners)
        say(_("Recovered; watching the users work on."))
        _wait_for(ledger, _acknowledged(ledger) + AFTER_RECOVERY)
    audited = _audit(estate, ledger)
    state = RunState.of(read(find(run_id)))
    result = DrillResult(
        run=run_id,
        broke=how,
        rto_minutes=round((state.rto_seconds or 0) / 60, 2),
        acknowledged_before_break=before,
        **audited,
    )
    (find(run_id) / "drill.json").write_text(json.dumps(asdict(result), indent=2) + "\n")
    return result


@contextmanager
def _users_at_work(estate: Estate, ledger: Path) -> Iterator[None]:
    command = ["setpriv", "--pdeathsig", "TERM", *_load_command(estate, "run", ledger)]
    users = subprocess.Popen(command, env=_load_environment(estate))
    try:
        yield
    finally:
        users.terminate()
        users.wait(timeout=60)


def _load_command(estate: Estate, what: str, ledger: Path) -> list[str]:
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


def _load_environment(estate: Estate) -> dict[str, str]:
    secrets = estate.opened()
    names = {}
    for app in estate.config.applications.apps:
        key = app.name.upper().replace("-", "_")
        names[f"LOAD_USER_{key}"] = secrets.get("apps", app.name, "journey", "user")
        names[f"LOAD_PASSWORD_{key}"] = secrets.get("apps", app.name, "journey", "password")
    return {**os.environ, **names}


def _acknowledged(ledger: Path) -> int:
    return ledger.read_bytes().count(b'"what": "ack"') if ledger.exists() else 0


def _wait_for(ledger: Path, count: int) -> int:
    """Wait until so many writes are acknowledged; returns how many. Raises Error when none come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (so_far := _acknowledged(ledger)) < count:
        if time.monotonic() > deadline:
            raise Error(
                "load-stalled",
                _("The users got only {count} writes acknowledged.").format(count=so_far),
                _("See `rmc-dr verify appserver`; the ledger is {path}.").format(path=ledger),
            )
        time.sleep(0.5)
    return so_far


def _audit(estate: Estate, ledger: Path) -> dict[str, int]:
    rows = ledger.with_suffix(".rows")
    rows.write_text("".join(_rows(estate, app.name, app.database) for app in estate.config.applications.apps))
    command = [*_load_command(estate, "audit", ledger), "--rows", str(rows)]
    done = subprocess.run(command, env=_load_environment(estate), capture_output=True, text=True, check=False)
    if not done.stdout:
        raise Error(
            "audit-failed",
            _("The ledger could not be compared: {said}.").format(said=done.stderr.strip()[-200:]),
            _("The ledger is {path}.").format(path=ledger),
        )
    result: dict[str, int] = json.loads(done.stdout)
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
