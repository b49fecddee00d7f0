"""Backups as they were seen: what is missing, what is wrong, what may go. Everything here is pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr.backups import (
    Archiver,
    BackupsObservation,
    DatabaseBackup,
    FileSnapshot,
    Gap,
    Level,
    Limits,
    faults,
    gaps,
    keeping,
    lacking,
    level,
    outlived,
    remarks,
)
from rmc_dr.backups.archive import is_segment, place, segment
from rmc_dr.backups.seen import read_info, read_snapshots
from rmc_dr.observe import backups as backup_eyes

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
numbers = st.integers(0, 5000)


def backup(
    label: str, *, age: timedelta = HOUR, first: int = 10, last: int = 11, **changes: Any
) -> DatabaseBackup:
    full, _underscore, rest = label.partition("_")
    return DatabaseBackup(
        label=label,
        kind="diff" if rest else "full",
        started=NOW - age - HOUR / 60,
        stopped=NOW - age,
        size=2_000,
        stored=500,
        needs=(full,) if rest else (),
        wal_start=segment(1, first),
        wal_stop=segment(1, last),
        archive="17-1",
        cluster="77",
        **{"locked_until": NOW + 10 * DAY, "verified": NOW - HOUR, **changes},
    )


FULL = backup("20261123-010000F", age=20 * HOUR)
DIFF = backup("20261123-010000F_20261124-010000D", age=10 * HOUR, first=30, last=31)
SNAPSHOT = FileSnapshot(
    "aaaa", "app1", "attachments", NOW - HOUR, 5, 500, 5, NOW + DAY, NOW - HOUR, own_lock=NOW + DAY
)


def seen(**changes: Any) -> BackupsObservation:
    """Everything well, but for the changes."""
    backups = changes.get("database", (FULL, DIFF))
    well: dict[str, Any] = {
        "at": NOW,
        "database": backups,
        "files": (SNAPSHOT,),
        "archived": {"17-1": tuple(segment(1, number) for number in range(5, 40))},
        "labels": tuple(one.label for one in backups or ()),
        "archiver": Archiver("db1", 0, 0.0, NOW, NOW - DAY, 3),
        "errors": {},
        "files_until": NOW + 10 * DAY,
    }
    return BackupsObservation(**{**well, **changes})


BLIND: dict[str, Any] = {"archived": None, "labels": None}
LIMITS = Limits(60, 26, 26, 30, (("app1", "attachments"),), {})


def codes(observed: BackupsObservation, limits: Limits = LIMITS) -> dict[str, Level]:
    return {remark.code: remark.level for remark in remarks(observed, limits)}


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**40 - 1))
def test_a_segment_is_named_and_found_again(timeline: int, number: int) -> None:
    name = segment(timeline, number)
    assert is_segment(name)
    assert place(name) == (timeline, number)


@pytest.mark.parametrize(
    "name", ["00000002.history", "000000010000000000000100", "00000001000000000000000A.partial"]
)
def test_what_is_no_whole_segment(name: str) -> None:
    assert not is_segment(name)


@given(numbers, st.integers(1, 200), st.data())
def test_every_missing_segment_is_in_exactly_one_gap(first: int, count: int, data: st.DataObject) -> None:
    whole = range(first, first + count + 2)
    lost = data.draw(st.sets(st.sampled_from(whole[1:-1]), max_size=count))
    found = gaps(segment(1, number) for number in whole if number not in lost)
    named = [number for gap in found for number in range(place(gap.first)[1], place(gap.last)[1] + 1)]
    assert sorted(named) == sorted(lost)
    assert len(named) == len(set(named)) == sum(gap.count for gap in found)
    assert all(place(before.last)[1] + 1 < place(after.first)[1] for before, after in pairwise(found))


@given(numbers, st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 5))
def test_timelines_that_take_over_where_the_one_before_ended_have_no_gap(
    first: int, lengths: list[int], beyond: int
) -> None:
    names, at = [], first
    for timeline, length in enumerate(lengths, 1):
        # The old primary may have archived a little that nobody follows any more.
        names += [segment(timeline, number) for number in range(at, at + length + beyond)]
        at += length
    assert gaps(names) == []


def test_what_a_dead_primary_did_not_archive_is_named_at_the_join() -> None:
    names = [segment(1, 1), segment(1, 2), segment(2, 5), segment(2, 6)]
    assert gaps(names) == [Gap(segment(1, 3), segment(1, 4), 2)]


def test_a_step_back_in_time_is_no_gap() -> None:
    names = [*(segment(1, number) for number in range(9)), *(segment(2, number) for number in range(4, 7))]
    assert gaps(names) == []


@given(numbers, st.integers(0, 20), st.data())
def test_a_backup_lacks_what_is_not_archived_between_its_ends(
    first: int, more: int, data: st.DataObject
) -> None:
    wanted = [segment(3, number) for number in range(first, first + more + 1)]
    held = data.draw(st.sets(st.sampled_from(wanted)))
    assert lacking(wanted[0], wanted[-1], held) == [name for name in wanted if name not in held]


def test_everything_well_says_nothing() -> None:
    assert remarks(seen(), LIMITS) == []
    assert level([]) is Level.OK


def test_faults_name_what_is_missing() -> None:
    orphan = backup("20261101-010000F_20261102-010000D", first=1, last=6)
    found = faults(seen(database=(FULL, DIFF, orphan), labels=(FULL.label, DIFF.label, "20261009-010000F")))
    assert {(fault.code, fault.label) for fault in found} == {
        ("chain-broken", orphan.label),
        ("objects-missing", orphan.label),
        ("wal-missing", orphan.label),
        ("not-listed", "20261009-010000F"),
    }
    assert next(fault for fault in found if fault.code == "chain-broken").missing == ("20261101-010000F",)
    assert next(fault for fault in found if fault.code == "wal-missing").missing[0] == segment(1, 1)


def test_a_gap_hurts_only_behind_the_newest_backup() -> None:
    def without(number: int) -> BackupsObservation:
        held = tuple(segment(1, other) for other in range(5, 40) if other != number)
        return seen(archived={"17-1": held})

    assert codes(without(20)) == {"archive-gap": Level.WARNING}
    assert codes(without(35)) == {"archive-gap": Level.CRITICAL}


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        ({"database": ()}, "no-backup", Level.CRITICAL),
        ({"database": (backup("20261120-010000F", age=27 * HOUR),)}, "backup-old", Level.CRITICAL),
        ({"database": (backup("2026F", age=9 * DAY), backup("2026F_1D"))}, "full-old", Level.WARNING),
        ({"database": (replace(FULL, locked_until=NOW + 2 * DAY),)}, "lock-ends", Level.WARNING),
        ({"database": (replace(FULL, locked_until=None),)}, "not-locked", Level.WARNING),
        ({"files_until": NOW + 2 * DAY}, "lock-ends", Level.WARNING),
        ({"files_until": None}, "not-locked", Level.WARNING),
        ({"database": (replace(FULL, verified=None),)}, "never-verified", Level.WARNING),
        ({"files": (replace(SNAPSHOT, verified=None),)}, "never-verified", Level.WARNING),
        ({"files": (replace(SNAPSHOT, verified=NOW - 27 * HOUR),)}, "verification-old", Level.WARNING),
        ({"database": (replace(FULL, verified=NOW - 27 * HOUR),)}, "verification-old", Level.WARNING),
        ({"database": (FULL, replace(DIFF, damaged=True))}, "backup-damaged", Level.WARNING),
        ({"files": ()}, "no-snapshot", Level.CRITICAL),
        ({"files": (replace(SNAPSHOT, taken=NOW - 2 * DAY),)}, "snapshot-old", Level.CRITICAL),
        ({"archiver": Archiver("db1", 2, 70.0, NOW, None, 0)}, "archive-behind", Level.WARNING),
        ({"archiver": Archiver("db1", 9, 301.0, NOW, None, 0)}, "archive-behind", Level.CRITICAL),
        ({"archiver": Archiver("db1", 1, 9.0, NOW - HOUR, NOW, 4)}, "archive-failing", Level.WARNING),
        ({"archiver": Archiver("db1", 1, 9.0, None, NOW, 4)}, "archive-failing", Level.WARNING),
        ({"errors": {"store": "refused"}, **BLIND}, "store-unreachable", Level.CRITICAL),
        ({"errors": {"archiver": "no single primary"}, "archiver": None}, "archiver-unknown", Level.UNKNOWN),
        ({"errors": {"restic": "silent"}, "files": None}, "restic-unknown", Level.UNKNOWN),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_said_with_its_level(
    change: dict[str, Any], code: str, expected: Level
) -> None:
    assert codes(seen(**change)) == {code: expected}


def test_a_schedule_that_fell_silent_alarms() -> None:
    assert codes(seen(), replace(LIMITS, late_timers={"diff": None})) == {"timer-late": Level.CRITICAL}


def test_what_is_unknown_weighs_more_than_a_warning_and_less_than_the_worst() -> None:
    unseen = {"errors": {"restic": "silent"}, "files": None}
    found = remarks(seen(**unseen, database=(replace(FULL, verified=None),)), LIMITS)
    assert level(found) is Level.UNKNOWN
    assert level(remarks(seen(**unseen, database=()), LIMITS)) is Level.CRITICAL


@given(
    st.integers(2, 5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5), st.booleans()), max_size=9),
)
def test_an_expiry_takes_nothing_that_must_stay(keep: int, chains: list[tuple[int, int, bool]]) -> None:
    backups = []
    for day, (diffs, locked, verified) in enumerate(chains, 1):
        full = f"202610{day:02}-010000F"
        for label in (full, *(f"{full}_202610{day:02}-0{hour}0000D" for hour in range(2, 2 + diffs))):
            proven = NOW - (40 - day) * DAY if verified else None
            backups.append(backup(label, locked_until=NOW + locked * DAY, verified=proven))
    plan = keeping(backups, keep, NOW)
    fulls = sorted({one.full for one in backups}, reverse=True)
    gone = [one for one in backups if one.label in plan.expires]
    assert plan.full >= keep
    assert {one.full for one in gone}.isdisjoint(fulls[: plan.full])
    assert {one.label for one in backups if one.full in fulls[plan.full :]} == set(plan.expires)
    assert all(one.locked_until and one.locked_until <= NOW for one in gone)
    if proven := [one for one in backups if one.verified]:
        assert max(proven, key=lambda one: one.verified or NOW) not in gone
    if len(fulls) > plan.full > keep:
        assert plan.because[-1][0] == fulls[plan.full - 1]


def snapshot(number: int, age: timedelta, **changes: Any) -> FileSnapshot:
    changes = {"verified": None, "own_lock": NOW - DAY, **changes}
    return replace(SNAPSHOT, id=f"{number:08x}", taken=NOW - age, **changes)


def test_the_proof_of_the_files_ages_by_itself() -> None:
    """As where somebody's own scheduler verifies the database alone."""
    old = seen(files=(replace(SNAPSHOT, verified=NOW - 50 * HOUR),))
    assert [one.text for one in remarks(old, LIMITS)] == ["the last verification of the files is 50 h old"]
    assert remarks(seen(files=()), replace(LIMITS, snapshots=())) == []


def test_a_snapshot_is_locked_no_longer_than_the_packs_that_it_shares() -> None:
    stored = backup_eyes._Stored({}, (), {"aaaa": NOW + 30 * DAY, "bbbb": None}, NOW + DAY)
    kept = backup_eyes._snapshot(SNAPSHOT, stored, {})
    assert (kept.locked_until, kept.own_lock) == (NOW + DAY, NOW + 30 * DAY)
    bare = backup_eyes._snapshot(replace(SNAPSHOT, id="bbbb"), stored, {})
    assert (bare.locked_until, bare.own_lock) == (None, None)
    assert backup_eyes._snapshot(SNAPSHOT, None, {}).locked_until is None


def test_a_snapshot_goes_only_where_nothing_holds_it() -> None:
    newest = [snapshot(1, HOUR), snapshot(2, DAY)]
    old = 40 * DAY

    def gone(*more: FileSnapshot) -> tuple[str, ...]:
        return outlived((*newest, *more), 28 * DAY, NOW)

    assert gone(snapshot(3, old)) == ("00000003",)
    assert gone(snapshot(3, 20 * DAY)) == (), "younger than what is kept"
    assert gone(snapshot(3, old, own_lock=NOW + HOUR)) == (), "its lock protects it"
    assert gone(snapshot(3, old, own_lock=None)) == (), "nobody knows its lock"
    assert gone(snapshot(3, old, verified=NOW - DAY)) == (), "the last that was verified"
    assert gone(snapshot(3, old, verified=NOW - 2 * DAY), snapshot(4, old, verified=NOW - DAY)) == (
        "00000003",
    )
    other = snapshot(5, old, host="db1")
    assert gone(other) == (), "the newest of its own host"
    assert outlived([snapshot(1, old), snapshot(2, 2 * old)], 28 * DAY, NOW) == (), "two stay in any case"


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(-5, 5), st.booleans(), st.sampled_from(["app1", "db1"])),
        max_size=12,
    ),
    st.integers(0, 40),
)
def test_an_expiry_of_files_takes_nothing_that_must_stay(
    found: list[tuple[int, int, bool, str]], keep: int
) -> None:
    all_of_them = [
        snapshot(
            number,
            age * DAY,
            own_lock=NOW + lock * DAY,
            verified=NOW - number * HOUR if proven else None,
            host=host,
        )
        for number, (age, lock, proven, host) in enumerate(found)
    ]
    gone = [one for one in all_of_them if one.id in outlived(all_of_them, keep * DAY, NOW)]
    for host in ("app1", "db1"):
        own = [one for one in all_of_them if one.host == host]
        left = [one for one in own if one not in gone]
        assert len(left) >= min(2, len(own))
        if proven := [one for one in own if one.verified]:
            assert max(proven, key=lambda one: one.verified or NOW) in left
    assert all(one.own_lock and one.own_lock <= NOW for one in gone)


def test_what_pgbackrest_prints_is_read() -> None:
    document = [
        {
            "name": "pair",
            "archive": [{"id": "17-2", "database": {"id": 2, "repo-key": 1}, "min": "", "max": ""}],
            "db": [
                {"id": 1, "repo-key": 1, "system-id": 7711126302506503136, "version": "17"},
                {"id": 2, "repo-key": 1, "system-id": 7711126302506503137, "version": "17"},
            ],
            "backup": [
                {
                    "label": "20261124-010000F_20261124-020000D",
                    "type": "diff",
                    "reference": ["20261124-010000F"],
                    "database": {"id": 2, "repo-key": 1},
                    "archive": {"start": "000000010000000000000007", "stop": "000000010000000000000008"},
                    "timestamp": {"start": 1795485600, "stop": 1795485660},
                    "info": {"size": 1000, "delta": 10, "repository": {"delta": 7}},
                    "error": False,
                },
                {
                    "label": "20261101-010000F",
                    "type": "full",
                    "database": {"id": 1, "repo-key": 1},
                    "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000002"},
                    "timestamp": {"start": 1793498400, "stop": 1793498460},
                    "info": {"size": 900, "delta": 900, "repository": {"delta": 90}},
                    "error": True,
                },
            ],
        },
        {"name": "another", "archive": [], "db": [], "backup": []},
    ]
    old, new = read_info(document, "pair")
    assert (old.label, old.archive, old.damaged, old.needs) == ("20261101-010000F", "17-1", True, ())
    assert (new.full, new.archive, new.cluster, new.stored) == (
        "20261124-010000F", "17-2", "7711126302506503137", 7,
    )  # fmt: skip
    assert new.stopped - new.started == timedelta(minutes=1)


def test_what_restic_prints_is_read() -> None:
    snapshots = read_snapshots(
        [
            {
                "time": "2026-11-24T23:50:35.861190474Z",
                "hostname": "app1",
                "tags": ["attachments"],
                "short_id": "74fd6fe9",
                "summary": {
                    "total_files_processed": 14,
                    "total_bytes_processed": 77702,
                    "data_added_packed": 62352,
                },
            },
            {"time": "2026-11-24T01:50:35.8+08:00", "hostname": "db1", "tags": None, "short_id": "1"},
        ]
    )
    assert [snapshot.host for snapshot in snapshots] == ["db1", "app1"]
    assert (snapshots[1].name, snapshots[1].files, snapshots[1].added) == ("attachments", 14, 62352)
    assert read_info([], "pair") == ()
