"""The plan of a restore: where it may begin, what it says will be lost, and when data may be written over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_backups import DIFF, FULL, seen

from rmc_dr import content, gates
from rmc_dr.backups import Lineage
from rmc_dr.engine import resume_index
from rmc_dr.errors import Refused
from rmc_dr.model import HostObservation, PairState, Reach, Request
from rmc_dr.pair import Name
from rmc_dr.plans import read_stages
from rmc_dr.plans.moment import Moment
from rmc_dr.plans.restore_database import GivenUp, choose_backup, decide, refuse_given_up
from rmc_dr.words import plan_title, stage_title

STAGES = read_stages(content.root() / "playbooks" / "restore-database.yml")
NAMES = [stage.name for stage in STAGES]
DB1 = "6b1d2c5e-0a11-4c1e-9d3e-00000000db01"
ALIVE = HostObservation("db1", Reach.SYSTEM, identity=DB1)
TO = "2026-11-24 02:30:00+00:00"


def ask_for(to=TO):
    return Request("restore-database", "db1", {"restore_on": "db1", "restore_to": to})


def look(verdict, primary, reach=Reach.SYSTEM):
    seen = HostObservation("db1", reach, identity=DB1)
    return gates.Look(ask_for(), DB1, seen, PairState(verdict, primary))


def test_stages_stand_in_the_order_of_the_runbook():
    assert NAMES == [
        "preserve", "quiesce", "close", "safety", "restore", "check", "lead", "start", "verify", "open",
        "rejoin",
    ]  # fmt: skip
    assert [stage.name for stage in STAGES if stage.destructive] == ["restore"]
    assert all(stage.target for stage in STAGES), "by hand every stage knows its hosts"
    assert plan_title("restore-database") != "restore-database"
    assert all(stage_title(name) != name for name in NAMES)


@pytest.mark.parametrize("verdict", ["healthy", "unprotected", "standby-down", "standby-lagging"])
def test_the_primary_is_restored_and_the_loss_is_said(estate, verdict):
    plan = decide(estate, STAGES, ask_for(), ALIVE, PairState(verdict, "db1"))
    assert plan.destroys == (f"db1: every write of every application after {TO}",)
    everything = decide(estate, STAGES, ask_for("latest"), ALIVE, PairState(verdict, "db1"))
    assert "everything that was archived" in everything.destroys[0]


def test_without_a_primary_a_named_host_will_do(estate):
    assert decide(estate, STAGES, ask_for(), ALIVE, PairState("no-primary")).target == "db1"


@pytest.mark.parametrize(
    ("seen", "pair", "code"),
    [
        (ALIVE, PairState("healthy", "db2"), "not-the-primary"),
        (ALIVE, PairState("split-brain"), "strange-pair"),
        (ALIVE, PairState("diverged", "db1"), "strange-pair"),
        (ALIVE, PairState("no-quorum"), "strange-pair"),
        (ALIVE, PairState("disagreement", "db1"), "strange-pair"),
        (HostObservation("db1", Reach.SILENT), PairState("no-primary"), "host-silent"),
        (HostObservation("db1", Reach.FOREIGN), PairState("no-primary"), "foreign-machine"),
        (
            HostObservation("db1", Reach.SYSTEM, identity="another"),
            PairState("healthy", "db1"),
            "wrong-machine",
        ),
    ],
)
def test_what_could_make_it_worse_is_refused(estate, seen, pair, code):
    with pytest.raises(Refused) as refused:
        decide(estate, STAGES, ask_for(), seen, pair)
    assert refused.value.code == code


@given(verdict=st.sampled_from(Name), primary=st.sampled_from(["db1", "db2"]))
def test_data_is_never_written_over_while_somebody_takes_writes(verdict, primary):
    assert not gates.ask("restore", look(verdict, primary)).yes


def test_data_is_written_over_once_the_pair_is_at_rest():
    assert gates.ask("restore", look("no-primary", None)).yes
    assert not gates.ask("restore", look("both-standby", None)).yes
    assert not gates.ask("restore", look("no-primary", None, Reach.SILENT)).yes


@given(verdict=st.sampled_from(Name))
def test_the_other_host_is_not_stopped_while_it_leads(verdict):
    assert not gates.ask("safety", look(verdict, "db2")).yes
    assert not gates.ask("lead", look(verdict, "db2")).yes
    assert gates.ask("safety", look(verdict, "db1")).yes


def test_a_moment_that_an_earlier_restore_gave_up_is_refused():
    earlier = [GivenUp("run-1", at(2, 30), at(3, 0))]
    for moment in (Moment(None), Moment(at(2, 30)), Moment(at(2, 0)), Moment(at(3, 1))):
        refuse_given_up(moment, earlier)
    with pytest.raises(Refused) as refused:
        refuse_given_up(Moment(at(2, 40)), earlier)
    assert (refused.value.code, "run-1" in refused.value.message) == ("given-up", True)


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 11, 24, hour, minute, tzinfo=UTC)


@given(done=st.integers(0, len(NAMES)), reach=st.sampled_from(Reach))
def test_resume_goes_on_where_it_stopped(done, reach):
    assert resume_index(STAGES, done, reach) == min(done, NAMES.index("verify"))


@pytest.mark.parametrize(
    ("when", "label", "chosen"),
    [
        (None, None, DIFF.label),
        (FULL.stopped, None, FULL.label),
        (FULL.stopped, FULL.label, FULL.label),
        (None, FULL.label, FULL.label),
    ],
)
def test_a_restore_starts_from_the_newest_backup_that_leads_to_the_moment(when, label, chosen):
    assert choose_backup(Moment(when), label, seen(database=(FULL, DIFF))) == chosen


@pytest.mark.parametrize(
    ("when", "label", "code"),
    [
        (FULL.stopped - timedelta(seconds=1), None, "before-backups"),
        (FULL.stopped, DIFF.label, "before-backups"),
        (None, "20000101-000000F", "no-backup"),
    ],
)
def test_a_moment_that_no_backup_leads_to_is_refused_in_the_plan(when, label, code):
    with pytest.raises(Refused) as refused:
        choose_backup(Moment(when), label, seen(database=(FULL, DIFF)))
    assert refused.value.code == code


def test_a_backup_of_another_history_is_taken_by_its_name_and_beside_production_only():
    stray = replace(
        DIFF, label="20261124-040000F", cluster="another", stopped=DIFF.stopped + timedelta(hours=1)
    )
    observed = seen(database=(FULL, DIFF, stray), lineage=Lineage(DIFF.cluster, 1, ()))
    assert choose_backup(Moment(), None, observed) == DIFF.label
    assert choose_backup(Moment(), stray.label, observed, beside=True) == stray.label
    with pytest.raises(Refused) as refused:
        choose_backup(Moment(), stray.label, observed)
    assert refused.value.code == "backup-diverged"


def test_a_silent_store_refuses_no_restore():
    assert choose_backup(Moment(), None, seen(database=None)) is None
    assert choose_backup(Moment(), FULL.label, seen(database=None)) == FULL.label
