"""The record of incidents: torn and damaged lines, many writers, kills, and names."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from test_incident import CRITICAL, MILD, call, events, refused

from rmc_dr import content, journals, response
from rmc_dr.estate import Estate
from rmc_dr.incident import record
from rmc_dr.incident.history import IncidentState
from rmc_dr.journal import NAME


def lines(incident: str) -> list[bytes]:
    return (record.folder_of(incident) / NAME).read_bytes().splitlines(keepends=True)


def test_a_torn_line_is_left_out_then_cut_off_and_said(ours: Estate) -> None:
    state = response.start(ours, "x", CRITICAL)
    path, before = record.folder_of(state.incident) / NAME, len(lines(state.incident))
    with path.open("ab") as journal:
        journal.write(b'{"seq": 4, "time": "2026-')
    assert len(record.read(state.incident).events) == before
    response.note(ours, "on it goes")
    assert events(state.incident)[-2:] == ["journal-repaired", "note"]


def test_an_incident_that_a_power_cut_kept_from_beginning_never_was(ours: Estate) -> None:
    path = record.folder_of("20261125T000000Z-incident-0000")
    path.mkdir(parents=True)
    (path / NAME).write_bytes(b'{"seq": 1, "ti')
    assert list(record.incidents()) == []
    assert response.start(ours, "x", MILD).open


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n{}\n",
        b'{"seq": 1, "time": "2026-11-25T00:00:00Z", "mono": 1.0, "event": "incident-opened"}\n',
        b'{"seq": 1, "time": "2026-11-25T00:00:00Z", "mono": 1.0, "event": "note", "text": "x"}\n',
    ],
)
def test_a_damaged_record_is_said_and_nothing_opens_beside_it(ours: Estate, line: bytes) -> None:
    path = record.folder_of("20261125T000000Z-incident-0000")
    path.mkdir(parents=True)
    (path / NAME).write_bytes(line)
    assert "damaged" in call(ours, "list").output
    assert refused(lambda: response.start(ours, "x", MILD)) == "incident-damaged"
    assert record.open_incident(ours.name) is None
    assert refused(lambda: record.read(path.name)) == "incident-damaged"


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("milestone", {"what": "mended", "at": "2026-11-25T00:00:00Z"}),
        ("milestone", {"what": "solved", "at": "2026-11-25T00:00:00"}),
        ("milestone", {"what": "solved", "at": "9999-12-31T23:59:59-08:00"}),
        ("classified", {"class": "awful"}),
        ("classified", {"kinds": ["weather"]}),
        ("classified", {"findings": 3}),
        ("terms", {"terms": {"clocks": []}}),
        ("clock-warned", {"clock": "x", "percent": "many"}),
        ("run-attached", {}),
        ("run-attached", {"run": "x", "plan": 5}),
        ("attached", {}),
        ("attached", {"what": ["evidence"]}),
        ("attached", {"what": "evidence"}),
        ("attached", {"what": "evidence", "id": "x", "bytes": "zz"}),
        ("attached", {"what": "evidence", "id": "../../elsewhere"}),
        ("attached", {"what": "report"}),
        ("attached", {"what": "audit", "wal": 5}),
        ("attached", {"what": "audit", "wal": {"newest": "x"}}),
        ("attached", {"what": "audit", "attachments": [5]}),
        ("attached", {"what": "diagnosis", "leaf": []}),
        ("note", {"text": "x", "about": ["scope"]}),
        ("milestone", {"what": "solved", "at": "2026-11-25T00:00:00Z", "about": {}}),
    ],
)
def test_a_line_that_no_incident_holds_is_damage_and_no_traceback(
    ours: Estate, event: str, fields: dict[str, Any]
) -> None:
    state = response.start(ours, "x", CRITICAL)
    record.append(state.incident, (), event, **fields)
    assert refused(lambda: record.read(state.incident)) == "incident-damaged"
    assert [one.damaged != "" for one in record.incidents()] == [True]


def test_many_write_at_once_and_no_line_is_lost(ours: Estate) -> None:
    state = response.start(ours, "x", MILD)
    before = len(state.events)

    def write(name: int) -> None:
        for number in range(10):
            record.append(state.incident, (), "note", text=f"{name} {number}", operator="root")

    threads = [threading.Thread(target=write, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = record.read(state.incident).events
    assert [event.seq for event in found] == list(range(1, before + 51))
    assert len({event.get("text") for event in found[before:]}) == 50


def test_who_holds_the_journal_too_long_is_not_waited_for(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = response.start(ours, "x", MILD)
    monkeypatch.setattr(journals, "WAIT_SECONDS", 0.1)
    with record.held(state.incident):
        assert refused(lambda: record.append(state.incident, (), "note", text="x")) == "incident-in-use"
    record.append(state.incident, (), "note", text="x")


@pytest.mark.parametrize("name", ["nothing", "incident", ""])
def test_an_incident_is_found_by_a_part_of_its_name(ours: Estate, name: str) -> None:
    first = response.start(ours, "x", MILD)
    response.close(ours, "x")
    second = response.start(ours, "y", MILD)
    assert record.find("last") in (first.incident, second.incident)
    assert record.find(first.incident[-4:]) == first.incident
    assert refused(lambda: record.find(name)) == "unknown-incident"


def test_a_killed_writer_leaves_a_journal_that_goes_on(ours: Estate, tmp_path: Path) -> None:
    state = response.start(ours, "x", MILD)
    program = (
        "import os, sys; from pathlib import Path; from rmc_dr import content\n"
        "content.STATE = Path(sys.argv[1])\n"
        "from rmc_dr.incident import record\n"
        "with record.held(sys.argv[2]) as journal:\n"
        "    journal.append('note', text='written', operator='root')\n"
        "    os.write(journal._descriptor, b'half a li'); os.kill(os.getpid(), 9)\n"
    )
    words = [sys.executable, "-c", program, str(content.STATE), state.incident]
    assert subprocess.run(words, check=False, cwd=content.root()).returncode == -9
    response.note(ours, "after the kill")
    said = [event.get("text") for event in record.read(state.incident).events if event.event == "note"]
    assert said == ["written", "after the kill"]
    assert isinstance(record.read(state.incident), IncidentState)
