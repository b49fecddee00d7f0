"""What should run, listen and be reached, out of the estate alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmc_dr.estate import Estate, Host
from rmc_dr.store import endpoint

PGBACKREST_PORT = 8432
CONTROL = "control"
GROUPS = ("appserver", "dbserver", "store", "verifier")
UNITS = {
    "appserver": ("liberty.service",),
    "dbserver": ("etcd.service", "patroni.service", "pgbackrest.service"),
    "store": ("etcd.service",),
}
OWN_STORE = ("ceph-mon@a.service", "ceph-osd@0.service", "ceph-radosgw@rgw.a.service")


@dataclass(frozen=True)
class Road:
    """One port that a host must reach. ``address`` is a name where the store is somebody else's.

    ``tls``: the host speaks TLS there with its own certificate, and proves the other side's.
    """

    to: str
    address: str
    port: int
    service: str
    tls: bool = True


@dataclass(frozen=True)
class Wanted:
    """What one host should be: its units, its ports by the service behind them, and where it must get to.

    ``data`` is where its data partition is mounted; "" where nobody says.
    """

    name: str
    group: str
    address: str
    units: tuple[str, ...]
    ports: Mapping[str, int]
    roads: tuple[Road, ...]
    data: str = ""


def wanted(estate: Estate) -> dict[str, Wanted]:
    """Every host of the estate by its name; builders are none."""
    return {
        host.name: Wanted(
            name=host.name,
            group=group,
            address=host.address,
            units=_units(estate, host, group),
            ports=_ports(estate, host, group),
            roads=tuple(_roads(estate, host, group)),
            data=host.disk.data if host.disk else "",
        )
        for group in GROUPS
        for host in estate.group(group)
    }


def from_here(estate: Estate) -> tuple[Road, ...]:
    """The ports that this machine asks; each of them proves its certificate."""
    return tuple(
        Road(host.name, host.address, port, service)
        for host in wanted(estate).values()
        for service, port in host.ports.items()
        if service not in ("etcd-peer", "pgbackrest")
    )


def own_store(estate: Estate) -> str | None:
    """The estate's host that the endpoint names; None where the store is somebody else's."""
    name = endpoint.of(estate).name
    return name if name in estate.hosts else None


def _units(estate: Estate, host: Host, group: str) -> tuple[str, ...]:
    units = UNITS.get(group, ())
    return (*units, *OWN_STORE) if own_store(estate) == host.name else units


def _ports(estate: Estate, host: Host, group: str) -> dict[str, int]:
    config = estate.config
    etcd = {"etcd": config.etcd.client_port, "etcd-peer": config.etcd.peer_port}
    match group:
        case "appserver":
            return {"https": config.applications.port}
        case "dbserver":
            return {
                "postgresql": config.database.port,
                "patroni": config.database.rest_port,
                "pgbackrest": PGBACKREST_PORT,
                **etcd,
            }
        case "store":
            return {**etcd, **({"s3": endpoint.of(estate).port} if own_store(estate) == host.name else {})}
    return {}


def _roads(estate: Estate, host: Host, group: str) -> list[Road]:
    """What the applications, the pair and the backups use; the firewalls let no more through."""
    databases = [other for other in estate.group("dbserver") if other is not host]
    services = {
        "appserver": ("postgresql",),
        "dbserver": ("postgresql", "patroni", "etcd", "etcd-peer", "pgbackrest"),
        "store": ("etcd", "etcd-peer"),
    }.get(group, ())
    roads = [
        Road(other.name, other.address, port, service, tls=service != "postgresql")
        for other in databases
        for service, port in _ports(estate, other, "dbserver").items()
        if service in services
    ]
    voters = [other for other in estate.group("store") if other is not host and group == "dbserver"]
    roads += [
        Road(other.name, other.address, port, service)
        for other in voters
        for service, port in _ports(estate, other, "store").items()
        if service != "s3"
    ]
    return [*roads, *_to_store(estate, group)]


def _to_store(estate: Estate, group: str) -> list[Road]:
    if group not in ("appserver", "dbserver", "verifier"):
        return []
    store = endpoint.of(estate)
    return [Road(store.name, store.address, store.port, "s3", tls=store.name in estate.hosts)]
