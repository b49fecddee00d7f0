"""Looks how much room a database host has beside its data."""

from __future__ import annotations

import subprocess

from rmc_dr import ssh
from rmc_dr.backups.forecast import DataRoom
from rmc_dr.estate import Estate, Host

TIMEOUT_SECONDS = 60  # the data is measured file by file
# Blocks that are free and the bytes of one; then what the data takes. Files come and go meanwhile.
LOOK = (
    "d=$(sed -n 's/^ *data_dir: *//p' /etc/patroni/config.yml) && test -n \"$d\" && "
    'stat -f -c \'%a %S\' "$(dirname "$d")" && '
    '{ du --summarize --block-size=1 "$d" 2>/dev/null || true; } | cut -f1'
)


def observe_room(estate: Estate, host: Host) -> DataRoom | None:
    """One look, bounded by a minute; None where it cannot be told."""
    try:
        done = ssh.ask(estate, host, LOOK, TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return read(done.stdout) if done.returncode == 0 else None


def read(said: str) -> DataRoom | None:
    """What the host's two lines say. Pure. Data that is not there takes nothing."""
    words = said.split()
    if len(words) not in (2, 3) or not all(word.isdigit() for word in words):
        return None
    blocks, block, *data = map(int, words)
    return DataRoom(blocks * block, data[0] if data else 0)
