"""The record of inspections: read strictly, torn lines, many writers, and when the next one is due."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds_world import DAY, NOW, facts, keep, risk

from rmc_dr import journals, schedule
from rmc_dr.errors import Error, Locked
from rmc_dr.estate import Estate
from rmc_dr.history import Event
from rmc_dr.journal import NAME
from rmc_dr.rounds import make, record
from rmc_dr.rounds.facts import Facts
from rmc_dr.rounds.history import Inspection


def test_what_was_kept_is_read_again(ours: Estate) -> None:
    seen = facts(risks=(risk("disk-full"),))
    kept = keep(ours, NOW, seen)
    assert kept.facts == seen
    assert [item.name for item in kept.open_items] == ["label-printers", "report-plugins"]
    record.append(kept.name, (), make.marks(["label-printers"], ["label-printers"], []))
    record.append(kept.name, (), make.marks(["report-plugins"], [], ["report-plugins=报表打不开"]))
    after = record.find(ours.name)
    assert after.open_items == ()
    assert [(item.name, mark.remark) for item, mark in after.faulty] == [("report-plugins", "报表打不开")]
    record.append(kept.name, (), make.marks(["report-plugins"], ["report-plugins"], []))
    assert record.find(ours.name).faulty == ()


def test_a_torn_line_is_cut_off_and_a_damaged_record_is_said(ours: Estate) -> None:
    kept = keep(ours, NOW, facts())
    path = record.folder_of(kept.name) / NAME
    with path.open("ab") as journal:
        journal.write(b'{"seq": 2, "time": "2026-')
    assert record.read(kept.name).facts is not None
    record.append(kept.name, (), make.marks(["a"], ["a"], []))
    assert b"journal-repaired" in path.read_bytes()
    with path.open("ab") as journal:
        journal.write(b"nonsense\n{}\n")
    with pytest.raises(Error) as error:
        record.read(kept.name)
    assert error.value.code == "inspection-damaged"
    assert [one.damaged != "" for one in record.summaries()] == [True]
    assert record.inspections(ours.name) == []


PATHS = [
    ("facts", "seconds"), ("facts", "servers"), ("facts", "servers", 0, "name"), ("facts", "databases"),
    ("facts", "risks", 0, "weight"), ("facts", "kit", "expires"), ("facts", "drills", 0, "at"),
    ("facts", "backups"), ("facts", "backups", "verifications", 0, "good"), ("facts", "disks", 0, "size"),
    ("days",), ("items", 0), ("estate",), ("timezone",),
]  # fmt: skip
ODD = st.sampled_from(
    [None, -1, "x", [], {}, [1], 1e300, "2026-11-25", "9999-01-01T00:00:00Z", True, {"a": {}}]
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PATHS), ODD)
def test_a_line_that_no_inspection_holds_is_damage_and_no_traceback(path: tuple[Any, ...], odd: Any) -> None:
    document: Any = {
        "inspection": "i", "estate": "e", "centre": "c", "timezone": "UTC", "operator": "o", "host": "h",
        "tool_version": "1", "days": 92, "items": [{"name": "a", "en": "a", "zh": "a"}],
        "facts": json.loads(facts(risks=(risk("x"),)).model_dump_json()),
    }  # fmt: skip
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = odd
    try:
        state = Inspection.of([Event(1, NOW, 1.0, "inspection-made", document)])
    except ValueError:
        return
    assert isinstance(state.facts, Facts)
    assert ZoneInfo(state.timezone)


def test_two_who_write_one_inspection_take_turns(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(ours, NOW, facts())
    monkeypatch.setattr(journals, "WAIT_SECONDS", 0.1)
    with record.JOURNALS.held(kept.name), pytest.raises(Locked) as error:
        record.append(kept.name, (), [])
    assert error.value.code == "inspection-in-use"


def test_the_next_one_is_due_after_the_last_or_after_the_founding(ours: Estate) -> None:
    assert record.due(ours.name, 92, None).until is None
    founded = record.due(ours.name, 92, NOW)
    assert (founded.last, founded.until) == (None, NOW + 92 * DAY)
    assert not founded.late(NOW + 92 * DAY)
    assert founded.late(NOW + 93 * DAY)
    keep(ours, NOW + 50 * DAY, facts())
    assert record.due(ours.name, 92, NOW).until == NOW + 142 * DAY
    assert schedule.inspection(ours).last == NOW + 50 * DAY
