"""Which restore holds Patroni down on a database host, by the host's own file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rmc_dr import ssh
from rmc_dr.estate import Estate, Host

HELD = "/etc/rmc-dr/held"
RUN = re.compile(r"for the restore (\S{1,80}?)\.$", re.MULTILINE)
TIMEOUT_SECONDS = 8


def observe_held(estate: Estate, hosts: Sequence[Host]) -> dict[str, str]:
    """Host -> the run that holds it, "" where the file names none; without hosts that are not held, or do
    not answer. Changes nothing; bounded by eight seconds."""
    if not hosts:
        return {}
    with ThreadPoolExecutor(len(hosts)) as pool:
        answers = pool.map(lambda host: _read(estate, host), hosts)
        return {
            host.name: found[1] if (found := RUN.search(said)) else ""
            for host, said in zip(hosts, answers, strict=True)
            if said is not None
        }


def _read(estate: Estate, host: Host) -> str | None:
    try:
        done = ssh.ask(estate, host, f"cat {HELD}", TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
