"""What the lab's hosts are doing, as the system tells."""

from __future__ import annotations

from dataclasses import dataclass

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate
from rmc_dr.files import read_json
from rmc_dr.lab import condition, disks, faults, hardware, machine, network, presence
from rmc_dr.lab.place import folder


@dataclass(frozen=True)
class HostStatus:
    """One host. ``mode`` is off, disk, rescue or none (not made yet); ``cut`` lists addresses."""

    name: str
    address: str
    mode: str
    disk: str = ""
    written_mib: int = 0
    broken: str | None = None
    cut: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabStatus:
    up: bool
    hosts: tuple[HostStatus, ...]


def status(estate: Estate) -> LabStatus:
    """Reads only."""
    up = bool(read_json(folder() / presence.FILE).get("up")) and network.is_up(estate.config.network)
    return LabStatus(up, tuple(_host(host.name, host.address) for host in presence.own_hosts(estate)))


def _host(name: str, address: str) -> HostStatus:
    try:
        made = hardware.of(name)
    except Refused:
        return HostStatus(name, address, "none")
    if not made.image.exists():
        return HostStatus(name, made.address, "none")
    return HostStatus(
        name=name,
        address=made.address,
        mode=machine.mode(name),
        disk=str(made.image),
        written_mib=made.image.stat().st_blocks * disks.SECTOR // faults.MIB,
        broken=condition.of(made).broken,
        cut=tuple(faults.cut_from(name)),
    )
