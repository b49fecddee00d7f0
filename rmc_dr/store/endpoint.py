"""Where the estate's object store answers, and by which CA it is proven."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rmc_dr.estate import Estate

SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Endpoint:
    """``name`` is what its certificate must hold; ``address`` where it is reached: a host's, or the name."""

    name: str
    address: str
    port: int
    authority: Path

    @property
    def url(self) -> str:
        """For clients of this machine, which cannot resolve the estate's names."""
        return f"https://{self.address}:{self.port}"


def of(estate: Estate) -> Endpoint:
    """The estate's endpoint: one of its own hosts with the estate's CA, or a name of somebody else's."""
    parts = urlsplit(estate.config.s3.endpoint)
    name, port = parts.hostname or "", parts.port or 443
    if name in estate.hosts:
        return Endpoint(name, estate.hosts[name].address, port, estate.private_dir / "ca.pem")
    return Endpoint(name, name, port, SYSTEM_AUTHORITIES)
