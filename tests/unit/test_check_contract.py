"""Which alarm opens an incident, and as what: every code is decided, by the contract's own findings."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from check_world import healthy, host, silent

from rmc_dr import content
from rmc_dr.backups import Level
from rmc_dr.check.contract import BETWEEN, OPENS, OPENS_NOTHING, OPENS_OF, UNCLEAR, kept_out, ruled
from rmc_dr.check.findings import AREAS, NEXT, Area, Finding
from rmc_dr.check.judge import judge
from rmc_dr.check.seen import Ping, Reached, Seen, Way
from rmc_dr.estate import Estate
from rmc_dr.estate_limits import Thresholds
from rmc_dr.incident.findings import table

PAGE = content.root() / "docs" / "runbooks" / "check.md"


def rules(seen: Seen) -> dict[str, str | None]:
    return {one.code: ruled(one, seen) for one in judge(seen, Thresholds())}


def test_every_code_is_decided_once() -> None:
    decided = [*OPENS, *OPENS_OF, *BETWEEN, *OPENS_NOTHING]
    assert len(decided) == len(set(decided))
    assert set(NEXT) <= set(decided)


def test_what_opens_is_a_finding_of_the_contract() -> None:
    named = {*OPENS.values(), *(code for rule in OPENS_OF.values() for code in rule.values())} - {UNCLEAR}
    assert named <= set(table().findings)


def test_the_page_names_each_code_that_opens() -> None:
    section = PAGE.read_text().split("## What opens an incident")[1].split("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ") and "---" not in row]
    told = {code for row in rows[1:] for code in re.findall(r"`([a-z-]+)`", row.split("|")[2])}
    assert told == {*OPENS, *OPENS_OF, *BETWEEN}
    for row in rows[1:]:
        finding = re.findall(r"`([a-z-]+)`", row.split("|")[1])
        for code in re.findall(r"`([a-z-]+)`", row.split("|")[2]):
            if code in OPENS:
                assert finding == ([OPENS[code]] if OPENS[code] else []), code
            elif code in OPENS_OF:
                assert set(finding) <= set(OPENS_OF[code].values()), code


@pytest.mark.parametrize(
    ("name", "finding"),
    [("app1", "server-dead"), ("db2", "hardware-failed"), ("store1", "hardware-failed"), ("verify1", None)],
)
def test_a_dead_machine_is_what_it_is_for(estate: Estate, name: str, finding: str | None) -> None:
    assert rules(silent(healthy(estate), name))["host-silent"] == finding


def test_a_backup_that_is_old_and_a_disk_that_fills_open_nothing(estate: Estate) -> None:
    seen = healthy(estate)
    for code, area in (
        ("backup-old", Area.BACKUPS),
        ("disk-full", Area.APPSERVER),
        ("kit-expired", Area.KIT),
    ):
        assert ruled(Finding(Level.CRITICAL, code, area, "", ""), seen) is None
    red = Finding(Level.CRITICAL, "verification-red", Area.BACKUPS, "", "")
    assert ruled(red, seen) == "backup-not-proven"


def blocked(seen: Seen, source: str, to: str, service: str, way: Way) -> Seen:
    found = seen.facts(source)
    assert found is not None
    numbers = [
        str(number)
        for number, road in enumerate(seen.wanted[source].roads)
        if (road.to, road.service) == (to, service)
    ]
    assert numbers
    return host(seen, source, roads={**found.roads, **dict.fromkeys(numbers, Reached(way, 2000.0))})


def test_a_firewall_before_the_database_is_told_from_one_elsewhere(estate: Estate) -> None:
    seen = blocked(healthy(estate), "app1", "db1", "postgresql", Way.TIMEOUT)
    assert rules(seen) == {"port-dropped": "port-blocked"}
    seen = blocked(healthy(estate), "db2", "db1", "postgresql", Way.REFUSED)
    assert rules(seen) == {"port-rejected": None}


def test_whether_users_come_through_a_port_closed_to_us_nobody_can_say(estate: Estate) -> None:
    well = healthy(estate)
    here = {**well.here, "app1": {**well.here["app1"], "https": Reached(Way.TIMEOUT, 2000.0)}}
    assert rules(replace(well, here=here))["port-dropped"] == UNCLEAR


@pytest.mark.parametrize(("one", "other", "finding"), [("app1", "db1", "network-cut"), ("db1", "db2", None)])
def test_a_cut_holds_up_users_between_application_and_database(
    estate: Estate, one: str, other: str, finding: str | None
) -> None:
    seen = healthy(estate)
    for source, to in ((one, other), (other, one)):
        found = seen.facts(source)
        assert found is not None
        dead = {
            str(number): Reached(Way.TIMEOUT, 2000.0) if road.to == to else found.roads[str(number)]
            for number, road in enumerate(seen.wanted[source].roads)
        }
        seen = host(seen, source, pings={**found.pings, to: Ping(3, 0)}, roads=dead)
    assert rules(seen)["network-cut"] == finding


@pytest.mark.parametrize(
    ("one", "other", "finding"), [("app1", "db2", "mtu-blackhole"), ("db1", "db2", None)]
)
def test_large_packets_between_application_and_database(
    estate: Estate, one: str, other: str, finding: str | None
) -> None:
    seen = healthy(estate)
    found = seen.facts(one)
    assert found is not None
    seen = host(seen, one, pings={**found.pings, other: Ping(3, 3, 0.1, whole=False, mtu=1500)})
    assert rules(seen)["mtu-blackhole"] == finding


def test_users_are_kept_out_on_purpose_where_each_server_has_its_fence(estate: Estate) -> None:
    fenced = host(healthy(estate), "app1", fence=True)
    assert kept_out(judge(fenced, Thresholds()), fenced)
    assert not kept_out(judge(healthy(estate), Thresholds()), healthy(estate))


def test_nothing_to_type_changes_a_host_without_its_scene() -> None:
    """`start` keeps none; `restart` does, and so does a diagnosis that mends."""
    looks = ("status", "verify", "check", "diagnose", "inspect", "init", "build", "restart")
    wrong = {
        code: said
        for code, said in NEXT.items()
        if said not in ("", "rmc-dr") and not set(said.split()) & set(looks)
    }
    assert wrong == {}
    assert NEXT["liberty-down"] == NEXT["liberty-hung"] == "rmc-dr diagnose appserver"
    assert set(AREAS) == {"appserver", "dbserver", "store", "verifier"}
