"""What an inspection makes of what it saw: trends, versions, patches, risks, comparison; and its record."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest
import yaml
from check_world import healthy
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds_world import DAY, NOW, facts, risk
from test_incident import CRITICAL

from rmc_dr import content, response
from rmc_dr.backups import Level
from rmc_dr.check.findings import Area, Finding
from rmc_dr.check.judge import judge
from rmc_dr.check.seen import Inspected
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.estate_inspection import InspectionConfig
from rmc_dr.incident import clocks
from rmc_dr.incident import record as incidents
from rmc_dr.kit.manifest import Manifest
from rmc_dr.rounds import capacity, make, risks
from rmc_dr.rounds.ask import question
from rmc_dr.rounds.compare import by_weight, compare
from rmc_dr.rounds.facts import Disk
from rmc_dr.rounds.patches import NO_IMAGE, NO_KIT, UNTOLD, compared
from rmc_dr.rounds.told import Told, read
from rmc_dr.rounds.trend import HORIZON_DAYS, enough, slope, trend
from rmc_dr.rounds.versions import compare as by_version
from rmc_dr.rounds.versions import newer

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
POINTS = st.lists(st.tuples(MOMENTS, st.floats(0, 1e15)), max_size=12)


@given(POINTS, st.none() | st.floats(0, 1e15))
def test_no_points_break_a_trend_and_what_it_says_can_be_true(
    points: list[tuple[datetime, float]], limit: float | None
) -> None:
    found = trend(points, limit)
    assert len(found.points) == len(dict(points))
    assert (found.a_day is not None) == enough(found.points)
    if found.full is not None:
        assert found.points[-1][0] <= found.full <= found.points[-1][0] + timedelta(days=HORIZON_DAYS)


@given(st.integers(2, 10), st.floats(-1e6, 1e6), st.floats(0, 1e9))
def test_a_straight_line_is_found_again(count: int, a_day: float, start: float) -> None:
    points = [(NOW + 10 * number * DAY, start + 10 * number * a_day) for number in range(count)]
    assert slope(points) == pytest.approx(a_day, rel=1e-6, abs=1e-3)


@given(st.floats(1, 1e12), st.floats(1, 1e12))
def test_what_grows_faster_is_full_sooner(one: float, other: float) -> None:
    slow, fast = sorted((one, other))

    def full(a_day: float) -> datetime:
        points = [(NOW + 30 * number * DAY, 30 * number * a_day) for number in range(4)]
        return trend(points, 200 * max(slow, fast) + 90 * a_day).full or NOW + timedelta(days=HORIZON_DAYS)

    assert full(fast) <= full(slow)


def test_one_point_two_points_and_three_of_one_day_are_no_trend() -> None:
    for points in (
        [],
        [(NOW, 1.0)],
        [(NOW, 1.0), (NOW + 90 * DAY, 2.0)],
        [(NOW + n * DAY, 1.0) for n in range(3)],
    ):
        found = trend(points, 10.0)
        assert (found.a_day, found.full) == (None, None)
    assert trend([(NOW, 1.0), (NOW + DAY, 3.0)]).since_last == 2.0
    assert trend([(NOW, 1.0)]).since_last is None
    assert slope([(NOW, 1.0), (NOW, 2.0)]) == 0.0


def test_full_already_is_full_now() -> None:
    points = [(NOW + 30 * number * DAY, float(number)) for number in range(3)]
    assert trend(points, 1.0).full == points[-1][0]
    assert trend([*points[:2], (NOW + 60 * DAY, 0.0)], 100.0).full is None


VERSIONS = st.from_regex(r"([0-2]:)?[0-9][0-9a-c.+~]{0,6}(-[0-9a-c.+~]{1,4})?", fullmatch=True)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg orders versions here by its own word")
@settings(max_examples=60, deadline=None)
@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_dpkg_orders_them(one: str, other: str) -> None:
    words = ["dpkg", "--compare-versions", one, "gt", other]
    greater = subprocess.run(words, capture_output=True, check=False).returncode == 0
    assert newer(one, other) == greater


@given(VERSIONS, VERSIONS)
def test_of_two_versions_at_most_one_is_newer(one: str, other: str) -> None:
    assert by_version(one, other) == -by_version(other, one)
    assert by_version(one, one) == 0


ANSWER = """os Debian GNU/Linux 13 (trixie)
kernel 6.12.48+deb13-amd64
booted @1763000000
package patroni 4.0.6-1
package openjdk-21-jre-headless 21.0.8+9-1
package openssl 3.5.1-1
runtime 00ff
liberty 26.0.0.3-0123abcd
driver beef
application management 1.0.0
postgresql 17.6 (Debian 17.6-1)
database management 8000000000
database odd name 1
nonsense
"""


def test_what_a_host_answers_is_read() -> None:
    told = read(ANSWER)
    assert (told.os, told.kernel) == ("Debian GNU/Linux 13 (trixie)", "6.12.48+deb13-amd64")
    assert told.booted == datetime.fromtimestamp(1763000000, UTC)
    assert told.software == {
        "patroni": "4.0.6-1",
        "java": "21.0.8+9-1",
        "openssl": "3.5.1-1",
        "postgresql": "17.6 (Debian 17.6-1)",
        "liberty": "26.0.0.3",
    }
    assert told.applications == {"management": "1.0.0"}
    assert told.databases == {"management": 8000000000}
    assert (told.runtime, told.driver) == ("00ff", "beef")


@given(st.text() | st.from_regex(r"(booted|database|package|os) [^\n]{0,30}\n"))
def test_no_answer_breaks_the_reading(said: str) -> None:
    read(said)


def test_a_host_is_asked_only_what_it_is_for_and_nothing_that_writes(estate: Estate) -> None:
    asked = {name: question(estate, estate.host(name)) for name in ("app1", "db1", "store1")}
    assert ("psql" in asked["db1"], "psql" in asked["app1"]) == (True, False)
    assert ("/opt/apps" in asked["app1"], "/opt/apps" in asked["store1"]) == (True, False)
    for script in asked.values():
        checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
        assert not {"apt-get", "rm ", "tee", "mktemp", ">>"} & set(script.split())
        assert " >" not in script.replace("2>/dev/null", "")


def kit(**images: dict[str, str]) -> Manifest:
    files = {
        "liberty/wlp.zip": SimpleNamespace(sha256="aa"),
        "jdbc/postgresql.jar": SimpleNamespace(sha256="bb"),
    }
    versions = SimpleNamespace(
        images=images, liberty="26.0.0.9", jdbc="42.8", applications={"management": ["1.0.0", "1.1.0", "0.9"]}
    )
    return cast(Manifest, SimpleNamespace(files=files, versions=versions))


def test_what_the_kit_has_newer_waits_and_what_nobody_knows_is_unknown() -> None:
    told = {
        "app1": Told(
            packages={"openssl": "3.5.1-1", "bash": "5.2-2", "local": "1"},
            software={"liberty": "26.0.0.3"}, applications={"management": "1.0.0"}, runtime="00", driver="bb",
        ),
        "odd1": Told(packages={"openssl": "1"}),
    }  # fmt: skip
    built = kit(appserver={"openssl": "3.5.4-1", "bash": "5.2-1", "absent": "9"})
    found = compared(
        told, ["db2"], {"app1": "appserver", "odd1": "odd"}, built, "wlp.zip", {"management": {"0.9"}}
    )
    assert [(one.host, one.name, one.installed, one.offered) for one in found.waiting] == [
        ("app1", "openssl", "3.5.1-1", "3.5.4-1"),
        ("app1", "liberty", "26.0.0.3", "26.0.0.9"),
        ("app1", "management", "1.0.0", "1.1.0"),
    ]
    assert found.unknown == {"db2": UNTOLD, "odd1": NO_IMAGE}
    blind = compared(told, [], {}, None, "wlp.zip", {})
    assert (blind.waiting, set(blind.unknown.values())) == ((), {NO_KIT})


def test_risks_are_told_in_both_languages_one_a_key_and_the_worst_first(estate: Estate) -> None:
    seen = healthy(estate)
    findings = [
        Finding(Level.WARNING, "no-snapshot", Area.BACKUPS, "", "one"),
        Finding(Level.CRITICAL, "no-snapshot", Area.BACKUPS, "", "other"),
        Finding(Level.WARNING, "load-high", Area.DATABASE, "db1", "busy"),
        Finding(Level.UNKNOWN, "host-silent", Area.DATABASE, "db2", "mute"),
        Finding(Level.WARNING, risks.OF_INSPECTIONS, Area.TIMERS, "", "late"),
    ]
    found = risks.in_both(lambda: risks.found(findings, seen))
    assert [(one.weight, one.code) for one in found] == [
        ("critical", "no-snapshot"),
        ("unknown", "host-silent"),
        ("warning", "load-high"),
    ]
    assert found[0].en == "one; other"
    assert found[1].command == "rmc-dr power status db2"


def test_what_was_not_tested_is_a_risk() -> None:
    seen = facts()
    told = list(risks.untested((), ("appserver", "slip"), ("appserver",), seen.patches, verifier=False))
    assert [one.code for one in told] == ["backups-unproven", "no-drill", "drill-missing", "patches-unknown"]
    failed = seen.drills[0].model_copy(update={"passed": False})
    told = list(
        risks.untested((failed,), (), (), seen.patches.model_copy(update={"unknown": {}}), verifier=True)
    )
    assert [one.code for one in told] == ["drill-failed-appserver"]
    healed = (failed, seen.drills[0])
    assert not list(risks.untested(healed, (), (), facts(patches={"waiting": ()}).patches, verifier=True))


def test_a_broken_clock_is_critical_until_it_stops(ours: Estate) -> None:
    state = response.start(ours, "x", CRITICAL)
    later = (state.opened or NOW) + timedelta(hours=30)
    read_ = [(state, clocks.read(state, later))]
    [said] = risks.broken_clocks(read_, None)
    assert (said.weight, said.code, said.host) == ("critical", "clock-breached", state.incident)
    incidents.append(state.incident, (), "milestone", what="solved", at=later.isoformat(), operator="x")
    state = incidents.read(state.incident)
    read_ = [(state, clocks.read(state, later))]
    [said] = risks.broken_clocks(read_, later - DAY)
    assert (said.weight, said.code) == ("warning", "clock-missed")
    assert not list(risks.broken_clocks(read_, later + DAY))


def test_a_disk_that_fills_soon_is_told(estate: Estate) -> None:
    seen = [(NOW + 90 * number * DAY, facts(used=8.0 + 3 * number)) for number in range(3)]
    trends = capacity.disks(seen)
    [said] = risks.filling(trends, seen[-1][0] + 365 * DAY)
    assert (said.host, said.code) == ("db1", "disk-fills /srv")
    assert not list(risks.filling(trends, seen[-1][0] + 90 * DAY))


@given(st.lists(st.integers(0, 40), max_size=8))
def test_capacity_takes_every_inspection_and_no_negative_use(free: list[int]) -> None:
    seen = [
        (NOW + number * DAY, facts(disks=(Disk(host="a", path="/", size=20, free=amount),)))
        for number, amount in enumerate(free)
    ]
    found = capacity.disks(seen)
    assert all(0 <= value <= 20 for one in found.values() for _at, value in one.points)
    assert all(len(one.points) == len(free) for one in found.values())


def test_the_last_inspection_is_compared_by_what_not_by_words() -> None:
    before = [risk("disk-full"), risk("pair-unprotected"), risk("disk-full", host="db2")]
    now = [risk("disk-full", weight="critical", en="worse"), risk("kit-expires", host="")]
    found = compare(now, before)
    assert [one.code for one in found.new] == ["kit-expires"]
    assert [one.en for one in found.still] == ["worse"]
    assert [(one.code, one.host) for one in found.gone] == [("pair-unprotected", "db1"), ("disk-full", "db2")]
    assert by_weight([*before, *now])[0].weight == "critical"


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_each_risk_is_new_still_there_or_gone(now: set[int], before: set[int]) -> None:
    found = compare([risk(f"c{one}") for one in now], [risk(f"c{one}") for one in before])
    assert {one.code for one in found.new} == {f"c{one}" for one in now - before}
    assert {one.code for one in found.still} == {f"c{one}" for one in now & before}
    assert {one.code for one in found.gone} == {f"c{one}" for one in before - now}


@pytest.mark.parametrize(
    ("seen", "codes"),
    [
        (None, []),
        (Inspected(None, 92, never=True), []),
        (Inspected(92.0, 92), []),
        (Inspected(93.0, 92), ["inspection-late"]),
        (Inspected(93.0, 92, never=True), ["inspection-late"]),
    ],
)
def test_check_finds_an_inspection_that_nobody_made(
    estate: Estate, seen: Inspected, codes: list[str]
) -> None:
    found = judge(replace(healthy(estate), inspected=seen), estate.config.check)
    assert [(one.code, one.level) for one in found] == [(code, Level.WARNING) for code in codes]


@pytest.mark.parametrize(
    ("ticks", "faults", "code"),
    [
        (["nothing"], [], "unknown-item"),
        ([], ["printers"], "fault-without-remark"),
        ([], ["printers= "], "fault-without-remark"),
        ([], ["printers=" + "x" * 501], "fault-without-remark"),
        (["printers"], ["printers=jams"], "item-twice"),
    ],
)
def test_what_cannot_be_ticked_is_refused(ticks: list[str], faults: list[str], code: str) -> None:
    with pytest.raises(BadInput) as error:
        make.marks(["printers"], ticks, faults)
    assert error.value.code == code


def test_the_runbook_shows_an_inspection_that_can_be_meant() -> None:
    page = (content.root() / "docs" / "runbooks" / "estate.md").read_text()
    (block,) = re.findall(r"```yaml\n  inspection:\n(.*?)```", page, re.DOTALL)
    assert InspectionConfig.model_validate(yaml.safe_load(block)).days == InspectionConfig().days


def test_two_items_of_one_name_are_none() -> None:
    item = {"name": "a", "en": "a", "zh": "a"}
    with pytest.raises(ValueError, match="one name"):
        InspectionConfig.model_validate({"items": [item, item]})
