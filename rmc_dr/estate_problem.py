"""One thing that is wrong with an estate's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmc_dr.estate import ESTATE_FILE, Estate, Host

ESTATE = Path(ESTATE_FILE).name
HOSTS = "hosts.yml"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: in which file, at which key, and what to do. A warning stops nothing."""

    file: str
    key: str
    message: str
    remedy: str
    warning: bool = False


def own_hosts(estate: Estate) -> list[Host]:
    return [host for host in estate.hosts.values() if "builder" not in host.groups]
