"""The plans that bring back an estate, or a pair, of which nothing lives: refusals, gates and resume."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content, gates
from rmc_dr.backups import BackupsObservation, DatabaseBackup
from rmc_dr.engine import resume_index, together
from rmc_dr.errors import Refused
from rmc_dr.model import Check, HostObservation, PairState, Reach, Request
from rmc_dr.plans import read_stages
from rmc_dr.plans.rebuild_estate import GROUPS, decide, hosts_of, usable, with_fixed
from rmc_dr.words import plan_title, stage_title

PLANS = {name: read_stages(content.root() / "playbooks" / f"{name}.yml") for name in GROUPS}
NAMES = {name: [stage.name for stage in stages] for name, stages in PLANS.items()}
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
FULL = DatabaseBackup(
    label="20261124-010000F", kind="full", started=NOW, stopped=NOW - timedelta(days=1), size=1, stored=1,
    needs=(), wal_start="000000010000000000000002", wal_stop="000000010000000000000003", archive="17-1",
    cluster="7",
)  # fmt: skip
DIFF = replace(
    FULL, label="20261124-010000F_20261125-010000D", kind="diff", stopped=NOW - timedelta(hours=2),
    needs=(FULL.label,), wal_start="000000010000000000000005", wal_stop="000000010000000000000005",
)  # fmt: skip
WAL = tuple(f"0000000100000000000000{number:02X}" for number in range(2, 8))
STORED = BackupsObservation(
    NOW, (FULL, DIFF), None, {"17-1": WAL}, (FULL.label, DIFF.label), None, archived_at=NOW
)
GONE = PairState("unknown")


def dead(estate, plan="rebuild-estate"):
    return {host.name: HostObservation(host.name, Reach.SILENT) for host in hosts_of(estate, plan)}


def asked(estate, plan="rebuild-estate", **options):
    return with_fixed(estate, Request(plan, estate.name, options))


def plan_of(estate, plan="rebuild-estate", seen=None, pair=GONE, stored=STORED, **options):
    request = asked(estate, plan, **options)
    return decide(estate, PLANS[plan], request, {**dead(estate, plan), **(seen or {})}, pair, stored)


def test_stages_stand_in_the_order_of_the_runbook():
    middle = [
        "preserve",
        "fence",
        "reinstall",
        "boot",
        "found",
        "safety",
        "restore",
        "check",
        "lead",
        "rejoin",
    ]
    end = ["start", "verify", "open"]
    assert NAMES["rebuild-estate"] == [
        "living", *middle, "converge", "applications", "files", "database", *end,
    ]  # fmt: skip
    assert NAMES["rebuild-pair"] == ["living", "preserve", "quiesce", "close", *middle[1:], "converge", *end]
    for name, stages in PLANS.items():
        assert [stage.name for stage in stages if stage.destructive] == ["reinstall"]
        assert all((content.root() / "playbooks" / stage.playbook).is_file() for stage in stages)
        assert all(stage.target for stage in stages), "no stage may fall back to the estate's name"
        assert plan_title(name) != name
        assert all(stage_title(stage.name) != stage.name for stage in stages)


def test_what_is_lost_is_brought_back_from_the_newest_backup(estate):
    plan = plan_of(estate)
    assert plan.options["restore_set"] == DIFF.label
    assert (plan.options["restore_on"], plan.options["restore_to"]) == ("db1", "latest")
    assert plan.archived_at == NOW
    told = " ".join(plan.restores)
    assert DIFF.label in told
    assert WAL[-1] in told
    assert "2026-11-25 03:00:00 UTC" in told
    assert [line.split(":")[0] for line in plan.destroys[:3]] == ["app1", "db1", "db2"]


def test_of_a_pair_only_the_database_hosts_are_installed(estate):
    assert [host.name for host in hosts_of(estate, "rebuild-pair")] == ["db1", "db2"]
    assert not any(line.startswith("app1") for line in plan_of(estate, "rebuild-pair").destroys)


SERVES = {"app1": HostObservation("app1", Reach.SYSTEM, serving=True)}
UP = {"db2": HostObservation("db2", Reach.SYSTEM)}


@pytest.mark.parametrize(
    ("seen", "pair", "host"),
    [
        (SERVES, GONE, "app1"),
        ({"app1": HostObservation("app1", Reach.SYSTEM)}, GONE, "app1"),
        ({}, PairState("standby-down", "db1", ("db1",)), "db1"),
        (UP, PairState("no-primary", None, ("db2",)), "db2"),
        (UP, PairState("unknown"), "db2"),
    ],
)
def test_what_lives_or_may_live_is_refused(estate, seen, pair, host):
    with pytest.raises(Refused) as refused:
        plan_of(estate, seen=seen, pair=pair)
    assert (refused.value.code, f"--replace-healthy {host}" in refused.value.hint) == ("healthy-host", True)
    assert plan_of(estate, seen=seen, pair=pair, replace_healthy=f"{host},db9").target == "lab"


def test_a_system_whose_database_is_proven_down_does_not_live(estate):
    assert plan_of(estate, seen=UP, pair=PairState("unknown", down=("db2",))).target == "lab"


def test_each_living_host_needs_its_own_word(estate):
    pair = PairState("healthy", "db1", ("db1", "db2"))
    with pytest.raises(Refused, match="db2"):
        plan_of(estate, pair=pair, replace_healthy="db1")
    assert plan_of(estate, pair=pair, replace_healthy="db1,db2").destroys


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        (replace(STORED, database=None, errors={"store": "no answer"}), "store-unread"),
        (replace(STORED, archived=None), "store-unread"),
        (replace(STORED, database=()), "no-backup"),
        (replace(STORED, labels=()), "no-backup"),
        (replace(STORED, database=(replace(FULL, damaged=True), DIFF)), "no-backup"),
        (replace(STORED, archived={"17-1": WAL[4:]}), "no-backup"),
    ],
)
def test_without_a_usable_backup_nothing_is_begun(estate, stored, code):
    with pytest.raises(Refused) as refused:
        plan_of(estate, stored=stored)
    assert refused.value.code == code
    assert "rmc-dr store rewind" in refused.value.hint


def test_a_broken_newest_backup_leaves_the_one_before():
    assert usable(replace(STORED, labels=(FULL.label,))).label == FULL.label


def test_a_gap_behind_the_backup_is_told(estate):
    stored = replace(STORED, archived={"17-1": (*WAL, "00000001000000000000000A")})
    assert "nothing behind 000000010000000000000008 comes back" in " ".join(
        plan_of(estate, stored=stored).restores
    )


def look(estate, name, stage_options=None, reach=Reach.SYSTEM, pair=GONE, checks=(), plan="rebuild-estate"):
    host = estate.host(name)
    seen = HostObservation(name, reach, identity=host.identity.machine)
    request = asked(estate, plan, **(stage_options or {}))
    return gates.Look(request, host.identity.machine, seen, pair, checks)


REST = ("found", "safety", "restore", "check")


@pytest.mark.parametrize("plan", GROUPS)
@pytest.mark.parametrize("stage", REST)
def test_nothing_is_written_over_while_a_database_serves(estate, plan, stage):
    down = PairState("no-primary", down=("db1", "db2"))
    serving = PairState("standby-down", "db1", ("db1",))
    assert gates.ask(stage, look(estate, "db1", pair=down, plan=plan)).yes
    assert not gates.ask(stage, look(estate, "db1", pair=serving, plan=plan)).yes
    assert not gates.ask(stage, look(estate, "db1", reach=Reach.RESCUE, pair=down, plan=plan)).yes


def test_only_the_restored_host_may_lead(estate):
    assert gates.ask("lead", look(estate, "app1", pair=PairState("no-primary"))).yes
    assert gates.ask("lead", look(estate, "app1", pair=PairState("standby-down", "db1", ("db1",)))).yes
    assert not gates.ask("lead", look(estate, "app1", pair=PairState("standby-down", "db2", ("db2",)))).yes


@pytest.mark.parametrize("stage", ["living", "fence"])
def test_what_came_alive_meanwhile_is_not_taken_down(estate, stage):
    alive = PairState("standby-down", "db1", ("db1",))
    assert gates.ask(stage, look(estate, "db1", reach=Reach.SILENT)).yes
    assert not gates.ask(stage, look(estate, "db1", pair=alive)).yes
    assert gates.ask(stage, look(estate, "db1", {"replace_healthy": "db1"}, pair=alive)).yes


def test_every_host_must_answer_yes(estate):
    rescue = [look(estate, name, reach=Reach.RESCUE) for name in ("app1", "db1", "db2")]
    assert gates.ask_all("reinstall", rescue).yes
    answer = gates.ask_all("reinstall", [*rescue[:2], look(estate, "db2", reach=Reach.SYSTEM)])
    assert (answer.yes, "db2" in answer.reason) == (False, True)


def test_users_are_let_in_only_by_proof(estate):
    well = PairState("healthy", "db1", ("db1", "db2"))
    assert not gates.ask("open", look(estate, "db1", pair=well)).yes
    assert gates.ask("open", look(estate, "db1", pair=well, checks=(Check("x", True),))).yes


def test_hosts_that_answer_differently_answer_not_at_all():
    assert together([Reach.RESCUE, Reach.RESCUE]) is Reach.RESCUE
    assert together([Reach.SYSTEM, Reach.SILENT]) is Reach.UNKNOWN


@given(plan=st.sampled_from(sorted(GROUPS)), done=st.integers(0, 20), reach=st.sampled_from(Reach))
def test_resume_repeats_neither_a_written_disk_nor_a_restore_that_may_lead(plan, done, reach):
    names = NAMES[plan]
    done = min(done, len(names))
    again = names[resume_index(PLANS[plan], done, reach) :]
    assert not ("reinstall" in names[:done] and "reinstall" in again)
    assert not (done >= names.index("lead") and set(again) & set(REST))
    assert set(names[done:]) <= set(again)
