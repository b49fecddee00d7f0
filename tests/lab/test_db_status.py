"""`rmc-dr db status` names every state of the pair, each made for real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest
from conftest import Lab
from fault_table import Reports
from looks import db_status, of_pair
from pair import AS_STANDBY, KILL_PATRONI, RUN, Pair, mend

from rmc_dr.errors import Locked
from rmc_dr.observe.postgres import hold_estate_lock

pytestmark = [pytest.mark.lab, pytest.mark.long]


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    mend(lab)


def test_standby_stopped(pair: Pair):
    pair.on(pair.standby, "systemctl stop patroni")
    seen = pair.until("standby-down")
    assert any(pair.standby in reason for reason in seen["reasons"])


def test_primary_stopped_and_taken_over(pair: Pair):
    """The primary dies with its Patroni: first nobody takes writes, then the synchronous standby does."""
    pair.on(pair.primary, f"{KILL_PATRONI}; {RUN} -m immediate stop")
    pair.until("no-primary", "standby-down")
    seen = pair.until("standby-down")
    assert [node["name"] for node in seen["seen"]["nodes"] if node["role"] == "primary"] == [pair.standby]


def test_both_stopped(pair: Pair):
    pair.on(pair.standby, "systemctl stop patroni")
    pair.on(pair.primary, "systemctl stop patroni")
    pair.until("no-primary")


def test_quorum_gone(pair: Pair):
    for host in ("store1", pair.standby):
        pair.on(host, "systemctl stop etcd")
    seen = pair.until("no-quorum")
    # Not a moment's verdict: it stays while the primary serves on without etcd.
    time.sleep(25)
    assert pair.look()["verdict"] == "no-quorum"
    assert "primary" in [node["role"] for node in seen["seen"]["nodes"]]


def test_promoted_by_hand_beside_a_running_primary(pair: Pair, fault: Reports):
    fault.clean("the standby was promoted by hand", db_status(pair.lab))
    pair.on(pair.standby, f"{KILL_PATRONI}; {RUN} promote")
    seen = pair.until("split-brain")
    fault.hurt("the standby was promoted by hand", of_pair(seen), "db1, db2 all take writes")
    assert seen["next"].startswith("ansible")


def test_network_cut_between_the_nodes(pair: Pair, fault: Reports):
    fault.clean("both database hosts are cut from each other", db_status(pair.lab))
    pair.lab.ok("lab", "break", pair.standby, "--how", "network", "--to", pair.primary)
    seen = pair.until("standby-down", "no-quorum")
    fault.hurt("both database hosts are cut from each other", of_pair(seen), pair.standby)


def test_network_cut_from_here(pair: Pair):
    """Patroni still vouches for the primary only if it can be asked: cut from both, nothing is known."""
    control = pair.lab.estate().config.network.control[0]
    cut = (
        "nft 'add table inet cut; add chain inet cut in { type filter hook input priority -300; };"
        f" add rule inet cut in ip saddr {control} tcp dport {{ 5432, 8008, 2379 }} drop'"
    )
    pair.on(pair.primary, cut)
    assert pair.look()["verdict"] == "unknown"
    pair.on(pair.standby, cut)
    assert pair.look()["verdict"] == "unknown"


@pytest.mark.long
def test_patroni_dead_on_the_standby(pair: Pair):
    pair.on(pair.standby, KILL_PATRONI)
    pair.until("unprotected")


@pytest.mark.long
def test_replay_paused(pair: Pair):
    """Patroni would resume the replay by itself, so it has to be dead for this."""
    pair.on(pair.standby, KILL_PATRONI)
    pair.sql(pair.standby, "select pg_wal_replay_pause()")
    pair.until("standby-lagging")


@pytest.mark.long
def test_both_standby(pair: Pair):
    pair.on(pair.standby, KILL_PATRONI)
    pair.on(pair.primary, AS_STANDBY)
    pair.until("both-standby")


@pytest.mark.long
def test_diverged(pair: Pair):
    """Promoted apart, both wrote; then both timelines bear the same number, and Patroni sees no harm."""
    pair.on(pair.standby, f"{KILL_PATRONI}; {RUN} promote")
    pair.sql(
        pair.primary,
        "create table if not exists lost (n int); insert into lost select generate_series(1, 9999)",
    )
    pair.on(pair.primary, AS_STANDBY)
    pair.on(pair.standby, "systemctl start patroni")
    pair.until("diverged")
    pair.on(pair.primary, "systemctl start patroni")
    pair.until("split-brain", "diverged")
    time.sleep(30)
    nodes = pair.until("diverged")["seen"]["nodes"]
    assert nodes[0]["timeline"] == nodes[1]["timeline"]
    pair.sql(pair.primary, "drop table lost")


@pytest.mark.long
def test_disagreement(pair: Pair):
    """While Patroni is paused somebody moves the primary behind its back."""
    pair.on(pair.primary, "patronictl -c /etc/patroni/config.yml pause --wait")
    pair.on(pair.standby, KILL_PATRONI)
    pair.on(pair.primary, f"{KILL_PATRONI}; {RUN} stop -m fast; systemctl start patroni")
    pair.on(pair.standby, f"{RUN} promote")
    pair.until("disagreement")


def test_one_run_at_a_time_on_the_primary(pair: Pair):
    """The advisory lock is held by the session, named in the refusal, and gone with it."""
    hold = partial(hold_estate_lock, pair.lab.estate())
    session = "from pg_stat_activity where application_name like 'rmc-dr run %'"
    with hold("first-1") as keep:
        assert pair.sql(pair.primary, f"select application_name {session}") == "rmc-dr run first-1"
        with pytest.raises(Locked, match="first-1"), hold("second-1"):
            pytest.fail("two runs hold the estate")
        pair.sql(pair.primary, f"select pg_terminate_backend(pid) {session}")
        assert keep()
        with pytest.raises(Locked, match="first-1"), hold("second-1"):
            pytest.fail("two runs hold the estate")
    with hold("second-1") as keep:
        assert keep()


def test_the_lock_follows_the_primary(pair: Pair):
    """A failover in mid-run: the lock died with the old primary, and another run may hold the new one."""
    hold = partial(hold_estate_lock, pair.lab.estate())
    with hold("first-1") as keep:
        pair.on(pair.primary, f"{KILL_PATRONI}; {RUN} -m immediate stop")
        pair.until("standby-down")
        assert keep()
        with pytest.raises(Locked, match="first-1"), hold("second-1"):
            pytest.fail("two runs hold the estate")
