"""The plan of a database host's rebuild: the other host leads, whatever happens, or nothing is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content, gates
from rmc_dr.engine import resume_index
from rmc_dr.errors import Refused
from rmc_dr.model import HostObservation, PairState, Reach, Request
from rmc_dr.pair import Name
from rmc_dr.plans import read_stages
from rmc_dr.plans.rebuild_dbserver import decide
from rmc_dr.words import plan_title, stage_title

STAGES = read_stages(content.root() / "playbooks" / "rebuild-dbserver.yml")
NAMES = [stage.name for stage in STAGES]
DB1 = "6b1d2c5e-0a11-4c1e-9d3e-00000000db01"
DEAD = HostObservation("db1", Reach.SILENT)
ALIVE = HostObservation("db1", Reach.SYSTEM, identity=DB1)
LEADING = PairState("standby-down", "db2")


def ask_for(**options):
    return Request("rebuild-dbserver", "db1", options)


def look(reach=Reach.SYSTEM, verdict="standby-down", primary="db2", identity=DB1):
    seen = HostObservation("db1", reach, identity=identity)
    return gates.Look(ask_for(), DB1, seen, PairState(verdict, primary))


def test_stages_stand_in_the_order_of_the_runbook():
    assert NAMES == [
        "preserve", "handover", "fence", "reinstall", "boot", "converge", "replicate", "verify",
    ]  # fmt: skip
    assert [stage.name for stage in STAGES if stage.destructive] == ["reinstall"]
    assert plan_title("rebuild-dbserver") != "rebuild-dbserver"
    assert all(stage_title(name) != name for name in NAMES)


def test_a_dead_host_is_rebuilt_and_its_data_kept(estate):
    plan = decide(estate, STAGES, ask_for(), DEAD, LEADING)
    assert plan.destroys == ("db1: the boot partitions and the root filesystem",)


def test_wiping_data_says_what_is_lost(estate):
    plan = decide(estate, STAGES, ask_for(wipe_data=True), DEAD, LEADING)
    assert "db1: this node's copy of the database on /srv" in plan.destroys


@pytest.mark.parametrize(
    ("seen", "pair", "code"),
    [
        (HostObservation("db1", Reach.FOREIGN), LEADING, "foreign-machine"),
        (HostObservation("db1", Reach.RESCUE, identity="another"), LEADING, "wrong-machine"),
        (DEAD, PairState("diverged", "db2"), "diverged"),
        (ALIVE, PairState("healthy", "db2"), "healthy-host"),
        (ALIVE, PairState("healthy", "db1"), "healthy-host"),
        (ALIVE, PairState("standby-down", "db1"), "only-copy"),
        (ALIVE, PairState("standby-lagging", "db1"), "only-copy"),
        (ALIVE, PairState("unprotected", "db1"), "only-copy"),
        (DEAD, PairState("split-brain"), "no-primary"),
        (DEAD, PairState("no-primary"), "no-primary"),
        (DEAD, PairState("unknown"), "no-primary"),
    ],
)
def test_what_could_make_it_worse_is_refused(estate, seen, pair, code):
    with pytest.raises(Refused) as refused:
        decide(estate, STAGES, ask_for(), seen, pair)
    assert refused.value.code == code


def test_a_healthy_host_needs_its_own_name(estate):
    healthy = PairState("healthy", "db1")
    with pytest.raises(Refused):
        decide(estate, STAGES, ask_for(replace_healthy="db2"), ALIVE, healthy)
    assert decide(estate, STAGES, ask_for(replace_healthy="db1"), ALIVE, healthy).target == "db1"


@given(
    stage=st.sampled_from(["fence", "reinstall"]),
    reach=st.sampled_from(Reach),
    verdict=st.sampled_from(Name),
    primary=st.sampled_from([None, "db1"]),
)
def test_nothing_is_taken_down_unless_the_other_host_leads(stage, reach, verdict, primary):
    assert not gates.ask(stage, look(reach, verdict, primary)).yes


@given(verdict=st.sampled_from([name for name in Name if name is not Name.HEALTHY]))
def test_the_writes_are_handed_over_only_to_a_standby_in_step(verdict):
    assert not gates.ask("handover", look(verdict=verdict, primary="db1")).yes
    assert gates.ask("handover", look(verdict="healthy", primary="db1")).yes


def test_a_disk_is_written_only_from_the_rescue_system_of_the_named_machine():
    assert gates.ask("reinstall", look(Reach.RESCUE)).yes
    assert not gates.ask("reinstall", look(Reach.SYSTEM)).yes
    assert not gates.ask("reinstall", look(Reach.RESCUE, identity="another")).yes


@given(done=st.integers(0, len(NAMES)), reach=st.sampled_from(Reach))
def test_resume_never_repeats_a_completed_destructive_stage(done, reach):
    again = NAMES[resume_index(STAGES, done, reach) :]
    assert not ("reinstall" in NAMES[:done] and "reinstall" in again)
    assert set(NAMES[done:]) <= set(again)
