"""The part `evidence` of estate.yml: what is kept before anything is restarted, and how much of it."""

from __future__ import annotations

from pydantic import Field

from rmc_dr.strict import Strict


class NetworkLog(Strict):
    """Where the logs of switches and firewalls arrive: a file or folder on a host, or on ``control``."""

    host: str = Field(min_length=1)
    path: str = Field(pattern=r"^/[A-Za-z0-9._/-]+$")


class EvidenceConfig(Strict):
    """``hours`` is how far back logs are read; ``total_mib`` the most that one collection may take here.

    ``heap_mib`` is the most that Java's heaps may take beside it, where they are asked for.
    """

    hours: int = Field(default=24, ge=1, le=24 * 31)
    total_mib: int = Field(default=2048, ge=64)
    heap_mib: int = Field(default=8192, ge=64)
    network_logs: list[NetworkLog] = Field(default_factory=list)
