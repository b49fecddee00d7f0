"""What a verification reads: the newest chain every night, the rest by turns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_backups import BLIND, DAY, DIFF, FULL, HOUR, NOW, SNAPSHOT, backup, seen

from rmc_dr import backup_record
from rmc_dr.backups import Lineage
from rmc_dr.backups.archive import segment
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.verify_plan import PARTS, make_plan

OLD = backup("20261101-010000F", age=23 * DAY, first=5, last=6)
OLDER = backup("20261026-010000F", age=29 * DAY, first=5, last=6)
CHAIN = (DIFF.label, FULL.label)


def read(estate: Estate, *names: str, age: timedelta = HOUR, ok: bool = True, **about: Any) -> None:
    entry = backup_record.Entry("verify", NOW - age, NOW - age, ok, "night", about={"read": names, **about})
    backup_record.append(estate.name, entry)


def test_every_night_the_newest_chain_and_what_is_due(estate: Estate, state: Path) -> None:
    plan = make_plan(estate, "night", seen(database=(OLDER, OLD, FULL, DIFF)))
    assert (plan.label, plan.chain) == (DIFF.label, CHAIN)
    assert plan.sets == (DIFF.label, OLDER.label), "a full backup is read with the differential one"
    assert plan.until == segment(1, 39)
    assert set(plan.items) == {*CHAIN, OLDER.label, "wal 17-1/0000000100000000", "packs 1/28"}
    assert plan.folders == ("17-1/0000000100000000",)
    assert plan.packs == ("1/28",)
    assert (plan.whole, plan.late) == (False, ())
    assert plan.room_bytes > DIFF.size * 1.2


def test_what_was_read_and_sound_has_time_again(estate: Estate, state: Path) -> None:
    read(estate, OLDER.label, "wal 17-1/0000000100000000", ok=False)
    plan = make_plan(estate, "night", seen(database=(OLDER, OLD, FULL, DIFF)))
    assert plan.sets == (DIFF.label,)
    assert plan.folders == ()


def test_a_broken_promise_is_named(estate: Estate, state: Path) -> None:
    forgotten = backup("20261001-010000F", age=54 * DAY)
    assert make_plan(estate, "night", seen(database=(forgotten, FULL, DIFF))).late == (), "the first of all"
    read(estate, "something else", age=40 * DAY)
    plan = make_plan(estate, "night", seen(database=(forgotten, FULL, DIFF)))
    assert plan.late == (forgotten.label, "wal 17-1/0000000100000000")
    assert forgotten.label in plan.sets


def test_a_backup_of_another_history_is_neither_restored_nor_read_by_turns(
    estate: Estate, state: Path
) -> None:
    stray = replace(backup("20261124-110000F", age=HOUR), wal_stop=segment(4, 41))
    old = replace(OLDER, wal_stop=segment(4, 6))
    plan = make_plan(estate, "night", seen(database=(old, FULL, DIFF, stray), lineage=Lineage("77", 1, ())))
    assert (plan.label, plan.sets) == (DIFF.label, (DIFF.label,))


def test_packs_take_turns(estate: Estate, state: Path) -> None:
    old = replace(SNAPSHOT, taken=NOW - 5 * DAY)
    plan = make_plan(estate, "night", seen(files=(old, SNAPSHOT)))
    assert plan.packs == tuple(f"{part}/{PARTS}" for part in sorted(range(1, PARTS + 1), key=str)[:5])
    read(estate, *(f"packs {part}" for part in plan.packs), age=timedelta(0))
    assert make_plan(estate, "night", seen(files=(old, SNAPSHOT))).packs == ()


def test_each_scope_reads_its_own(estate: Estate, state: Path) -> None:
    old = seen(database=(OLDER, FULL, DIFF), files=(replace(SNAPSHOT, taken=NOW - 29 * DAY),))
    database, files, full = (make_plan(estate, scope, old) for scope in ("database", "files", "full"))
    assert (database.packs, database.files) == ((), False)
    assert database.sets[0] == DIFF.label
    assert (files.label, files.sets, files.folders, files.database) == ("", (), (), False)
    assert len(files.packs) == PARTS
    assert (full.whole, full.packs) == (True, ("all",))
    assert {OLDER.label, *CHAIN, "packs 1/28", "packs 28/28", "wal 17-1/0000000100000000"} <= set(full.items)


def test_what_a_verification_needs(estate: Estate, state: Path) -> None:
    without = {name: host for name, host in estate.hosts.items() if "verifier" not in host.groups}
    with pytest.raises(BadInput, match="verifier"):
        make_plan(replace(estate, hosts=without), "night", seen())
    with pytest.raises(Error, match="nobody") as error:
        make_plan(estate, "night", seen(database=None, errors={"pgbackrest": "nobody"}, **BLIND))
    assert error.value.code == "no-backup"
    assert make_plan(estate, "files", seen(database=())).label == ""


def test_a_label_that_is_none_is_handed_to_no_program(estate: Estate, state: Path) -> None:
    strange = replace(OLDER, label="{{ lookup('pipe', 'id') }}")
    plan = make_plan(
        estate, "full", seen(database=(strange, FULL, DIFF), archived={"17-1;x": (segment(1, 1),)})
    )
    assert not any("{{" in name or ";" in name for name in (*plan.items, *plan.sets))
