"""`rmc-dr check` on real hosts: green when all is well, and each fault is named first and by its own code."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import INVENTORY, RMC_DR, Lab
from pair import Pair, mend

pytestmark = [pytest.mark.lab, pytest.mark.long]
DEAD_SECONDS = 8  # its timeouts, which run side by side, and the look itself
PAIR_NOT_WELL = {
    "pair-standby-down",
    "pair-unprotected",
    "pair-unknown",
    "pair-no-primary",
    "pair-standby-lagging",
}
USERS = {"application-not-ready", "login-fails"}
# The lab's hosts share this machine with its tests.
BUSY = {"load-high", "latency-high"}
# Nobody verifies the lab's backups by night, and other tests have thrown away what they wrote.
NIGHT = {"never-verified", "verification-old", "archive-gap", "not-listed"}
PORT = 5432


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    mend(lab)


@pytest.fixture
def calm(lab: Lab) -> Iterator[Lab]:
    """The lab without an open incident, before and after: a watch opens one."""
    lab.run("incident", "close", "left by an earlier test")
    yield lab
    lab.run("incident", "close", "the end of a test")


def within(seconds: float, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(1)


def until_well(lab: Lab) -> None:
    within(60, lambda: not {one["code"] for one in look(lab)} & {"liberty-down", *USERS})


def look(lab: Lab, *, backups: bool = False) -> list[dict[str, Any]]:
    """The findings of one look, without those of the lab's own life."""
    document = json.loads(lab.run("check", "--json").out)
    return [
        one
        for one in document["findings"]
        if one["code"] not in BUSY | NIGHT and (backups or one["area"] != "backups" or one["host"])
    ]


def until_first(lab: Lab, code: str, host: str, seconds: float = 45) -> list[dict[str, Any]]:
    """Look until this finding comes first: a service needs a moment to die, a pool to notice."""
    deadline = time.monotonic() + seconds
    while True:
        found = look(lab)
        if found and (found[0]["code"], found[0]["host"]) == (code, host):
            return found
        assert time.monotonic() < deadline, json.dumps(found, indent=1)
        time.sleep(1)


def nothing_else(found: list[dict[str, Any]], *allowed: str) -> None:
    """Consequences may be told; anything else would send an engineer the wrong way."""
    others = {one["code"] for one in found[1:]} - {found[0]["code"], "archive-behind", *allowed}
    assert others == set(), json.dumps(found, indent=1)


def address(lab: Lab, host: str) -> str:
    return lab.estate().host(host).address


@contextmanager
def rule(pair: Pair, host: str, text: str) -> Iterator[None]:
    """One rule of nftables in what comes in to a host."""
    chain = "chain input { type filter hook input priority -20; "
    pair.on(host, f"printf '%s\\n' 'table inet cut {{ {chain}{text} }}; }}' | nft -f -")
    try:
        yield
    finally:
        pair.on(host, "nft delete table inet cut")


def test_a_healthy_lab_is_green(pair: Pair):
    pair.lab.ok("backup", "run", "--full")
    deadline = time.monotonic() + 60
    while found := look(pair.lab, backups=True):
        assert time.monotonic() < deadline, json.dumps(found, indent=1)
        time.sleep(2)


def test_every_part_was_really_seen(pair: Pair):
    """Green must not mean that nothing was looked at."""
    seen = json.loads(pair.lab.run("check", "--json").out)["seen"]
    hosts = pair.lab.estate()
    for name in ("app1", "db1", "db2", "store1", "verify1"):
        facts = seen["hosts"][name]["facts"]
        assert facts["errors"] == {}
        assert {disk["path"] for disk in facts["filesystems"]} == {"/", "/srv"}
        assert len(facts["names"]) == 5
        assert {ping["received"] for ping in facts["pings"].values()} == {3}
        assert {ping["whole"] for ping in facts["pings"].values()} == {True}
        assert all(road["why"] == "" and road["tls"] == "" for road in facts["roads"].values())
        assert facts["listening"]
    process = seen["hosts"]["app1"]["facts"]["process"]
    assert process["threads"] > 10
    assert 0 < process["heap"] < hosts.config.liberty.heap_mib * 1024**2
    assert {one["host"] for one in seen["activity"]} == {"db1", "db2"}
    assert all(
        0 < one["connections"] < one["limit"] for one in seen["activity"] if one["host"] == pair.primary
    )
    assert seen["health"] == [{"host": "app1", "live": True, "ready": True, "down": [], "trouble": ""}]
    assert {one["application"] for one in seen["logins"]} == {"management", "verification"}
    assert {one["host"] for one in seen["certificates"]} == {"app1", "db1", "db2", "store1"}
    assert seen["kit"]["days"] > 0


def test_a_cut_network_is_named_by_its_two_ends(pair: Pair):
    pair.lab.ok("lab", "break", "app1", "--how", "network", "--to", pair.primary)
    nothing_else(until_first(pair.lab, "network-cut", "app1"), *USERS, "liberty-hung")


def test_a_dead_liberty(pair: Pair):
    pair.lab.ok("lab", "break", "app1", "--how", "process")
    nothing_else(until_first(pair.lab, "liberty-down", "app1"), "units-failed")


def test_a_hung_liberty(pair: Pair):
    signal = "systemctl kill --signal {} liberty"
    pair.on("app1", signal.format("STOP"))
    try:
        nothing_else(until_first(pair.lab, "liberty-hung", "app1"))
    finally:
        pair.on("app1", signal.format("CONT"))


def test_a_stopped_patroni(pair: Pair):
    pair.on(pair.standby, "systemctl stop patroni")
    nothing_else(until_first(pair.lab, "patroni-down", pair.standby), *PAIR_NOT_WELL)


def test_a_full_disk(pair: Pair):
    pair.on("app1", "fallocate -l $(( $(df --output=avail -B1 /srv | tail -1) * 98 / 100 )) /srv/filler")
    try:
        found = until_first(pair.lab, "disk-full", "app1")
        assert "/srv" in found[0]["text"]
        nothing_else(found)
    finally:
        pair.on("app1", "rm -f /srv/filler")


@pytest.mark.parametrize(
    ("verdict", "code"), [("drop", "port-dropped"), ("reject with tcp reset", "port-rejected")]
)
def test_a_firewall_between_the_applications_and_their_database(pair: Pair, verdict: str, code: str):
    text = f"ip saddr {address(pair.lab, 'app1')} tcp dport {PORT} {verdict};"
    with rule(pair, pair.primary, text):
        found = until_first(pair.lab, code, pair.primary)
        assert "app1" in found[0]["text"]
        nothing_else(found, *USERS, "liberty-hung")


def test_a_firewall_against_this_machine_does_not_make_a_verdict(pair: Pair):
    """Seen from here PostgreSQL looks stopped; its own host says that it listens."""
    text = f"ip saddr {pair.lab.estate().config.network.control[0]} tcp dport {PORT} reject with tcp reset;"
    with rule(pair, pair.primary, text):
        nothing_else(until_first(pair.lab, "port-rejected", pair.primary))


def test_a_black_hole_for_large_packets(pair: Pair):
    text = f"ip saddr {address(pair.lab, pair.primary)} meta length > 1400 drop;"
    with rule(pair, "app1", text):
        nothing_else(until_first(pair.lab, "mtu-blackhole", "app1"), *USERS, "liberty-hung")


def test_a_wrong_name(pair: Pair):
    pair.on(
        "app1",
        f"cp -a /etc/hosts /root/hosts; sed -i 's/.* {pair.primary}$/203.0.113.9 {pair.primary}/' /etc/hosts",
    )
    try:
        found = until_first(pair.lab, "name-wrong", "app1")
        assert "203.0.113.9" in found[0]["text"]
        nothing_else(found, *USERS)
    finally:
        pair.on("app1", "cat /root/hosts >/etc/hosts; rm /root/hosts")


def test_a_stopped_store(pair: Pair):
    gateway = "ceph-radosgw@rgw.a.service"
    pair.on("store1", f"systemctl stop {gateway}")
    try:
        until_first(pair.lab, "unit-down", "store1")
        found = look(pair.lab, backups=True)
        assert "store-unreachable" in {one["code"] for one in found}
        nothing_else(found, "store-unreachable", "archive-behind", "archive-failing")
    finally:
        pair.on("store1", f"systemctl start {gateway}")


def test_a_dead_host_costs_its_timeout_once(pair: Pair):
    pair.lab.ok("lab", "break", pair.standby, "--how", "off")
    nothing_else(until_first(pair.lab, "host-silent", pair.standby), *PAIR_NOT_WELL)
    began = time.monotonic()
    said = pair.lab.run("check", "--nagios")
    assert time.monotonic() - began < DEAD_SECONDS
    assert said.code == 2
    assert said.out.startswith(f"RMC-DR CRITICAL: host-silent: {pair.standby} ")


def test_a_watch_raises_what_is_confirmed_and_clears_what_is_over(pair: Pair, calm: Lab, tmp_path: Path):
    textfile = tmp_path / "check.prom"
    words = ("check", "--watch", "--json", "--every", "3", "--confirm", "2/3", "--looks", "16")
    pair.lab.ok("backup", "run")  # a fresh lab has none, which is an alarm that would stay
    pair.on(pair.standby, "systemctl stop patroni")
    until_first(pair.lab, "patroni-down", pair.standby)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(pair.lab.run, *words, "--textfile", str(textfile))
        time.sleep(15)
        assert 'rmc_dr_check_level{estate="lab"} 2' in textfile.read_text()
        pair.on(pair.standby, "systemctl start patroni")
        said = watching.result()
    mine = [event for event in said.events() if event["code"] == "patroni-down"]
    assert [(event["event"], event["host"]) for event in mine] == [
        ("raised", pair.standby),
        ("cleared", pair.standby),
    ]
    assert said.code == 0, said.out
    (incident,) = {event["incident"] for event in said.events() if event["code"] == "pair-standby-down"}
    shown = json.loads(calm.ok("incident", "show", incident, "--json").out)
    assert shown["class"] == "general"
    assert "standby-lost" in shown["findings"]


def test_a_watch_opens_an_incident_and_one_that_was_killed_opens_no_second(
    pair: Pair, calm: Lab, tmp_path: Path
):
    """No terminal, and no room for the textfile: the alarm is in the record all the same."""
    words = (str(RMC_DR), "-i", str(INVENTORY), "check", "--watch", "--every", "3", "--confirm", "2/3")
    textfile = ("--textfile", str(tmp_path / "no-such-folder" / "check.prom"))
    before = {one["incident"] for one in json.loads(calm.ok("incident", "list", "--json").out)}

    def opened() -> list[dict[str, Any]]:
        listed = json.loads(calm.ok("incident", "list", "--json").out)
        return [one for one in listed if one["incident"] not in before]

    def alarms() -> list[tuple[str, str]]:
        document = json.loads(calm.ok("incident", "show", "--json").out)
        told = [event for event in document["events"] if event.get("what") == "alarm"]
        return [(event["code"], event["state"]) for event in told]

    pair.on("app1", "systemctl stop liberty")
    try:
        for _time in range(2):
            watching = subprocess.Popen(
                [*words, *textfile],
                env=calm.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                within(60, lambda: ("liberty-down", "raised") in alarms() if opened() else False)
                time.sleep(9)
            finally:
                watching.kill()
                _out, said = watching.communicate()
        assert said.count(b"check.prom could not be written") == 1
    finally:
        pair.on("app1", "systemctl start liberty")
    assert [one["class"] for one in opened()] == ["critical"]
    assert alarms().count(("liberty-down", "raised")) == 1
    until_well(pair.lab)
    calm.run("check", "--watch", "--every", "1", "--confirm", "2/3", "--looks", "6")
    assert ("liberty-down", "over") in alarms()
    assert opened()[0]["closed"] is None, "a person closes it"


def test_a_look_leaves_nothing_on_the_hosts(pair: Pair):
    """No file and no process; it only reads."""
    written = "find / -xdev -newer /run/before -not -path '/var/*' -type f"
    pair.on("app1", "touch /run/before; sleep 1")
    pair.lab.run("check")
    assert pair.on("app1", written).strip() == ""
    assert pair.on("app1", "pgrep -x python3 || true").strip() == ""
