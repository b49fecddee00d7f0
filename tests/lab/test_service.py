"""Stop, start and restart on real hosts under load: no write is lost, nobody comes in unproven."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, serving
from pair import Pair, Users, mend

from rmc_dr.drill.users import acknowledged, users_at_work, wait_for

pytestmark = pytest.mark.lab


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    yield Pair(lab)
    lab.ok("start")


@pytest.fixture
def users(lab: Lab, tmp_path: Path) -> Users:
    return Users(lab, tmp_path / "ledger.jsonl")


def result(lab: Lab, *words: str) -> dict[str, Any]:
    return lab.ok(*words, "--json").events()[-1]


def rows(pair: Pair) -> list[str]:
    """How much each application's database holds."""
    counts = (
        "select (select count(*) from patients), (select count(*) from checks), "
        "(select count(*) from attachments)"
    )
    ask = f"runuser -u postgres -- psql -X -A -t -c '{counts}' -d"
    return [pair.on(pair.primary, f"{ask} {name}").strip() for name in ("management", "verification")]


def test_a_write_freeze_keeps_users_out_and_the_databases_up(pair: Pair, users: Users):
    lab = pair.lab
    with users_at_work(users.estate, users.ledger):
        wait_for(users.ledger, 200)
        done = result(lab, "stop", "--writes", "--yes")
        assert (done["serving"], done["users"], done["pair"]) == (
            {"app1": False},
            {"app1": "closed"},
            "healthy",
        )
        frozen = acknowledged(users.ledger)
        held = rows(pair)
        time.sleep(5)
        assert acknowledged(users.ledger) == frozen
        assert rows(pair) == held, "the databases are up, and nothing comes into them"
        who = "select count(*) from pg_stat_activity where right(usename, 4) = '_app'"
        assert pair.sql(pair.primary, who).strip() == "0", "no application is connected"
        assert "rmc-dr start" in lab.ok().out
        done = result(lab, "start")
        assert (done["serving"], done["users"], done["pair"]) == ({"app1": True}, {"app1": "open"}, "healthy")
        users.go_on()
        assert rows(pair) != held, "what the count would have seen"
    users.nothing_lost()


@pytest.mark.long
def test_everything_stops_and_starts_again(pair: Pair, users: Users):
    lab = pair.lab
    with users_at_work(users.estate, users.ledger):
        wait_for(users.ledger, 200)
        done = result(lab, "stop", "--yes")
        assert (done["users"], done["pair"]) == ({"app1": "closed"}, "no-primary")
        done = result(lab, "start")
        assert (done["serving"], done["users"]) == ({"app1": True}, {"app1": "open"})
        users.go_on()
    users.nothing_lost()
    assert pair.until("healthy")
    assert serving(lab)


@pytest.mark.long
def test_a_freeze_outlives_a_power_cut_of_the_application_server(pair: Pair):
    lab = pair.lab
    lab.ok("stop", "--writes", "--yes")
    lab.ok("lab", "break", "app1", "--how", "off")
    lab.ok("power", "disk", "app1", "--yes")
    deadline = time.monotonic() + 60
    while lab.run("lab", "ssh", "app1", "true").code:
        assert time.monotonic() < deadline
    assert (
        lab.ok("lab", "exec", "app1", "sh", "-c", "systemctl is-active liberty || true").out.strip()
        == "inactive"
    )
    assert "kept off" in lab.ok("fence", "status", "app1").out
    assert result(lab, "start")["users"] == {"app1": "open"}


@pytest.mark.long
def test_a_restart_under_load_loses_nothing(pair: Pair, users: Users):
    with users.at_work():
        pair.lab.ok("restart", "--yes")
    users.nothing_lost()
    pair.until("healthy")
