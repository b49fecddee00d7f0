"""The run record: what a power cut, a second writer and a secret do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmc_dr import content, record
from rmc_dr.errors import BadInput, Error, Locked
from rmc_dr.model import Plan, Request, Stage
from rmc_dr.record import Journal, RunState

PLAN = Plan(
    "rebuild-appserver",
    "app1",
    (
        Stage("preserve", "stages/preserve.yml", 10, False),
        Stage("reinstall", "stages/reinstall.yml", 20, True),
    ),
    ("the system disk of app1",),
)
REQUEST = Request("rebuild-appserver", "app1", {"yes": True})


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(content, "STATE", tmp_path)
    return tmp_path


def create(**more: object) -> Journal:
    return Journal.create(PLAN, REQUEST, estate="lab", operator="root", rto_hours=24, **more)


def test_what_is_written_is_read_back() -> None:
    with create(centre="实验中心") as journal:
        journal.append("stage-started", name="preserve")
        journal.append("task", stage="preserve", task="Copy files", host="app1", status="changed")
        journal.append("stage-finished", name="preserve", status="ok", seconds=2.5, changed=1)
    events = record.read(record.run_dir(journal.run_id))
    assert [event.seq for event in events] == [1, 2, 3, 4]
    state = RunState.of(events)
    assert state.completed == ("preserve",)
    assert state.about["centre"] == "实验中心"
    assert state.about["options"] == {"yes": True}
    assert state.stage("preserve").seconds == 2.5
    assert state.changed == "yes"
    assert state.open


def test_the_record_is_for_its_owner_only() -> None:
    with create() as journal:
        assert journal.path.stat().st_mode & 0o777 == 0o700
        assert (journal.path / record.JOURNAL).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("tail", [b'{"seq": 3, "ti', b"\0" * 4096, b"\xff\xfe garbage", b'{"seq": 9}'])
def test_a_torn_tail_is_ignored_then_repaired(tail: bytes) -> None:
    with create() as journal:
        journal.append("note", text="before")
    file = journal.path / record.JOURNAL
    whole = file.read_bytes()
    file.write_bytes(whole + tail)
    assert [event.event for event in record.read(journal.path)] == ["run-started", "note"]
    assert file.read_bytes() == whole + tail, "reading repairs nothing"
    with Journal.open(journal.run_id) as again:
        again.append("run-resumed")
    events = record.read(journal.path)
    assert [event.event for event in events] == ["run-started", "note", "journal-repaired", "run-resumed"]
    assert events[2].fields == {"cut_bytes": len(tail)}
    assert file.read_bytes().startswith(whole)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(share=st.floats(0, 1))
def test_cut_anywhere_nothing_acknowledged_before_is_lost(share: float) -> None:
    with create() as journal:
        for number in range(4):
            journal.append("note", text=f"第 {number}")
    file = journal.path / record.JOURNAL
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    cut = first + round(share * (len(whole) - first))
    file.write_bytes(whole[:cut])
    before = record.read(journal.path)
    assert len(before) == whole[:cut].count(b"\n")
    with Journal.open(journal.run_id) as again:
        again.append("note", text="after")
    after = record.read(journal.path)
    assert after[: len(before)] == before
    assert after[-1].fields == {"text": "after"}


def test_damage_in_the_middle_is_named_not_repaired() -> None:
    with create() as journal:
        for _number in range(3):
            journal.append("note", text="x")
    file = journal.path / record.JOURNAL
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"rubbish\n", *lines[2:]]))
    for touch in (lambda: record.read(journal.path), lambda: Journal.open(journal.run_id)):
        with pytest.raises(Error, match="1 lines cannot be read, the first is line 2") as caught:
            touch()
        assert caught.value.code == "journal-damaged"
    summary = next(record.runs())
    assert summary.damaged
    assert (summary.state.estate, summary.open) == ("lab", False), (
        "what can be read counts, to resume it does not"
    )


def test_a_second_writer_is_refused() -> None:
    with create() as journal, pytest.raises(Locked):
        Journal.open(journal.run_id)


def test_secrets_are_masked_in_values_keys_and_lines_of_keys() -> None:
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    with create(secrets=["hunter2hunter2", pem, "abc"]) as journal:
        journal.append("note", text="abc is kept", deep=[{"hunter2hunter2": "psql://u:hunter2hunter2@db"}])
        journal.append("note", text="line MIIEvQIBADANBgkqhkiG9w0BAQEFAASC of a key")
    raw = (journal.path / record.JOURNAL).read_text(encoding="utf-8")
    assert "hunter2" not in raw
    assert "MIIEvQIB" not in raw
    assert "abc is kept" in raw
    assert raw.count("[secret]") == 3


def test_a_full_disk_leaves_no_half_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with create() as journal:
        real = os.write

        def full(descriptor: int, line: bytes) -> int:
            if len(line) < 20:
                raise OSError(28, "No space left on device")
            return real(descriptor, line[: len(line) - 10])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(Error) as caught:
            journal.append("note", text="x" * 100)
        assert caught.value.code == "journal-unwritable"
        monkeypatch.undo()
        journal.append("note", text="room again")
    events = [json.loads(line) for line in (journal.path / record.JOURNAL).read_text().splitlines()]
    assert [event["seq"] for event in events] == [1, 2]


def test_runs_are_listed_newest_first_and_found_by_a_part_of_their_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = []
    for _number in range(2):
        with create() as journal:
            names.append(journal.run_id)
    assert [run.run_id for run in record.runs()] == sorted(names, reverse=True)
    assert record.find(names[0][-4:]).name == names[0]
    assert record.find("last").name == max(names)
    for wrong in ("nothing", "rebuild-appserver", "../../etc", ""):
        with pytest.raises(BadInput):
            record.find(wrong)


@pytest.mark.parametrize(
    ("ends", "still_open"),
    [
        ([], True),
        ([("run-finished", {"outcome": "recovered", "rto_seconds": 60})], False),
        ([("run-finished", {"outcome": "refused"})], False),
        ([("stage-started", {"name": "reinstall"}), ("run-finished", {"outcome": "refused"})], True),
        ([("run-finished", {"outcome": "failed"})], True),
        ([("run-finished", {"outcome": "interrupted"})], True),
        ([("run-abandoned", {"reason": "replaced by hand"})], False),
        ([("run-finished", {"outcome": "failed"}), ("run-resumed", {})], True),
    ],
)
def test_which_runs_are_open(ends: list[tuple[str, dict[str, object]]], still_open: bool) -> None:
    with create() as journal:
        for name, fields in ends:
            journal.append(name, **fields)
    assert next(record.runs()).state.open is still_open
    found = record.open_run("lab")
    assert (found is not None) is still_open
    assert record.open_run("other") is None


def test_a_damaged_newest_run_leaves_no_older_one_open() -> None:
    with create(run_id="20261122T010000Z-rebuild-appserver-0001"):
        pass
    assert record.open_run("lab") is not None
    with create(run_id="20261122T020000Z-rebuild-appserver-0002") as newest:
        newest.append("note", text="x")
    file = newest.path / record.JOURNAL
    lines = file.read_bytes().splitlines(keepends=True)
    for text in (lines[0] + b"{}\n" + lines[1], b"{}\n" + lines[1]):
        file.write_bytes(text)
        assert record.open_run("lab") is None
        found = record.newest_run("lab")
        assert found is not None
        assert found.damaged
        assert record.superseded(record.runs()) == {"20261122T010000Z-rebuild-appserver-0001"}
    file.write_bytes(b"")  # it died before it began
    assert record.open_run("lab") is not None


def test_a_run_of_another_estate_supersedes_nothing() -> None:
    with create(run_id="20261122T010000Z-rebuild-appserver-0001"):
        pass
    with Journal.create(PLAN, REQUEST, estate="other", operator="root"):
        pass
    assert record.open_run("lab") is not None
    assert record.superseded(record.runs()) == frozenset()


def test_the_lock_names_its_holder_and_dies_with_it(state: Path) -> None:
    with record.local_lock("lab", "run-1") as died:
        assert died is None
        script = "from rmc_dr import content, record; from pathlib import Path; import sys\n"
        script += "content.STATE = Path(sys.argv[1])\n"
        script += "with record.local_lock('lab', 'run-2'): pass"
        done = subprocess.run(
            [sys.executable, "-c", script, str(state)], capture_output=True, text=True, check=False
        )
        assert "run-1" in done.stderr
        assert str(os.getpid()) in done.stderr
    with record.local_lock("lab", "run-3") as died:
        assert died is None, "a lock let go is not a stale one"


def test_kill_9_lets_the_lock_go_and_the_next_one_learns_who_died(state: Path) -> None:
    script = "from rmc_dr import content, record; from pathlib import Path; import sys, time\n"
    script += "content.STATE = Path(sys.argv[1])\n"
    script += "with record.local_lock('lab', 'run-dead'): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(state)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match="run-dead"), record.local_lock("lab", "run-2"):
            pass
        child.send_signal(signal.SIGKILL)
    with record.local_lock("lab", "run-2") as died:
        assert died is not None
        assert died.run_id == "run-dead"
