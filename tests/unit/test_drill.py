"""What a drill makes of the users' ledger, and what is kept of earlier ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import response
from rmc_dr.drill import rehearsal
from rmc_dr.drill.rehearsal import Recovery, Scene, rehearse
from rmc_dr.drill.users import outage_after
from rmc_dr.drill_record import DrillResult, results, trend
from rmc_dr.estate import Estate
from rmc_dr.incident import record

RESULT = DrillResult(
    drill="primary", at="20261122T100000Z", host="db1", broke="off", run="", rto_minutes=0.5,
    outage_seconds=30, split={}, acknowledged_before_break=1000, acknowledged=1500, unknown=1,
    unknown_present=0, present=1500,
    lost=0, duplicated=0, attachments_acknowledged=9, attachments_missing=0,
)  # fmt: skip
AUDIT = {key: value for key, value in asdict(RESULT).items() if key in (
    "outage_seconds", "acknowledged", "unknown", "unknown_present", "present", "lost", "duplicated",
    "attachments_acknowledged", "attachments_missing",
)}  # fmt: skip


def acks(app: str, *moments: float) -> list[dict[str, object]]:
    return [{"what": "ack", "app": app, "m": moment} for moment in moments]


def test_the_outage_is_the_longest_silence_that_ends_behind_the_break():
    ledger = [*acks("a", 0, 9, 10, 35, 36), *acks("b", 1, 9.5, 40, 41)]
    assert outage_after(ledger, 10) == (30.5, 40)


def test_a_silence_before_the_break_is_none():
    assert outage_after(acks("a", 0, 50, 50.5, 50.9), 50) == (0.5, 50.5)


@given(st.lists(st.floats(0, 1000), min_size=2), st.floats(0, 1000))
def test_the_outage_is_never_longer_than_the_ledger(moments: list[float], broke: float):
    length, over = outage_after(acks("a", *moments), broke)
    assert 0 <= length <= max(moments) - min(moments)
    assert over >= broke


def test_what_was_kept_is_read_again_and_rubbish_is_not(state: Path):
    for name, text in (
        ("1-primary", json.dumps(asdict(RESULT))),
        ("2-primary", "{"),
        ("3-primary", '{"a": 1}'),
    ):
        folder = state / "drills" / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(text)
    assert results() == [RESULT]


def test_a_trend_compares_only_drills_of_one_kind():
    kept = [
        RESULT,
        replace(RESULT, rto_minutes=0.7),
        replace(RESULT, broke="postgres", rto_minutes=9),
        replace(RESULT, rto_minutes=0.9),
    ]
    assert trend(kept) == [None, pytest.approx(1.4), None, pytest.approx(1.5)]


class Quake:
    """A disaster that only remembers."""

    name, host, how = "quake", "db1", "shaken"

    def __init__(self, recovery: Recovery) -> None:
        self.recovery = recovery
        self.story: list[str] = []

    def break_(self) -> None:
        self.story.append("break")

    def recover(self, scene: Scene) -> Recovery:
        scene.ledger.write_text(
            "".join(json.dumps(line) + "\n" for line in acks("a", 0, scene.broke_at + 60))
        )
        self.story.append("recover")
        return self.recovery

    def mend(self) -> None:
        self.story.append("mend")


@pytest.fixture
def users(state: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []

    @contextmanager
    def at_work(_estate: Estate, _ledger: Path) -> Iterator[None]:
        told.append("come")
        yield
        told.append("go")

    monkeypatch.setattr(rehearsal, "users_at_work", at_work)
    monkeypatch.setattr(rehearsal, "wait_for", lambda _ledger, count: count)
    monkeypatch.setattr(rehearsal, "acknowledged", lambda _ledger: 1200)
    monkeypatch.setattr(rehearsal, "audit", lambda *_: AUDIT)
    return told


def test_a_drill_breaks_recovers_mends_and_keeps_its_result(estate: Estate, users: list[str]):
    quake = Quake(Recovery("a-run", 90.0, {"detection": 20.004, "promotion": None}))
    result = rehearse(estate, quake, lambda _text: None)
    assert (quake.story, users) == (["break", "recover", "mend"], ["come", "go"])
    assert (result.drill, result.broke, result.run, result.rto_minutes) == ("quake", "shaken", "a-run", 1.5)
    assert result.split == {"detection": 20.0, "promotion": None}
    assert results() == [result]


def test_a_drill_joins_the_open_incident_also_without_a_run(ours: Estate, users: list[str]):
    incident = response.start(ours, "a rehearsal", ("users-out",)).incident
    result = rehearse(ours, Quake(Recovery()), lambda _text: None)
    [told] = record.read(incident).attached("drill")
    assert (told.get("id"), told.get("run"), told.get("passed")) == (result.name, "", result.passed)
    assert told.get("rto_minutes") == result.rto_minutes


def test_what_no_backup_could_hold_may_be_lost_and_nothing_else(
    estate: Estate, users: list[str], monkeypatch: pytest.MonkeyPatch
):
    told = {**AUDIT, "lost": 3, "lost_at": [900.0, 955.0, 990.0], "attachments_missing": 2}
    told["missing_at"] = [700.0, 990.0]
    monkeypatch.setattr(rehearsal, "audit", lambda *_: dict(told))
    quake = Quake(Recovery("r", 9.0, writes_until=950, broke_time=1000))
    result = rehearse(estate, quake, lambda _text: None)
    assert (result.lost, result.lost_allowed, result.rpo_seconds) == (3, 2, 100.0)
    assert (result.attachments_missing, result.attachments_allowed) == (2, 1)
    assert not result.passed


def test_a_loss_that_no_backup_could_have_held_passes(
    estate: Estate, users: list[str], monkeypatch: pytest.MonkeyPatch
):
    told = {**AUDIT, "lost": 1, "lost_at": [990.0], "attachments_missing": 2, "missing_at": [700.0, 990.0]}
    monkeypatch.setattr(rehearsal, "audit", lambda *_: dict(told))
    recovery = Recovery("r", 9.0, writes_until=899, files_until=600, broke_time=1000)
    assert rehearse(estate, Quake(recovery), lambda _text: None).passed


def test_a_doubled_write_never_passes(estate: Estate):
    assert RESULT.passed
    assert not replace(RESULT, duplicated=1).passed
    assert not replace(RESULT, lost=1).passed
    assert replace(RESULT, lost=1, lost_allowed=1).passed


def test_without_an_rto_of_its_own_the_users_outage_is_it(estate: Estate, users: list[str]):
    result = rehearse(estate, Quake(Recovery()), lambda _text: None)
    assert result.rto_minutes >= 1.0
