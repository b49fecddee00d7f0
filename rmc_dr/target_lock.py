"""The lock on the target itself: two control machines with two kits must not rebuild one host.

It lies on a tmpfs, so a reboot forgets it; every stage takes it again. A run of this control machine that no
longer runs is recognised as stale by the caller holding the estate's local lock.
"""

from __future__ import annotations

import json
import socket
import subprocess

from rmc_dr import ssh
from rmc_dr.errors import Locked
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import Reach

FILE = "/run/rmc-dr.lock"
# Prints the holder's line. `set -C` makes the redirection create the file or fail: the kernel decides.
TAKE = f"read -r line; (set -C; printf '%s\\n' \"$line\" >{FILE}) 2>/dev/null; cat {FILE}"
REPLACE = f"read -r line; printf '%s\\n' \"$line\" >{FILE}; cat {FILE}"
RELEASE = f'read -r run; if grep -qF "$run" {FILE} 2>/dev/null; then rm -f {FILE}; fi'
TIMEOUT_SECONDS = 15


def take(estate: Estate, host: Host, run_id: str, reach: Reach, break_lock: str | None = None) -> None:
    """Take the lock for this run. Raises Locked naming the other run unless ``break_lock`` names it too."""
    alias: ssh.Alias = "rescue" if reach is Reach.RESCUE else "system"
    mine = json.dumps({"run": run_id, "control": socket.gethostname()})
    holder = json.loads(_remote(estate, host, alias, TAKE, mine) or "{}")
    if holder.get("run") == run_id:
        return
    ours = holder.get("control") == socket.gethostname()
    if ours or (break_lock and break_lock == holder.get("run")):
        _remote(estate, host, alias, REPLACE, mine)
        return
    raise Locked(
        "target-locked",
        _("{host} is held by the run {run} of the control machine {control}.").format(
            host=host.name, run=holder.get("run", "?"), control=holder.get("control", "?")
        ),
        _("Speak to whoever runs it. If it is dead for certain, add --break-lock {run}.").format(
            run=holder.get("run", "?")
        ),
    )


def release(estate: Estate, host: Host, run_id: str) -> None:
    _remote(estate, host, "system", RELEASE, run_id)


def _remote(estate: Estate, host: Host, alias: ssh.Alias, script: str, line: str) -> str:
    done = subprocess.run(
        [*ssh.command(estate, host, alias), script],
        input=line + "\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return done.stdout.strip()
