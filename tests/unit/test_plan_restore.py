"""The plan of a restore: where it may begin, what it says will be lost, and when data may be written over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_backups import DIFF, FULL, NOW, seen

from rmc_dr import content, gates
from rmc_dr.backups import Lineage
from rmc_dr.backups.forecast import DataRoom, room_for, speed_of
from rmc_dr.engine import resume_index, stage_variables
from rmc_dr.errors import Refused
from rmc_dr.model import HostObservation, PairState, Reach, Request
from rmc_dr.observe import room
from rmc_dr.pair import Name
from rmc_dr.plans import read_stages, wanted
from rmc_dr.plans.moment import Moment
from rmc_dr.plans.restore_database import (
    GivenUp,
    Sources,
    choose_backup,
    decide,
    needed_room,
    refuse_given_up,
)
from rmc_dr.words import plan_title, stage_title

STAGES = read_stages(content.root() / "playbooks" / "restore-database.yml")
NAMES = [stage.name for stage in STAGES]
DB1 = "6b1d2c5e-0a11-4c1e-9d3e-00000000db01"
ALIVE = HostObservation("db1", Reach.SYSTEM, identity=DB1)
TO = "2026-11-24 02:30:00+00:00"


GB = 10**9
SOURCES = Sources(seen(archived_at=NOW))


def ask_for(to=TO, **options):
    return Request("restore-database", "db1", {"restore_on": "db1", "restore_to": to, **options})


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
    plan = decide(estate, STAGES, ask_for(), ALIVE, PairState(verdict, "db1"), SOURCES)
    assert plan.destroys == (f"db1: every write of every application after {TO}",)
    everything = decide(estate, STAGES, ask_for("latest"), ALIVE, PairState(verdict, "db1"), SOURCES)
    assert "everything that was archived" in everything.destroys[0]


def test_without_a_primary_a_named_host_will_do(estate):
    assert decide(estate, STAGES, ask_for(), ALIVE, PairState("no-primary"), SOURCES).target == "db1"


def test_without_a_primary_a_moment_that_nothing_archived_reaches_is_refused_in_the_plan(estate):
    """Nothing archives it any more: recovery would end before it, once everything is renamed and copied."""
    behind = Sources(seen(archived_at=datetime.fromisoformat(TO) - timedelta(seconds=1)))
    with pytest.raises(Refused) as refused:
        decide(estate, STAGES, ask_for(), ALIVE, PairState("no-primary"), behind)
    assert (refused.value.code, "leave out --to" in refused.value.hint) == ("not-archived", True)
    assert decide(estate, STAGES, ask_for(), ALIVE, PairState("healthy", "db1"), behind), "it flushes first"
    assert decide(estate, STAGES, ask_for("latest"), ALIVE, PairState("no-primary"), behind)


BOTH = PairState("healthy", "db1", running=("db1", "db2"))
ALONE = PairState("unprotected", "db1", running=("db1",), down=("db2",))
BIG = replace(DIFF, size=50 * GB)
NEEDED = room_for(50 * GB)


def sources(**rooms):
    return Sources(seen(database=(FULL, BIG), archived_at=NOW), None, rooms)


@pytest.mark.parametrize(
    ("pair", "rooms", "host"),
    [
        (BOTH, {"db1": DataRoom(NEEDED - 1 * GB, 1 * GB), "db2": DataRoom(NEEDED, 1 * GB)}, None),
        (BOTH, {"db1": DataRoom(NEEDED - 1 * GB, 1 * GB - 1), "db2": DataRoom(NEEDED, 0)}, "db1"),
        (BOTH, {"db1": DataRoom(NEEDED, 0), "db2": DataRoom(NEEDED - 1, 60 * GB)}, "db2"),
        (ALONE, {"db1": DataRoom(NEEDED - 1, 60 * GB), "db2": None}, "db1"),
        (ALONE, {"db1": DataRoom(NEEDED, 5 * GB)}, None),
        (BOTH, {"db1": None, "db2": None}, None),
    ],
)
def test_room_is_that_of_the_backup_not_of_todays_data(estate, pair, rooms, host):
    """60 GB that were emptied to 5 come back as 60; and the standby's data stays beside its new copy."""
    if host is None:
        plan = decide(estate, STAGES, ask_for(), ALIVE, pair, sources(**rooms))
        assert plan.options == {"restore_set": BIG.label, "restore_room": NEEDED}
        return
    with pytest.raises(Refused) as refused:
        decide(estate, STAGES, ask_for(), ALIVE, pair, sources(**rooms))
    assert (refused.value.code, refused.value.message.split()[0]) == ("no-room", host)
    assert ("--unprotected" in refused.value.hint) == (host == "db2")


def test_a_standby_without_room_may_be_left_out_for_a_reason(estate):
    rooms = {"db1": DataRoom(NEEDED, 0), "db2": DataRoom(0, 60 * GB)}
    asked = ask_for(unprotected="no disk until Monday")
    stages = wanted(STAGES, asked)
    assert [stage.name for stage in stages] == NAMES[:-1]
    assert decide(estate, stages, asked, ALIVE, BOTH, sources(**rooms)).stages == stages
    assert stage_variables(asked, STAGES[3])["unprotected"] is True, "the reason itself is no template"


def test_everything_archived_may_be_as_large_as_todays_data():
    today = DataRoom(0, 80 * GB)
    assert needed_room(Moment(), BIG, today) == room_for(80 * GB)
    assert needed_room(Moment(at(2, 30)), BIG, today) == NEEDED
    assert needed_room(Moment(at(2, 30)), None, today) == room_for(80 * GB), "the store is silent"
    assert needed_room(Moment(), None, None) == 0


def test_the_plan_says_from_what_and_for_how_long(estate):
    measured = {"copy_bytes": 10 * GB, "copy_seconds": "100", "recover_seconds": 60}
    known = replace(sources(), speed=speed_of(measured, NOW))
    told = decide(estate, STAGES, ask_for(), ALIVE, BOTH, known).restores
    assert told[0] == f"From the backup {BIG.label} of 2026-11-24 02:00 UTC, 50.0 GB"
    assert told[1].startswith("Copy and recovery should take about 9 min,"), "500 s and 60 s"
    assert "2026-11-24 12:00 UTC measured" in told[1]
    for speed in (None, speed_of({"sample_bytes": 5, "sample_seconds": 1}, NOW)):
        told = decide(estate, STAGES, ask_for(), ALIVE, BOTH, replace(known, speed=speed)).restores
        assert told[1] == "How long it takes is unknown: no verification has measured it"
    silent = Sources(seen(database=None))
    assert "size was not told" in decide(estate, STAGES, ask_for(), ALIVE, BOTH, silent).restores[1]


@pytest.mark.parametrize(
    ("said", "wanted_room"),
    [
        ("100 4096\n5000\n", DataRoom(409_600, 5000)),
        ("100 4096\n", DataRoom(409_600, 0)),
        ("", None),
        ("stat: cannot read file system", None),
    ],
)
def test_what_a_host_says_of_its_room(said, wanted_room):
    assert room.read(said) == wanted_room


@pytest.mark.parametrize(
    ("look_at", "pair", "code"),
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
def test_what_could_make_it_worse_is_refused(estate, look_at, pair, code):
    with pytest.raises(Refused) as refused:
        decide(estate, STAGES, ask_for(), look_at, pair, SOURCES)
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
