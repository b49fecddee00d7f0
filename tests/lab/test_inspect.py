"""A backup is brought back beside production and looked into; one table comes back beside the living one."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Lab, serving
from pair import Pair
from test_restore import slip, sql

from rmc_dr import backup_record

pytestmark = [pytest.mark.lab, pytest.mark.long]
HOST = "verify1"
LEFT = (
    "systemctl list-units --plain --no-legend --state=active,activating,failed 'inspection*'; "
    "ls -d /srv/inspect 2>/dev/null; pgrep -x 'postgres|pgbackrest'; true"
)
UNTOUCHED = "select pg_postmaster_start_time(), (select timeline_id from pg_control_checkpoint())"
OUT = (
    "nsenter --net=/proc/$(systemctl show --value -p MainPID inspection-net.service)/ns/net "
    "timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>/dev/null; echo $?"
)


@pytest.fixture
def pair(healthy: Lab) -> Iterator[Pair]:
    pair = Pair(healthy)
    healthy.run("restore", "release", "--yes")
    healthy.ok("backup", "run", "--database", timeout=600)
    yield pair
    healthy.run("restore", "release", "--yes")
    drop = "select format('drop table %s', oid::regclass) from pg_class where relname like 'slip_restored%'"
    for statement in sql(pair, pair.primary, drop).splitlines():
        sql(pair, pair.primary, statement)


def archived(pair: Pair) -> None:
    """Wait until the archive holds everything written so far."""
    pair.sql(pair.primary, "select pg_logical_emit_message(true, 'test', '')")  # nothing is switched at rest
    segment = pair.sql(pair.primary, "select pg_walfile_name(pg_switch_wal())").strip()
    deadline = time.monotonic() + 180
    last = "select coalesce(max(last_archived_wal), '') from pg_stat_archiver"
    while pair.sql(pair.primary, last).strip() < segment:
        assert time.monotonic() < deadline
        time.sleep(1)


def standing(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.ok("restore", "release", "--plan", "--json").out)["inspection"]
    return found


def untouched(pair: Pair) -> list[str]:
    return [pair.sql(host, UNTOUCHED) for host in (pair.primary, pair.standby)]


def test_one_table_comes_back_beside_the_living_one(pair: Pair):
    lab, moment = pair.lab, slip(pair)
    sql(pair, pair.primary, "insert into slip values (-1)")
    archived(pair)
    before = untouched(pair)
    inspect = ["restore", "database", "--inspect", "--to", moment]
    assert json.loads(lab.ok(*inspect, "--plan", "--json").out)["host"] == HOST
    assert standing(lab)["state"] == "absent", "a plan brings nothing back"

    said = lab.ok(*inspect, timeout=1200).out
    assert "rmc-dr restore table management.public.TABLE" in said
    found = standing(lab)
    assert (found["state"], found["host"], found["bytes"] > 0) == ("stands", HOST, True)

    assert "1000" in lab.run("restore", "psql", "management", stdin="select count(*) from slip;\n").out
    written = lab.run("restore", "psql", "management", stdin="delete from slip;\n")
    assert "read-only transaction" in written.err
    assert lab.run("restore", "psql", "elsewhere").code == 2
    estate = lab.estate()
    for host, port in (("store1", 443), (pair.primary, 5432)):
        script = OUT.format(address=estate.host(host).address, port=port)
        assert pair.on(HOST, script).strip().splitlines()[-1] != "0", f"it reached {host}"

    back = json.loads(lab.ok("restore", "table", "management.public.slip", "--yes", "--json").out)
    new = back["plan"]["new"]
    assert back["rows"] == 1000
    assert sql(pair, pair.primary, f"select count(*), sum(n) from {new}") == "1000|500500"  # noqa: S608
    assert sql(pair, pair.primary, "select count(*), sum(n) from slip") == "1|-1", (
        "the living one is untouched"
    )
    again = lab.run("restore", "table", "management.public.slip", "--yes")
    assert (again.code, "never written over" in again.err) == (3, True), again.err
    gone = lab.run("restore", "table", "management.public.nothing", "--yes")
    assert (gone.code, "has no table public.nothing" in gone.err) == (3, True), gone.err

    assert untouched(pair) == before
    assert serving(lab)
    assert {"inspect", "table"} <= {entry.what for entry in backup_record.entries("lab")}
    lab.ok("restore", "release", "--yes")
    assert pair.on(HOST, LEFT).strip() == ""


def test_the_nightly_verification_and_an_inspection_leave_each_other_alone(pair: Pair):
    archived(pair)
    pair.lab.ok("restore", "database", "--inspect", timeout=1200)
    assert pair.lab.run("restore", "database", "--inspect").code == 2, "one that stands is not lost unasked"
    made = standing(pair.lab)["made"]
    pair.lab.ok("backup", "verify", "--database", timeout=1800)
    assert (standing(pair.lab)["state"], standing(pair.lab)["made"]) == ("stands", made)
    pair.lab.ok("restore", "database", "--inspect", "--yes", timeout=1200)
    assert standing(pair.lab)["made"] != made


def test_what_a_killed_one_left_is_found_and_removed(pair: Pair):
    for removing in (["restore", "release", "--yes"], ["restore", "database", "--inspect"]):
        child = pair.lab.popen("restore", "database", "--inspect")
        try:
            deadline = time.monotonic() + 300
            while "/srv/inspect" not in pair.on(HOST, LEFT):
                assert child.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.5)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=30)
        assert standing(pair.lab)["state"] == "broken"
        assert pair.lab.run("restore", "psql", "management").code == 3
        pair.lab.ok(*removing, timeout=1200)
        assert standing(pair.lab)["state"] == ("absent" if "release" in removing else "stands")


def test_what_is_refused(pair: Pair):
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for words, code, said in (
        (["--to", "2026-11-24 03:00"], 2, "does not say in which time zone"),
        (["--to", "2001-01-01T00:00:00Z"], 3, "before the end of every backup"),
        (["--to", now], 3, "The archive ends at"),
        (["--backup", "20010101-010101F"], 3, "no usable backup"),
        (["--on", "db1"], 2, "have no meaning"),
    ):
        refused = pair.lab.run("restore", "database", "--inspect", *words)
        assert (refused.code, said in refused.err, "Traceback" in refused.err) == (code, True, False), (
            refused.err
        )
    assert pair.lab.run("restore", "table", "slip").code == 2
    assert pair.lab.run("restore", "table", "management.public.slip").code == 3, "nothing stands"
    assert pair.on(HOST, LEFT).strip() == ""
