"""Who leads the pair, on real hosts under load: nothing acknowledged is lost, nothing is claimed unproven."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, Said
from fault_table import Look, Reports
from looks import db_status, of_pair
from pair import DATA, KILL_PATRONI, RUN, Pair, Users, mend, sampled

from rmc_dr.observe.holdings import observe_holdings
from rmc_dr.pair import apart

pytestmark = pytest.mark.lab
REFUSED = 3
AWAY_SECONDS = 600
AWAY = "the standby was away for ten minutes, then the primary dies"
OFF = "the primary's host is powered off under load"
RETURNS = "the old primary comes back under load, its link cut"


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    mend(lab)


@pytest.fixture
def users(lab: Lab, tmp_path: Path) -> Users:
    return Users(lab, tmp_path / "ledger.jsonl")


def result(said: Said) -> dict[str, Any]:
    return said.events()[-1]


def refusal(lab: Lab, *words: str) -> tuple[int, str]:
    said = lab.run(*words, "--json")
    return said.code, str(said.events()[-1].get("error"))


def loss_told(plan: dict[str, Any]) -> Look:
    """What `db failover --plan` claims: green where it proves that nothing is lost."""
    proven = plan["loss"]["proven_none"]
    said = f"{plan['candidate']}: loss {'none' if proven else 'unknown'}"
    return Look("db failover --plan", proven, "claims 0" if proven else "does not claim 0", said)


def let_in(heard: dict[str, Any], *, wanted: bool) -> Look:
    """How often a write was let in; the twin is the same host while it is the primary, where each is."""
    count, tries = heard["heard"].get("let in", 0), heard["tries"]
    assert (count > 0) is wanted, heard
    return Look("a write to it", count > 0, f"{count} of {tries} let in", json.dumps(heard["heard"]))


def test_a_switchover_under_load_loses_and_doubles_nothing(pair: Pair, users: Users):
    with users.at_work():
        done = result(pair.lab.ok("db", "switchover", "--yes", "--json"))
    users.nothing_lost()
    assert (done["before"], done["primary"], done["verdict"]) == (pair.primary, pair.standby, "healthy")
    assert 0 < done["writes_down_seconds"] < 15
    lines = pair.lab.ok("runs", "show", "last").out
    assert "Switchover" in lines


def test_a_switchover_that_could_lose_writes_is_refused(pair: Pair):
    assert refusal(pair.lab, "db", "switchover", "--to", pair.primary, "--yes") == (
        REFUSED,
        "already-primary",
    )
    assert refusal(pair.lab, "db", "switchover", "--to", "app1") == (2, "not-a-dbserver")
    assert refusal(pair.lab, "db", "failover", "--yes") == (REFUSED, "primary-lives")
    assert refusal(pair.lab, "db", "reinit", pair.primary, "--yes") == (REFUSED, "is-primary")
    before = pair.lab.run("runs").out
    assert pair.lab.ok("db", "switchover", "--plan").out
    pair.on(pair.standby, "systemctl stop patroni")
    assert refusal(pair.lab, "db", "switchover", "--yes") == (REFUSED, "pair-not-healthy")
    assert pair.lab.run("runs").out == before


@pytest.mark.long
def test_a_reinit_under_load_makes_a_new_copy_and_tells_its_bytes(pair: Pair, users: Users):
    inode = pair.on(pair.standby, f"stat -c %i {DATA}/PG_VERSION")
    with users.at_work():
        said = pair.lab.ok("db", "reinit", pair.standby, "--yes", "--json")
    users.nothing_lost()
    assert (result(said)["host"], result(said)["kept"], result(said)["verdict"]) == (
        pair.standby,
        None,
        "healthy",
    )
    assert pair.on(pair.standby, f"stat -c %i {DATA}/PG_VERSION") != inode
    progress = [event for event in said.events() if event.get("event") == "progress"]
    assert any(event["done"] > 1_000_000 for event in progress)


@pytest.mark.long
@pytest.mark.parametrize("how", ["off", "postgres", "switchover"])
def test_the_primary_is_lost_under_load(pair: Pair, how: str):
    """The drill: Patroni replaces it by itself; the pair is healthy in the end."""
    drilled = result(pair.lab.ok("drill", "primary", "--how", how, "--json"))
    assert (drilled["lost"], drilled["duplicated"], drilled["attachments_missing"]) == (0, 0, 0)
    assert 0 < drilled["outage_seconds"] < 60
    assert pair.look()["verdict"] == "healthy"
    kept = json.loads(pair.lab.ok("drill", "history", "--json").out)
    assert (kept[-1]["drill"], kept[-1]["at"]) == ("primary", drilled["at"])


@pytest.mark.long
@pytest.mark.slow
def test_a_standby_that_was_away_is_promoted_only_with_the_loss_accepted(
    pair: Pair, users: Users, fault: Reports
):
    """It must not claim 0; and what the old primary alone holds is not rewound when it returns."""
    lab = pair.lab
    with users.at_work():
        pair.on(pair.standby, "systemctl stop patroni")
        pair.until("standby-down")
        time.sleep(AWAY_SECONDS)
        users.go_on()
        lab.ok("lab", "break", pair.primary, "--how", "off")
        pair.on(pair.standby, "systemctl start patroni")
        time.sleep(30)  # Patroni's ttl and more: by itself it promotes nobody
        pair.until("no-primary", "unknown")
        shown = result(lab.ok("db", "failover", "--plan", "--json"))
        assert (shown["candidate"], shown["old"]) == (pair.standby, pair.primary)
        assert shown["loss"]["proven_none"] is False
        assert shown["loss"]["in_step_at"] is not None
        fault.hurt(AWAY, loss_told(shown), f"{pair.standby}: loss unknown")
        assert refusal(lab, "db", "failover", "--yes") == (REFUSED, "loss-not-accepted")
        done = result(lab.ok("db", "failover", "--accept-loss", "--yes", "--json"))
        assert (done["primary"], done["loss"]["proven_none"]) == (pair.standby, False)
    estate = lab.estate()
    lab.ok("lab", "heal", pair.primary)
    time.sleep(40)
    # With a WAL archive it cannot even start: the archive knows the new timeline, and that it is not on it.
    pair.until("diverged", "standby-down")
    assert apart(observe_holdings(estate, estate.group("dbserver"))), "its last writes are gone"
    again = result(lab.ok("db", "reinit", pair.primary, "--yes", "--json"))
    assert again["kept"]
    assert pair.on(pair.primary, f"cat {again['kept']}/PG_VERSION").strip() == "17"
    assert pair.until("healthy")
    shared = pair.on(pair.standby, "patronictl -c /etc/patroni/config.yml show-config")
    assert "use_pg_rewind: true" in shared
    pair.on(pair.primary, f"rm -rf {again['kept']}")


@pytest.mark.long
def test_a_failover_is_proven_lossless_where_the_standby_was_synchronous(
    pair: Pair, users: Users, fault: Reports
):
    """Patroni is paused, so that it does nothing by itself; the synchronous state proves the rest."""
    lab = pair.lab
    with users.at_work():
        pair.on(pair.primary, "patronictl -c /etc/patroni/config.yml pause --wait")
        lab.ok("lab", "break", pair.primary, "--how", "off")
        fault.clean(AWAY, loss_told(result(lab.ok("db", "failover", "--plan", "--json"))))
        done = result(lab.ok("db", "failover", "--yes", "--json"))
        assert (done["primary"], done["loss"]["proven_none"]) == (pair.standby, True)
        pair.on(pair.standby, "patronictl -c /etc/patroni/config.yml resume")
    users.nothing_lost()
    lab.ok("lab", "heal", pair.primary)
    pair.until("healthy", seconds=180)


@pytest.mark.long
def test_after_a_power_cut_of_both_hosts_the_newest_data_wins(pair: Pair, users: Users):
    with users.at_work():
        for host in (pair.primary, pair.standby):
            pair.lab.ok("lab", "break", host, "--how", "off")
        time.sleep(5)
        for host in (pair.standby, pair.primary):
            pair.lab.ok("power", "disk", host, "--yes")
        pair.lab.ok("start")
        pair.until("healthy", seconds=180)
    users.nothing_lost()


@pytest.mark.long
def test_a_returning_old_primary_is_never_open_for_writing(pair: Pair, users: Users, fault: Reports):
    """Under load, with the link between the database hosts cut, and again once the link is mended."""
    lab, before, heard = pair.lab, {}, {}
    fault.clean(OFF, db_status(lab))
    with users.at_work():
        with sampled(lab, pair.primary, before):
            users.go_on()
        fault.clean(RETURNS, let_in(before, wanted=True))
        lab.ok("lab", "break", pair.primary, "--how", "off")
        fault.hurt(OFF, of_pair(pair.until("standby-down", seconds=120)), pair.primary)
        users.go_on()
        lab.ok("lab", "break", pair.standby, "--how", "network", "--to", pair.primary)
        with sampled(lab, pair.primary, heard):
            lab.ok("power", "disk", pair.primary, "--yes")
            time.sleep(45)
            lab.ok("lab", "heal", pair.standby)
            pair.until("healthy", seconds=180)
            time.sleep(5)
    users.nothing_lost()
    assert heard["heard"].get("let in", 0) == 0, heard
    # It did answer: what refused was a PostgreSQL that runs, not a host that is off.
    answered = sum(
        count for said, count in heard["heard"].items() if "read-only" in said or "starting" in said
    )
    assert answered > 50, heard
    fault.hurt(RETURNS, let_in(heard, wanted=False), "read-only")


@pytest.mark.long
def test_a_pair_whose_nodes_both_wrote_is_not_started(pair: Pair):
    lab = pair.lab
    pair.on(pair.standby, f"{KILL_PATRONI}; {RUN} promote")
    pair.until("split-brain")
    assert refusal(lab, "start") == (REFUSED, "both-hold-writes")
    for host in (pair.primary, pair.standby):
        pair.sql(host, f"create table mark_{host} (n int); drop table mark_{host}")
        pair.on(host, f"{KILL_PATRONI}; {RUN} stop -m fast")
    said = lab.run("start")
    assert said.code == REFUSED
    for host in (pair.primary, pair.standby):
        assert f"{host}: timeline " in said.err
    assert "newest transaction 20" in said.err
    assert all(
        pair.on(host, "systemctl is-active patroni || true").strip() != "active" for host in ("db1", "db2")
    )
    # A person decides for the one that was promoted, which Patroni does not know to hold everything; the
    # other's data is put aside and made anew.
    pair.on(pair.standby, "systemctl start patroni")
    pair.until("no-primary")
    lab.ok("db", "failover", "--to", pair.standby, "--accept-loss", "--yes")
    pair.until("standby-down")
    assert refusal(lab, "start") == (REFUSED, "both-hold-writes")
    again = result(lab.ok("db", "reinit", pair.primary, "--yes", "--json"))
    assert again["kept"]
    pair.until("healthy")
    pair.on(pair.primary, f"rm -rf {again['kept']}")
    lab.ok("start")
