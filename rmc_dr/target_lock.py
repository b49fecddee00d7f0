"""The lock on the target itself: two control machines with two kits must not rebuild one host.

It lies on a tmpfs, so a reboot forgets it; every stage takes it again. What a dead run of this machine
left behind is replaced; any other holder is left alone, for only its own machine can know that it is dead.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmc_dr import record, ssh
from rmc_dr.errors import Error, Locked
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import Reach
from rmc_dr.untrusted import load

FILE = "/run/rmc-dr.lock"
MACHINE_ID = Path("/etc/machine-id")
# Prints the holder's line. `set -C` makes the redirection create the file or fail: the kernel decides.
TAKE = f"read -r line; (set -C; printf '%s\\n' \"$line\" >{FILE}) 2>/dev/null; cat {FILE}"
REPLACE = f"read -r line; printf '%s\\n' \"$line\" >{FILE}; cat {FILE}"
RELEASE = f'read -r run; if grep -qF "$run" {FILE} 2>/dev/null; then rm -f {FILE}; fi'
UNREADABLE = "unreadable"  # what a lock is called whose line names nobody
TIMEOUT_SECONDS = 15


def take(estate: Estate, host: Host, run_id: str, reach: Reach, break_lock: str | None = None) -> None:
    """Take the lock for this run; the caller holds the estate's lock on this machine.

    Raises Locked naming the other run unless ``break_lock`` names it too, and Error where the host does not
    answer.
    """
    mine = {
        "run": run_id,
        "estate": estate.name,
        "control": socket.gethostname(),
        "machine": _machine_id(),
        "boot": record.boot_id(),
    }
    holder = _holder(_remote(estate, host, reach, TAKE, json.dumps(mine)))
    if holder == mine:
        return
    name = holder.get("run", UNREADABLE)
    if break_lock != name and not _proven_dead(holder, mine):
        raise Locked(
            "target-locked",
            _("{host} is held by the run {run} of the control machine {control}.").format(
                host=host.name, run=name, control=holder.get("control", "?")
            ),
            _("Speak to whoever runs it. If it is dead for certain, add --break-lock {run}.").format(
                run=name
            ),
        )
    _remote(estate, host, reach, REPLACE, json.dumps(mine))


def release(estate: Estate, host: Host, run_id: str, reach: Reach = Reach.SYSTEM) -> None:
    """Give the lock back if this run still holds it. Raises Error where the host does not answer."""
    _remote(estate, host, reach, RELEASE, run_id)


def _proven_dead(holder: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Whether this very machine knows that the holder has ended.

    A host name proves nothing, and machines copied from one image share even their machine-id; the same boot,
    or the holder's own journal at hand, is proof. A living holder holds its estate's lock on its machine.
    """
    if holder.get("run") == mine["run"]:
        return True
    if not mine["machine"] or holder.get("machine") != mine["machine"]:
        return False
    if holder.get("boot") != mine["boot"] and not record.is_here(str(holder.get("run", ""))):
        return False
    estate = str(holder.get("estate", ""))
    return estate == mine["estate"] or record.is_free(estate)


def _machine_id() -> str:
    """Empty where the machine has none."""
    return MACHINE_ID.read_text(encoding="ascii").strip() if MACHINE_ID.exists() else ""


def _holder(line: str) -> dict[str, Any]:
    try:
        said = load(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _remote(estate: Estate, host: Host, reach: Reach, script: str, line: str) -> str:
    alias: ssh.Alias = "rescue" if reach is Reach.RESCUE else "system"
    try:
        done = ssh.ask(estate, host, script, TIMEOUT_SECONDS, alias, line + "\n")
    except subprocess.TimeoutExpired:
        raise _unanswered(host, _("no answer within {n} s").format(n=TIMEOUT_SECONDS)) from None
    if done.returncode != 0:
        raise _unanswered(host, " ".join(done.stderr.split())[-200:] or str(done.returncode))
    return done.stdout.strip()


def _unanswered(host: Host, said: str) -> Error:
    return Error(
        "target-unanswered",
        _("The lock on {host} could not be asked for: {said}.").format(host=host.name, said=said.rstrip(".")),
        _("Look at its power and its cable; an open run goes on with `rmc-dr resume`."),
    )
