"""Reads over SSH what the data of a database host holds, whether PostgreSQL runs there or not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rmc_dr import ssh
from rmc_dr.estate import Estate, Host
from rmc_dr.pair import Holding

PROGRAM = Path(__file__).with_name("holdings_remote.py")
TIMEOUT_SECONDS = 60
BYTES = "du --summarize --bytes \"$(sed -n 's/^ *data_dir: *//p' /etc/patroni/config.yml)/base\""


def observe_holdings(estate: Estate, hosts: Sequence[Host]) -> tuple[Holding, ...]:
    """What each of them holds, side by side; a host that does not answer, or holds no data, is left out."""
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        return tuple(found for found in pool.map(lambda host: _holding(estate, host), hosts) if found)


def observe_bytes(estate: Estate, host: Host) -> int | None:
    """How many bytes of data lie on a database host by now; None where it does not answer, or holds none."""
    try:
        done = ssh.ask(estate, host, BYTES, TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    words = done.stdout.split()
    return int(words[0]) if words and words[0].isdigit() else None


def _holding(estate: Estate, host: Host) -> Holding | None:
    try:
        done = ssh.ask(estate, host, "python3 -", TIMEOUT_SECONDS, given=PROGRAM.read_text())
        said = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None
    if said is None:
        return None
    forks = tuple((int(number), int(end)) for number, end in said.pop("forks"))
    return Holding(name=host.name, forks=forks, **said)
