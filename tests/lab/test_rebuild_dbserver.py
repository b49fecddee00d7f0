"""A database host dies and comes back as a replicating standby, while users work on the other one."""

from __future__ import annotations

import pytest
from conftest import Lab, content_hash
from pair import Pair, mend

pytestmark = [pytest.mark.lab, pytest.mark.long]
PROBE = "create table if not exists rebuilt (at timestamptz); insert into rebuilt values (now())"


@pytest.fixture
def pair(healthy: Lab):
    pair = Pair(healthy)
    pair.sql(pair.primary, PROBE)
    yield pair
    healthy.run("runs", "abandon", "last", "--reason", "left by a test")
    healthy.run("lab", "heal", "db1", "db2")
    mend(healthy)
    pair.until("healthy")


def rows(pair: Pair, host: str) -> int:
    return int(pair.sql(host, "select count(*) from rebuilt"))


def whole(pair: Pair, host: str, before: int) -> None:
    """The host is the standby, in step, and has what was written before and while it was away."""
    seen = pair.until("healthy")
    roles = {node["name"]: node["role"] for node in seen["seen"]["nodes"]}
    assert roles[host] == "standby"
    assert rows(pair, host) == before
    pair.lab.ok("verify", "dbserver")


@pytest.mark.parametrize("how", ["keep", "wipe"])
def test_a_dead_standby(pair: Pair, how: str):
    pair.lab.ok("lab", "break", pair.standby, "--how", "disk")
    pair.until("standby-down")
    pair.sql(pair.primary, PROBE)
    before = rows(pair, pair.primary)
    options = ["--wipe-data"] if how == "wipe" else []
    pair.lab.ok("rebuild", "dbserver", pair.standby, "--yes", *options, timeout=1500)
    whole(pair, pair.standby, before)


def test_a_dead_primary(pair: Pair):
    pair.lab.ok("lab", "break", pair.primary, "--how", "os")
    pair.until("standby-down", seconds=90)
    pair.sql(pair.standby, PROBE)
    before = rows(pair, pair.standby)
    pair.lab.ok("rebuild", "dbserver", pair.primary, "--yes", timeout=1500)
    whole(pair, pair.primary, before)


def test_a_living_primary_hands_over_first(pair: Pair):
    before = rows(pair, pair.primary)
    said = pair.lab.ok(
        "rebuild",
        "dbserver",
        pair.primary,
        "--yes",
        "--replace-healthy",
        pair.primary,
        "--json",
        timeout=1500,
    )
    seen = [event for event in said.events() if event.get("event") == "observation"]
    assert seen[0]["primary"] == pair.primary
    assert {event["primary"] for event in seen[2:]} == {pair.standby}
    whole(pair, pair.primary, before)


def test_what_is_refused(pair: Pair):
    healthy = pair.lab.run("rebuild", "dbserver", pair.standby, "--yes")
    assert (healthy.code, "healthy" in healthy.err) == (3, True)
    wrong_group = pair.lab.run("rebuild", "dbserver", "app1", "--yes")
    assert (wrong_group.code, "dbserver" in wrong_group.err) == (2, True)
    pair.lab.ok("lab", "break", pair.standby, "--how", "off")
    pair.until("standby-down")
    disk = content_hash(pair.lab.disk(pair.standby))
    only = pair.lab.run("rebuild", "dbserver", pair.primary, "--yes", "--replace-healthy", pair.primary)
    assert (only.code, "no other host is proven" in only.err) == (3, True)
    pair.lab.ok("lab", "break", pair.primary, "--how", "off")
    dark = pair.lab.run("rebuild", "dbserver", pair.standby, "--yes")
    assert dark.code == 3, dark.err
    assert content_hash(pair.lab.disk(pair.standby)) == disk


def test_by_hand_a_target_must_be_named(pair: Pair):
    done = pair.lab.by_hand("rebuild-dbserver.yml")
    assert done.code != 0
    assert "Name one of db1, db2" in done.out
    assert "Boot the rescue system" not in done.out
