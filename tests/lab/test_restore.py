"""A slip is undone to a chosen moment, and files come back; what was there stands until it is released."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Lab, Said, serving
from pair import DATA, KILL_PATRONI, RUN, Pair, mend

pytestmark = [pytest.mark.lab, pytest.mark.long]
PSQL = "runuser -u postgres -- psql -X -A -t -d management"


@pytest.fixture
def pair(healthy: Lab):
    pair = Pair(healthy)
    healthy.ok("backup", "run", "--database", timeout=600)
    yield pair
    healthy.run("runs", "abandon", "last", "--reason", "left by a test")
    for host in ("db1", "db2"):
        pair.on(host, "rm -f /etc/rmc-dr/held")
    mend(healthy)
    pair.until("healthy", seconds=300)
    healthy.run("restore", "release", "--yes")


def slip(pair: Pair) -> str:
    """Rows are written, a moment passes, and a DELETE without WHERE follows; returns the moment between."""
    sql(pair, pair.primary, "create table if not exists slip (n int); truncate slip")
    sql(pair, pair.primary, "insert into slip select generate_series(1, 1000)")
    time.sleep(1.5)
    moment = sql(
        pair, pair.primary, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
    )
    time.sleep(1.5)
    sql(pair, pair.primary, "delete from slip")
    return f"{moment}+00:00"


def sql(pair: Pair, host: str, statement: str) -> str:
    return pair.on(host, f'{PSQL} -c "{statement}"').strip()


def undone(pair: Pair) -> None:
    seen = pair.until("healthy", seconds=300)
    primary = next(node["name"] for node in seen["seen"]["nodes"] if node["role"] == "primary")
    assert sql(pair, primary, "select count(*), sum(n) from slip") == "1000|500500"
    assert serving(pair.lab)


def test_a_slip_is_undone(pair: Pair):
    moment = slip(pair)
    before = pair.look()["seen"]["nodes"][0]["timeline"]
    assert pair.primary in pair.lab.ok("restore", "database", "--to", moment, "--plan").out
    assert serving(pair.lab), "a plan stops nothing"
    said = pair.lab.ok("restore", "database", "--to", moment, "--yes", "--json", timeout=1800)
    undone(pair)
    restored = [event for event in said.events() if event.get("event") == "facts"]
    told = [fact["hosts"].get(pair.primary, {}) for fact in restored]
    assert [facts["restore"]["backup"] for facts in told if "restore" in facts]
    assert pair.look()["seen"]["nodes"][0]["timeline"] > before
    assert "before-" in pair.on(pair.standby, f"ls -d {DATA}.before-*"), "the safety copy stands"
    copies = json.loads(pair.lab.ok("restore", "release", "--plan", "--json").out)["copies"]
    assert [copy["host"] for copy in copies] == [pair.standby]
    pair.lab.ok("restore", "release", "--yes")
    assert "before-" not in pair.on(pair.standby, "ls /srv/postgresql/17")


def labels(lab: Lab) -> list[str]:
    """The backups of the database, oldest first."""
    return [one["label"] for one in json.loads(lab.ok("backup", "list", "--json").out)["database"]]


def restored(said: Said, host: str) -> dict[str, Any]:
    """What the restore published of the host that it brought back."""
    told = [event["hosts"].get(host, {}) for event in said.events() if event.get("event") == "facts"]
    [facts] = [facts["restore"] for facts in told if "restore" in facts]
    return facts


def set_aside(pair: Pair) -> list[str]:
    """The hosts on which data from before stands."""
    copies = json.loads(pair.lab.ok("restore", "release", "--plan", "--json").out)["copies"]
    return sorted(copy["host"] for copy in copies)


def archived(pair: Pair) -> None:
    """Wait until everything that is written now is in the archive."""
    wal = sql(pair, pair.primary, "select pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + 60
    while sql(pair, pair.primary, "select coalesce(last_archived_wal, '') from pg_stat_archiver") < wal:
        assert time.monotonic() < deadline, f"{wal} was not archived"
        time.sleep(1)


def test_the_backup_that_was_named_is_the_one_that_comes_back(pair: Pair):
    older = labels(pair.lab)[-1]
    pair.lab.ok("backup", "run", "--database", timeout=600)
    assert labels(pair.lab)[-1] != older, "without its name the newer one would be taken"
    moment = slip(pair)
    words = ["restore", "database", "--to", moment, "--backup", older]
    plan = pair.lab.ok(*words, "--plan", "--json").events()[0]
    assert older in plan["restores"][0]
    said = pair.lab.ok(*words, "--yes", "--json", timeout=1800)
    assert restored(said, pair.primary)["backup"] == older
    undone(pair)


def test_without_a_primary_a_named_host_is_restored(pair: Pair):
    """Its data is renamed, for no standby can be asked what it holds."""
    moment = slip(pair)
    archived(pair)
    for host in (pair.standby, pair.primary):
        pair.on(host, "systemctl stop patroni")
    pair.until("no-primary")
    said = pair.lab.run("restore", "database", "--to", moment, "--yes")
    assert (said.code, "--on HOST" in said.err) == (3, True), said.err
    time.sleep(5)
    beyond = datetime.now(UTC).isoformat(timespec="seconds")
    said = pair.lab.run("restore", "database", "--on", pair.primary, "--to", beyond, "--yes", "--json")
    assert (said.code, said.events()[-1]["error"]) == (3, "not-archived"), said.err
    assert "before-" not in pair.on(pair.primary, "ls /srv/postgresql/17"), "it was refused before anything"
    words = ["restore", "database", "--on", pair.primary, "--to", moment]
    said = pair.lab.ok(*words, "--yes", "--json", timeout=1800)
    assert restored(said, pair.primary)["backup"]
    undone(pair)
    assert set_aside(pair) == sorted([pair.primary, pair.standby])


def test_without_a_standby_in_step_the_primarys_own_data_is_the_safety_copy(pair: Pair):
    pair.on(pair.standby, "systemctl stop patroni")
    pair.until("standby-down", "unprotected")
    moment = slip(pair)
    said = pair.lab.ok("restore", "database", "--to", moment, "--yes", "--json", timeout=1800)
    [aside] = [
        path
        for event in said.events()
        if event.get("event") == "facts" and (path := event["hosts"].get(pair.primary, {}).get("safety"))
    ]
    assert pair.on(pair.primary, f"cat {aside}/PG_VERSION").strip() == "17"
    undone(pair)
    assert set_aside(pair) == sorted([pair.primary, pair.standby])


def test_everything_archived_comes_back(pair: Pair):
    slip(pair)
    pair.lab.ok("restore", "database", "--yes", timeout=1800)
    seen = pair.until("healthy", seconds=300)
    primary = next(node["name"] for node in seen["seen"]["nodes"] if node["role"] == "primary")
    assert sql(pair, primary, "select count(*) from slip") == "0", "the last write was archived and came back"


def test_a_history_that_a_node_promoted_by_hand_archived_is_not_followed(pair: Pair):
    """Its timeline is newer than the primary's; what was written on the primary since is in the older one."""
    stray = pair.standby
    pair.on(stray, f"{KILL_PATRONI}; {RUN} promote")
    wal = sql(pair, stray, "select pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + 60
    while sql(pair, stray, "select coalesce(last_archived_wal, '') from pg_stat_archiver") < wal:
        assert time.monotonic() < deadline, f"{wal} was not archived"
        time.sleep(1)
    pair.on(stray, f"{RUN} stop -m fast")
    slip(pair)
    sql(pair, pair.primary, "insert into slip values (7)")
    assert "archive-diverged" in pair.lab.run("backup", "status", "--json").out
    pair.lab.ok("restore", "database", "--yes", timeout=1800)
    seen = pair.until("healthy", seconds=300)
    primary = next(node["name"] for node in seen["seen"]["nodes"] if node["role"] == "primary")
    assert sql(pair, primary, "select sum(n) from slip") == "7", "the primary's last write came back"


def test_a_killed_restore_is_resumed(pair: Pair):
    moment = slip(pair)
    began = datetime.now(UTC).isoformat()
    child = pair.lab.popen("restore", "database", "--to", moment, "--yes")
    try:
        deadline = time.monotonic() + 300
        while "restore" not in begun_since(pair.lab, began):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        time.sleep(2)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
    pair.lab.ok("resume", timeout=1800)
    undone(pair)


def begun_since(lab: Lab, moment: str) -> list[str]:
    """The stages that the last run has begun, if it is younger than the moment."""
    events = lab.ok("runs", "show", "last", "--json").events()
    return [event["name"] for event in events if event["event"] == "stage-started" and event["time"] > moment]


def test_what_is_refused(pair: Pair):
    for words, code, hint in (
        (["--to", "2026-11-24 03:00"], 2, "2026-11-24T03:00:00+08:00"),
        (["--to", "2126-11-24T03:00:00Z"], 2, "latest"),
        (["--to", "tomorrow"], 2, "latest"),
        (["--on", pair.standby], 3, pair.primary),
    ):
        said = pair.lab.run("restore", "database", "--yes", *words)
        assert (said.code, hint in said.err, "Traceback" in said.err) == (code, True, False), said.err
    plan = pair.lab.ok("restore", "database", "--plan", "--json").events()[0]
    assert [stage["name"] for stage in plan["stages"]][2:4] == ["safety", "restore"]
    assert {host for stage in plan["stages"] for host in stage["hosts"]} == {"app1", "db1", "db2"}


def test_files_come_back(healthy: Lab):
    folder = "/srv/attachments/management/probe"
    on = ["lab", "exec", "app1", "--", "sh", "-c"]
    healthy.ok(
        *on,
        f"mkdir -p {folder}; echo one >{folder}/lost; echo two >{folder}/spoiled; "
        f"echo x >'{folder}/scan[1].pdf'; echo other >{folder}/scan1.pdf; chown -R liberty: {folder}",
    )
    healthy.ok("backup", "run", "--files", timeout=600)
    healthy.ok(*on, f"rm {folder}/*; echo encrypted >{folder}/spoiled; echo new >{folder}/newer")
    said = healthy.run("restore", "files", "--path", "management/prob", "--yes")
    assert (said.code, "holds nothing at management/prob" in said.err) == (3, True), said.err
    since = healthy.ok(*on, "systemctl show -p ActiveEnterTimestamp liberty").out
    words = ["restore", "files", "--path", "management/probe/scan[1].pdf", "--yes", "--json"]
    assert json.loads(healthy.ok(*words, timeout=600).out)[0]["restored"] == 1, "a name is no pattern"
    assert healthy.ok(*on, "systemctl show -p ActiveEnterTimestamp liberty").out == since, "users worked on"
    healthy.ok(*on, f"rm '{folder}/scan[1].pdf'")
    words = ["restore", "files", "--path", "management/probe"]
    [plan] = json.loads(healthy.ok(*words, "--plan", "--json").out)
    assert healthy.ok(*on, f"ls {folder}").out == "newer\nspoiled\n", "a plan changes nothing"
    said = json.loads(healthy.ok(*words, "--yes", "--json", timeout=600).out)
    assert (said[0]["restored"], said[0]["replaced"]) == (3, 1)
    assert healthy.ok(*on, "systemctl show -p ActiveEnterTimestamp liberty").out != since, (
        "nobody could write"
    )
    assert serving(healthy)
    assert "restoring" not in healthy.ok(*on, "ls /srv").out
    assert said[0]["snapshot"] == plan["snapshot"]
    assert healthy.ok(*on, f"cat {folder}/lost {folder}/spoiled {folder}/newer").out == "one\ntwo\nnew\n"
    assert healthy.ok(*on, f"cat {said[0]['aside']}/management/probe/spoiled").out == "encrypted\n"
    assert healthy.ok(*on, f"stat -c %U {folder}/lost").out == "liberty\n"
    for words in (["--path", "../etc"], ["--path", "/etc"]):
        assert healthy.run("restore", "files", "--yes", *words).code == 2
    healthy.ok(*on, f"rm -r {folder} {said[0]['aside']}")
