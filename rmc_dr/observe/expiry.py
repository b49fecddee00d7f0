"""Looks whether an expiry is at work on the verification host, whoever began it."""

from __future__ import annotations

import subprocess

from rmc_dr import ssh
from rmc_dr.estate import Estate

SCOPE = "rmc-dr-expiry.scope"  # as the roles pgbackrest and file_backup name it
SECONDS = 10


def expiring(estate: Estate) -> str:
    """The host that an expiry is at work on; "" where none is, or the host does not answer: what is off
    expires nothing, and backups do not depend on it.
    """
    for host in estate.group("verifier"):
        try:
            done = ssh.ask(estate, host, f"systemctl is-active --quiet {SCOPE}", SECONDS)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return host.name
    return ""
