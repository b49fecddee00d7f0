"""Triage: each fault is named by its own code, the cause comes first, and nothing beside it misleads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from check_world import GIB, cut, healthy, host, mute, pair, pings, road, silent, unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmc_dr import content
from rmc_dr.backups import Level, Remark
from rmc_dr.check.findings import NEXT, Area, Finding, in_order, level_of
from rmc_dr.check.judge import blind, judge
from rmc_dr.check.monitoring import nagios, prometheus
from rmc_dr.check.roads import from_here, wanted
from rmc_dr.check.seen import (
    Answer,
    Certificate,
    Facts,
    FileSystem,
    Health,
    HostSeen,
    KitSeen,
    Load,
    Login,
    Name,
    Ping,
    Reached,
    Room,
    Seen,
    TimerSeen,
    Unit,
    Way,
)
from rmc_dr.estate import Estate, EstateConfig
from rmc_dr.estate_limits import Above, Below, Thresholds
from rmc_dr.model import Check
from rmc_dr.pair import Health as Voter
from rmc_dr.pair import Node, Role

LIMITS = Thresholds()
DEAD = Unit("failed", "failed", "exit-code")
Fault = Callable[[Seen], Seen]


@pytest.fixture
def well(estate: Estate) -> Seen:
    return healthy(estate)


def codes(seen: Seen) -> list[tuple[str, str]]:
    return [(one.code, one.host) for one in judge(seen, LIMITS)]


def test_a_healthy_estate_has_no_finding(well: Seen) -> None:
    assert judge(well, LIMITS) == []


def test_what_is_unknown_is_no_finding_and_no_fault(well: Seen) -> None:
    """Every single value may be missing."""
    for name in well.hosts:
        for value in ("load", "memory", "filesystems", "handles", "units", "failed", "listening", "postgres"):
            assert codes(host(well, name, **{value: None})) == [], (name, value)
        assert codes(host(well, name, process=None, fence=None, held=None)) == []
        assert codes(host(well, name, names={}, pings={}, roads={})) == []


def pair_seen(seen: Seen, **roles: Role) -> Seen:
    base = pair()
    nodes = tuple(
        Node(node.name, roles[node.name], node.address, "connection refused") if node.name in roles else node
        for node in base.nodes
    )
    return replace(seen, pair=replace(base, nodes=nodes))


def liberty_dead(seen: Seen) -> Seen:
    seen = mute(unit(seen, "app1", "liberty.service", DEAD), "app1", 9443)
    failed = (Login("app1", "management", (Check("journey", False, "no answer"),)),)
    return replace(seen, health=(Health("app1", None, None, trouble="refused"),), logins=failed)


def standby_stopped(seen: Seen) -> Seen:
    seen = unit(seen, "db2", "patroni.service", Unit("inactive", "dead", "success"))
    seen = mute(host(seen, "db2", postgres=0), "db2", 5432, 8008)
    return pair_seen(seen, db2=Role.DOWN)


def disk_full(seen: Seen) -> Seen:
    return host(seen, "app1", filesystems=(FileSystem("/srv", 100 * GIB, GIB, 1000, 900),))


def voter_stopped(seen: Seen) -> Seen:
    seen = mute(unit(seen, "store1", "etcd.service", Unit("inactive")), "store1", 2379, 2380)
    voters = tuple(
        replace(member, health=Voter.DOWN) if member.name == "store1" else member for member in pair().etcd
    )
    return replace(seen, pair=replace(pair(), etcd=voters))


def store_dead(seen: Seen) -> Seen:
    seen = mute(unit(seen, "store1", "ceph-radosgw@rgw.a.service", DEAD), "store1", 443)
    return replace(seen, backups=(Remark(Level.CRITICAL, "store-unreachable", "the store is silent"),))


def wrong_hosts(seen: Seen) -> Seen:
    found = seen.facts("app1")
    assert found is not None
    return host(seen, "app1", names={**found.names, "db1": Name(("203.0.113.9",))})


def standby_dead(seen: Seen) -> Seen:
    return pair_seen(silent(seen, "db2"), db2=Role.UNKNOWN)


def black_hole(seen: Seen) -> Seen:
    seen = pings(seen, "app1", {"db1": Ping(3, 3, 0.1, whole=False, mtu=1500)})
    return road_tls(seen, "db1", "db2", "timed out")


def road_tls(seen: Seen, source: str, to: str, said: str) -> Seen:
    found = seen.facts(source)
    assert found is not None
    numbers = [str(n) for n, one in enumerate(seen.wanted[source].roads) if one.to == to]
    return host(seen, source, roads={**found.roads, **{n: Reached(Way.OPEN, 1.0, said) for n in numbers}})


def clock(seen: Seen) -> Seen:
    off = replace(seen.hosts["db1"], skew=(119.0, 121.0))
    return replace(seen, hosts={**seen.hosts, "db1": off})


FAULTS: dict[str, tuple[Fault, list[tuple[str, str]]]] = {
    "liberty": (liberty_dead, [("liberty-down", "app1")]),
    "standby-stopped": (standby_stopped, [("patroni-down", "db2"), ("pair-standby-down", "")]),
    "disk": (disk_full, [("disk-full", "app1")]),
    "voter": (voter_stopped, [("etcd-down", "store1"), ("pair-unprotected", "")]),
    "store": (store_dead, [("unit-down", "store1"), ("store-unreachable", "")]),
    "names": (wrong_hosts, [("name-wrong", "app1")]),
    "host": (standby_dead, [("host-silent", "db2"), ("pair-standby-down", "")]),
    "clock": (clock, [("clock-skew", "db1")]),
    "cut": (lambda seen: cut(seen, "app1", "db1"), [("network-cut", "app1")]),
    "drop": (lambda seen: road(seen, "db1", (5432,), Way.TIMEOUT, only=("app1",)), [("port-dropped", "db1")]),
    "reject": (
        lambda seen: road(seen, "db1", (5432,), Way.REFUSED, only=("app1",)),
        [("port-rejected", "db1")],
    ),
    "mtu": (
        lambda seen: pings(seen, "app1", {"db1": Ping(3, 3, 0.1, whole=False, mtu=1500)}),
        [("mtu-blackhole", "app1")],
    ),
    "rescue": (
        lambda seen: replace(seen, hosts={**seen.hosts, "app1": HostSeen("app1", Answer.RESCUE)}),
        [("host-rescue", "app1")],
    ),
    "fence": (lambda seen: host(seen, "app1", fence=True), [("users-fenced", "app1")]),
    "held": (
        lambda seen: mute(
            host(unit(seen, "db2", "patroni.service", Unit("inactive")), "db2", held=True, postgres=0),
            "db2",
            5432,
            8008,
        ),
        [("patroni-held", "db2")],
    ),
    "postgres": (lambda seen: mute(host(seen, "db1", postgres=0), "db1", 5432), [("postgres-down", "db1")]),
    "pgbackrest": (
        lambda seen: mute(unit(seen, "db1", "pgbackrest.service", DEAD), "db1", 8432),
        [("pgbackrest-down", "db1")],
    ),
    "mute": (lambda seen: mute(seen, "app1", 9443), [("liberty-mute", "app1")]),
    "not-ready": (
        lambda seen: replace(seen, health=(Health("app1", True, False, ("management",)),)),
        [("application-not-ready", "app1")],
    ),
    "hung": (
        lambda seen: replace(
            seen,
            health=(Health("app1", None, None, trouble="timed out"),),
            logins=(Login("app1", "management", (Check("journey", False, "no answer"),)),),
            here={**seen.here, "app1": {"https": Reached(Way.OPEN, 0.3, "timed out")}},
        ),
        [("liberty-hung", "app1")],
    ),
    "login": (
        lambda seen: replace(
            seen, logins=(Login("app1", "management", (Check("journey 2/2", False, "answered 401"),)),)
        ),
        [("login-fails", "app1")],
    ),
    "port": (lambda seen: mute(seen, "db1", 2379), [("port-closed", "db1")]),
    "kit": (lambda seen: replace(seen, kit=KitSeen(None, "kit-missing", "no kit")), [("kit-unusable", "")]),
    "kit-old": (lambda seen: replace(seen, kit=KitSeen(-1.0)), [("kit-expired", "")]),
    "certificate": (
        lambda seen: replace(seen, certificates=(Certificate("db1", "patroni", 10.0),)),
        [("certificate-ends", "db1")],
    ),
    "certificate-wrong": (
        lambda seen: road_tls(
            replace(seen, certificates=(Certificate("db2", "patroni", None, "expired"),)), "db1", "db2", "x"
        ),
        [("certificate-wrong", "db2")],
    ),
    "timer": (
        lambda seen: replace(seen, timers=(TimerSeen("full", True, False), TimerSeen("files", False, False))),
        [("timer-stopped", ""), ("timer-missing", "")],
    ),
    "load": (lambda seen: host(seen, "db1", load=Load(2, 40.0, 100.0)), [("load-high", "db1")]),
    "memory": (lambda seen: host(seen, "db1", memory=Room(100, 2)), [("memory-short", "db1")]),
    "units": (lambda seen: host(seen, "db1", failed=("cron.service",)), [("units-failed", "db1")]),
    "unseen": (lambda seen: host(seen, "db1", errors={"units": "hangs"}), [("not-seen", "db1")]),
    "part": (lambda seen: replace(seen, kit=None, errors={"kit": "unreadable"}), [("not-seen", "")]),
    "wal": (
        lambda seen: replace(
            seen, activity=(replace(seen.activity[0], could_grow=16 * GIB), seen.activity[1])
        ),
        [("wal-room", "db1")],
    ),
    "idle": (
        lambda seen: replace(seen, activity=(replace(seen.activity[0], idle_seconds=900.0),)),
        [("transaction-idle", "db1")],
    ),
    "lock": (
        lambda seen: replace(seen, activity=(replace(seen.activity[0], waiting=3, waiting_seconds=400.0),)),
        [("lock-waits", "db1")],
    ),
    "connections": (
        lambda seen: replace(seen, activity=(replace(seen.activity[0], connections=96),)),
        [("connections-short", "db1")],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_nothing_beside_it(well: Seen, name: str) -> None:
    fault, expected = FAULTS[name]
    assert codes(fault(well)) == expected


def test_every_fault_is_told_in_a_sentence_with_what_to_do(well: Seen) -> None:
    for fault, _expected in FAULTS.values():
        for finding in judge(fault(well), LIMITS):
            assert finding.text
            assert "{" not in finding.text + finding.next("appserver")


def test_the_cause_comes_before_its_consequences(well: Seen) -> None:
    """The primary's host is dead: the pair and the applications say so too, behind it."""
    seen = pair_seen(silent(well, "db1"), db1=Role.UNKNOWN, db2=Role.UNKNOWN)
    seen = replace(seen, health=(Health("app1", True, False, ("management",)),))
    found = codes(seen)
    assert found[0] == ("host-silent", "db1")
    assert ("application-not-ready", "app1") in found


def test_a_firewall_between_here_and_postgresql_does_not_make_a_verdict(well: Seen) -> None:
    """A reject looks like a stopped PostgreSQL from here; the host knows better."""
    for way in (Way.REFUSED, Way.TIMEOUT):
        seen = road(well, "db1", (5432,), way, only=("control",))
        seen = pair_seen(seen, db1=Role.DOWN if way is Way.REFUSED else Role.UNKNOWN)
        seen = replace(
            seen,
            backups=(Remark(Level.UNKNOWN, "archiver-unknown", "no single primary"),),
            errors={"activity db1": "no connection"},
        )
        expected = "port-rejected" if way is Way.REFUSED else "port-dropped"
        assert codes(seen) == [(expected, "db1")]


def test_one_host_that_nobody_reaches_is_named_once(well: Seen) -> None:
    seen = well
    for other in ("app1", "db2", "store1", "verify1"):
        seen = cut(seen, "db1", other)
    (found,) = [one for one in judge(seen, LIMITS) if one.code == "network-cut"]
    assert found.host == "db1"
    assert found.value == "app1, db2, store1, verify1"


def test_a_cut_from_here_alone_is_no_dead_host(well: Seen) -> None:
    dead = HostSeen("db1", Answer.SILENT, "timed out")
    seen = road(well, "db1", tuple(well.wanted["db1"].ports.values()), Way.TIMEOUT, only=("control",))
    assert codes(replace(seen, hosts={**seen.hosts, "db1": dead}))[0] == ("network-cut", "db1")
    ports_open = replace(well, hosts={**well.hosts, "db1": dead})
    assert codes(ports_open)[0] == ("ssh-refused", "db1")


def test_where_nothing_answers_this_machine_is_suspected(well: Seen) -> None:
    seen = well
    for name in list(well.hosts):
        seen = silent(seen, name)
    assert codes(seen)[0] == ("nothing-answers", "")
    assert "host-silent" not in dict(codes(seen))


def test_pings_that_a_firewall_forbids_prove_nothing(well: Seen) -> None:
    seen = well
    for name in well.hosts:
        lost = {other: Ping(3, 0, None, whole=False, mtu=1500) for other in well.hosts if other != name}
        seen = host(seen, name, pings=lost)
    assert codes(seen) == []


def test_our_own_clock_is_suspected_where_all_others_agree(well: Seen) -> None:
    off = {name: replace(one, skew=(60.0, 60.5)) for name, one in well.hosts.items()}
    assert codes(replace(well, hosts=off)) == [("clock-skew", "")]


def test_a_liberty_that_is_tried_again_and_again_is_down(well: Seen) -> None:
    again = Unit("activating", "auto-restart", "exit-code", 4)
    assert codes(mute(unit(well, "app1", "liberty.service", again), "app1", 9443))[0] == (
        "liberty-down",
        "app1",
    )


def test_which_hosts_a_look_is_blind_for(well: Seen) -> None:
    assert blind(silent(well, "db2")) == {"db2"}


def test_what_is_asked_of_each_host(estate: Estate) -> None:
    hosts = wanted(estate)
    assert list(hosts) == ["app1", "db1", "db2", "store1", "verify1"]
    ways = {(name, road.to, road.port) for name, one in hosts.items() for road in one.roads}
    assert {
        ("app1", "db1", 5432),
        ("app1", "store1", 443),
        ("db1", "db2", 8432),
        ("store1", "db2", 2380),
    } <= ways
    assert ("verify1", "db1", 5432) not in ways, "its own firewall lets it go to the store alone"
    assert {road.service for road in from_here(estate)} == {"https", "postgresql", "patroni", "etcd", "s3"}


def test_the_store_of_somebody_else_is_reached_by_its_name(estate: Estate) -> None:
    raw = estate.config.model_dump(mode="json", by_alias=True)
    raw["s3"]["endpoint"] = "https://s3.hospital.example:8443"
    foreign = replace(estate, config=EstateConfig.model_validate(raw))
    (road_to_store,) = [one for one in wanted(foreign)["app1"].roads if one.service == "s3"]
    assert (road_to_store.address, road_to_store.port, road_to_store.tls) == (
        "s3.hospital.example",
        8443,
        False,
    )
    assert "s3" not in wanted(foreign)["store1"].ports
    seen = road(healthy(foreign), "s3.hospital.example", (8443,), Way.UNRESOLVED, only=("app1",))
    assert codes(seen) == [("name-unresolved", "app1")]


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1000))
def test_levels_grow_with_the_value(value: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    order = [None, Level.WARNING, Level.CRITICAL]
    above, below = Above(warning=low, critical=high), Below(warning=high, critical=low)
    assert order.index(level_of(value, above)) <= order.index(level_of(value + 1, above))
    assert order.index(level_of(value, below)) >= order.index(level_of(value + 1, below))
    assert level_of(None, above) is None


@given(st.permutations([Finding(level, code, Area.NETWORK, "", "") for level in Level for code in NEXT][:40]))
def test_the_order_does_not_depend_on_who_looked_first(found: list[Finding]) -> None:
    assert [(*one.key, one.level) for one in in_order(found)] == [
        (*one.key, one.level) for one in in_order(reversed(found))
    ]


@given(st.from_type(Facts), st.from_type(Facts), st.sampled_from(Answer))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_a_host_tells_it_is_judged(estate: Estate, one: Facts, other: Facts, answer: Answer) -> None:
    """Nonsense of one host must not keep the others from being judged."""
    seen = healthy(estate)
    hosts = {
        **seen.hosts,
        "app1": replace(seen.hosts["app1"], facts=one),
        "db1": replace(seen.hosts["db1"], facts=other),
        "db2": HostSeen("db2", answer, "{x} |"),
    }
    found = judge(replace(seen, hosts=hosts), LIMITS)
    assert in_order(found) == found
    assert {finding.code for finding in found} <= set(NEXT)
    assert nagios(found, 1.0).count("\n") == 0
    assert prometheus(replace(seen, hosts=hosts), found, "lab").endswith("\n")


def test_every_code_stands_in_the_runbook() -> None:
    page = (content.root() / "docs" / "runbooks" / "check.md").read_text()
    assert [code for code in NEXT if f"`{code}`" not in page] == []
