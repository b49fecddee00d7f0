"""A healthy estate as one look sees it, for the tests of triage; each test breaks a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rmc_dr.check.roads import from_here, wanted
from rmc_dr.check.seen import (
    Activity,
    Answer,
    Certificate,
    Facts,
    FileSystem,
    Handles,
    Health,
    HostSeen,
    KitSeen,
    Load,
    Login,
    Name,
    Ping,
    Process,
    Reached,
    Room,
    Seen,
    TimerSeen,
    Unit,
    Way,
)
from rmc_dr.estate import Estate
from rmc_dr.model import Check
from rmc_dr.pair import EtcdMember, Limits, Node, PairObservation, PatroniView, Replica, Role
from rmc_dr.pair import Health as Voter

NOW = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
GIB = 1024**3
OPEN = Reached(Way.OPEN, 0.4)


def healthy(estate: Estate) -> Seen:
    hosts = wanted(estate)
    here: dict[str, dict[str, Reached]] = {}
    for road in from_here(estate):
        here.setdefault(road.to, {})[road.service] = OPEN
    return Seen(
        at=NOW,
        seconds=1.5,
        wanted=hosts,
        hosts={name: HostSeen(name, Answer.SYSTEM, "", facts(estate, name), (-0.4, 0.3)) for name in hosts},
        here=here,
        pair=pair(),
        activity=tuple(Activity(name, 12, 97, could_grow=GIB) for name in ("db1", "db2")),
        health=(Health("app1", live=True, ready=True),),
        logins=tuple(
            Login("app1", name, (Check("journey", True),)) for name in ("management", "verification")
        ),
        certificates=tuple(Certificate(name, service, 1500.0) for name in here for service in here[name]),
        backups=(),
        kit=KitSeen(120.0),
        timers=tuple(TimerSeen(job, installed=False, active=False) for job in ("full", "files")),
        heap_bytes=GIB,
    )


def facts(estate: Estate, name: str) -> Facts:
    hosts = wanted(estate)
    own = hosts[name]
    return Facts(
        began=NOW.timestamp(),
        ended=NOW.timestamp() + 0.4,
        load=Load(2, 1.0, 40.0),
        memory=Room(8 * GIB, 5 * GIB),
        filesystems=(
            FileSystem("/", 5 * GIB, 3 * GIB, 300000, 250000),
            FileSystem("/srv", 20 * GIB, 15 * GIB, 300000, 290000),
        ),
        handles=Handles(2000, 100000),
        units={unit: Unit("active", "running", "success") for unit in own.units},
        failed=(),
        listening=tuple(sorted({22, *own.ports.values()})),
        postgres=int("patroni.service" in own.units),
        process=Process(800, 60, GIB // 2, 300, 524288, GIB // 4) if own.group == "appserver" else None,
        fence=False,
        held=False,
        names={other.name: Name((other.address,)) for other in hosts.values()},
        pings={other: Ping(3, 3, 0.1, whole=True, mtu=1500) for other in hosts if other != name},
        roads={str(number): OPEN for number in range(len(own.roads))},
    )


def pair() -> PairObservation:
    common = {"system_identifier": "7", "timeline": 1, "checksums": True}
    primary = Node(
        "db1",
        Role.PRIMARY,
        "198.51.100.21",
        current_lsn=100,
        replicas=(Replica("db2", "198.51.100.22", "streaming", "sync", 0, 0.0),),
        **common,
    )
    standby = Node(
        "db2",
        Role.STANDBY,
        "198.51.100.22",
        received_lsn=100,
        replayed_lsn=100,
        streaming=True,
        replay_paused=False,
        replay_age_seconds=0.0,
        **common,
    )
    views = tuple(
        PatroniView(name, True, role=role, state="running", cluster_seen=True, leader="db1")
        for name, role in (("db1", "primary"), ("db2", "replica"))
    )
    voters = tuple(EtcdMember(name, Voter.HEALTHY) for name in ("db1", "db2", "store1"))
    return PairObservation((primary, standby), views, voters, Limits(16777216, 30.0))


def host(seen: Seen, name: str, **values: Any) -> Seen:
    """The look with other facts of one host."""
    before = seen.hosts[name]
    assert before.facts is not None
    return replace(seen, hosts={**seen.hosts, name: replace(before, facts=replace(before.facts, **values))})


def unit(seen: Seen, name: str, service: str, state: Unit) -> Seen:
    found = seen.facts(name)
    assert found is not None
    assert found.units is not None
    return host(seen, name, units={**found.units, service: state})


def mute(seen: Seen, name: str, *ports: int) -> Seen:
    """Nothing listens on these ports, and whoever tries is refused."""
    found = seen.facts(name)
    assert found is not None
    seen = host(seen, name, listening=tuple(port for port in found.listening or () if port not in ports))
    return road(seen, name, ports, Way.REFUSED)


def road(seen: Seen, to: str, ports: tuple[int, ...], way: Way, *, only: tuple[str, ...] = ()) -> Seen:
    """Every way to these ports, or those from ``only``, ends so; ``control`` is this machine."""
    ended = Reached(way, 1.0)
    for name, host_seen in seen.hosts.items():
        if host_seen.facts is None or (only and name not in only):
            continue
        numbers = [
            number for number, one in enumerate(seen.wanted[name].roads) if one.to == to and one.port in ports
        ]
        roads = {**host_seen.facts.roads, **{str(number): ended for number in numbers}}
        seen = host(seen, name, roads=roads)
    if only and "control" not in only:
        return seen
    services = {
        service: ended if seen.wanted[to].ports[service] in ports else reached
        for service, reached in seen.here.get(to, {}).items()
    }
    return replace(seen, here={**seen.here, to: services})


def silent(seen: Seen, name: str) -> Seen:
    """A host that is dead: nobody hears of it, and nobody reaches it."""
    ports = tuple(seen.wanted[name].ports.values())
    seen = road(seen, name, ports, Way.TIMEOUT)
    hosts = dict(seen.hosts)
    hosts[name] = HostSeen(name, Answer.SILENT, "timed out")
    seen = replace(seen, hosts=hosts)
    for other, found in seen.hosts.items():
        if found.facts:
            lost = {**found.facts.pings, name: Ping(3, 0, None, whole=False, mtu=1500)}
            seen = host(seen, other, pings=lost)
    return seen


def cut(seen: Seen, one: str, other: str) -> Seen:
    for here, there in ((one, other), (other, one)):
        found = seen.facts(here)
        assert found is not None
        seen = host(seen, here, pings={**found.pings, there: Ping(3, 0, None, whole=False, mtu=1500)})
        seen = road(seen, there, tuple(seen.wanted[there].ports.values()), Way.TIMEOUT, only=(here,))
    return seen


def pings(seen: Seen, name: str, changes: Mapping[str, Ping]) -> Seen:
    found = seen.facts(name)
    assert found is not None
    return host(seen, name, pings={**found.pings, **changes})
