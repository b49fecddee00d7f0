"""The plan of a rebuild: what it holds, and what it refuses before anything changes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content, gates
from rmc_dr.engine import completed, resume_index
from rmc_dr.errors import Error, Refused
from rmc_dr.model import Check, HostObservation, PairState, Reach, Request
from rmc_dr.plans import read_stages
from rmc_dr.plans.rebuild_appserver import decide
from rmc_dr.record import Event

PLAYBOOK = content.root() / "playbooks" / "rebuild-appserver.yml"
STAGES = read_stages(PLAYBOOK)
NAMES = [stage.name for stage in STAGES]
APP1 = "6b1d2c5e-0a11-4c1e-9d3e-00000000a001"
DEAD = HostObservation("app1", Reach.SILENT)
WELL = PairState("healthy", "db1")


def ask_for(**options):
    return Request("rebuild-appserver", "app1", options)


def test_stages_stand_in_the_order_of_the_runbook():
    assert NAMES == [
        "preserve", "fence", "reinstall", "boot", "converge", "files", "database", "start", "verify", "open",
    ]  # fmt: skip
    assert [stage.name for stage in STAGES if stage.destructive] == ["reinstall"]
    assert all((PLAYBOOK.parent / stage.playbook).is_file() for stage in STAGES)


def test_a_stage_without_budget_is_named(tmp_path: Path):
    broken = tmp_path / "plan.yml"
    broken.write_text(
        "- ansible.builtin.import_playbook: stages/x.yml\n  vars: {stage: x, destructive: false}\n"
    )
    with pytest.raises(Error, match="budget_minutes"):
        read_stages(broken)


def test_a_dead_host_is_rebuilt(estate):
    plan = decide(estate, STAGES, ask_for(), DEAD, WELL)
    assert plan.target == "app1"
    assert plan.destroys == ("app1: the boot partitions and the root filesystem",)


def test_wiping_data_says_what_is_lost(estate):
    plan = decide(estate, STAGES, ask_for(wipe_data=True), DEAD, WELL)
    assert "app1: every attachment on /srv" in plan.destroys


def test_wiping_data_says_how_much_is_lost_where_that_can_be_counted(estate):
    seen = HostObservation("app1", Reach.SYSTEM, identity=APP1, serving=False, data_files=1234)
    plan = decide(estate, STAGES, ask_for(wipe_data=True), seen, WELL)
    assert "app1: every attachment on /srv, about 1234 files and folders" in plan.destroys
    assert plan.destroys[0] == decide(estate, STAGES, ask_for(), seen, WELL).destroys[0]


@pytest.mark.parametrize(
    ("seen", "pair", "code"),
    [
        (HostObservation("app1", Reach.FOREIGN), "healthy", "foreign-machine"),
        (HostObservation("app1", Reach.SYSTEM, identity="another"), "healthy", "wrong-machine"),
        (HostObservation("app1", Reach.RESCUE, identity="another"), "healthy", "wrong-machine"),
        (HostObservation("app1", Reach.SYSTEM, identity=APP1, serving=True), "healthy", "healthy-host"),
        (HostObservation("app1", Reach.SYSTEM, identity=APP1), "healthy", "serving-unknown"),
        (DEAD, "split-brain", "split-brain"),
        (DEAD, "diverged", "split-brain"),
    ],
)
def test_what_could_make_it_worse_is_refused(estate, seen, pair, code):
    with pytest.raises(Refused) as refused:
        decide(estate, STAGES, ask_for(), seen, PairState(pair))
    assert refused.value.code == code


def test_a_healthy_host_needs_its_own_name(estate):
    healthy = HostObservation("app1", Reach.SYSTEM, identity=APP1, serving=True)
    with pytest.raises(Refused):
        decide(estate, STAGES, ask_for(replace_healthy="db1"), healthy, WELL)
    assert decide(estate, STAGES, ask_for(replace_healthy="app1"), healthy, WELL).target == "app1"


def test_a_host_that_may_serve_needs_its_own_name(estate):
    busy = HostObservation("app1", Reach.SYSTEM, identity=APP1)
    assert decide(estate, STAGES, ask_for(replace_healthy="app1"), busy, WELL).target == "app1"
    stopped = HostObservation("app1", Reach.SYSTEM, identity=APP1, serving=False)
    assert decide(estate, STAGES, ask_for(), stopped, WELL).target == "app1"


@pytest.mark.parametrize("reach", [Reach.SILENT, Reach.RESCUE, Reach.UNKNOWN])
def test_a_host_whose_system_is_not_there_needs_no_ceremony(estate, reach):
    assert decide(estate, STAGES, ask_for(), HostObservation("app1", reach), WELL).target == "app1"
    assert gates.ask("fence", look(reach, serving=None)).yes


def look(reach=Reach.SYSTEM, identity=APP1, pair="healthy", checks=(), serving=False, **options):
    seen = HostObservation("app1", reach, identity=identity, serving=serving)
    return gates.Look(ask_for(**options), APP1, seen, PairState(pair, "db1"), checks)


@pytest.mark.parametrize("reach", [reach for reach in Reach if reach is not Reach.RESCUE])
def test_a_disk_is_written_only_from_the_rescue_system(reach):
    assert not gates.ask("reinstall", look(reach)).yes


def test_a_disk_is_written_only_on_the_named_machine():
    assert gates.ask("reinstall", look(Reach.RESCUE)).yes
    assert not gates.ask("reinstall", look(Reach.RESCUE, identity=None)).yes
    assert not gates.ask("reinstall", look(Reach.RESCUE, identity="another")).yes


def test_a_host_that_may_serve_is_not_fenced():
    answer = gates.ask("fence", look(serving=None))
    assert (answer.yes, "cannot be told" in answer.reason) == (False, True)
    assert gates.ask("fence", look(serving=None, replace_healthy="app1")).yes


def test_a_host_that_came_back_is_not_fenced():
    assert not gates.ask("fence", look(serving=True)).yes
    assert gates.ask("fence", look(serving=True, replace_healthy="app1")).yes


@pytest.mark.parametrize("pair", ["no-primary", "split-brain", "both-standby", "no-quorum", "unknown"])
def test_no_application_starts_without_a_trusted_primary(pair):
    assert not gates.ask("start", look(pair=pair)).yes


def test_users_come_in_only_after_every_check_passed():
    good, bad = Check("a", True), Check("b", False)
    assert gates.ask("open", look(checks=(good,))).yes
    assert not gates.ask("open", look(checks=(good, bad))).yes
    assert not gates.ask("open", look(checks=())).yes


@given(
    done=st.integers(0, len(NAMES)),
    reach=st.sampled_from(Reach),
)
def test_resume_never_repeats_a_completed_destructive_stage(done, reach):
    index = resume_index(STAGES, done, reach)
    again = NAMES[index:]
    assert not ("reinstall" in NAMES[:done] and "reinstall" in again)
    assert set(NAMES[done:]) <= set(again)


def told(*events):
    now = datetime.now(UTC)
    return [
        Event(seq, now, 0.0, name, {"name": stage, "status": status})
        for seq, (name, stage, status) in enumerate(events)
    ]


def test_a_stage_begun_again_undoes_what_stood_behind_it():
    whole = [
        event for name in NAMES[:6] for event in (("stage-started", name, ""), ("stage-finished", name, "ok"))
    ]
    assert completed(told(*whole), STAGES) == 6
    again = [("stage-started", "boot", ""), ("stage-finished", "boot", "ok")]
    assert completed(told(*whole, again[0]), STAGES) == NAMES.index("boot")
    assert completed(told(*whole, *again), STAGES) == NAMES.index("boot") + 1
    assert (
        completed(told(("stage-started", "preserve", ""), ("stage-finished", "preserve", "failed")), STAGES)
        == 0
    )


def test_resume_steps_back_to_what_brings_the_needed_system_up():
    def at(done, reach):
        return [*NAMES, "end"][resume_index(STAGES, NAMES.index(done), reach)]

    assert at("reinstall", Reach.RESCUE) == "reinstall"
    assert at("reinstall", Reach.SILENT) == "fence"
    assert at("converge", Reach.SYSTEM) == "converge"
    for stage, reach in itertools.product(NAMES[NAMES.index("converge") :], [Reach.SILENT, Reach.UNKNOWN]):
        assert at(stage, reach) == "boot"
    assert at("open", Reach.SYSTEM) == "verify"
