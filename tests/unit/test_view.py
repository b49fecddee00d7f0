"""The live view: what an operator sees on a terminal, in a log, and what a script reads."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from rmc_dr.history import Event, RunState
from rmc_dr.view import Rate, View, picture, tell

START = datetime.now(UTC) + timedelta(hours=1)
STAGES = [
    {"name": "fence", "budget_minutes": 1, "destructive": False},
    {"name": "reinstall", "budget_minutes": 30, "destructive": True},
]


def story(*steps: tuple[float, str, dict[str, Any]]) -> list[Event]:
    """Events at given seconds after the start."""
    return [
        Event(number, START + timedelta(seconds=at), 100.0 + at, name, fields)
        for number, (at, name, fields) in enumerate(steps, 1)
    ]


BEGIN = (0.0, "run-started", {"run_id": "r1", "plan": "rebuild-appserver", "target": "app1", "estate": "lab",
                              "stages": STAGES, "rto_hours": 24, "boot": "b1"})  # fmt: skip


def drawn(events: list[Event], since: float = 0.0) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(picture(RunState.of(events), since, Rate()))
    return console.file.getvalue()  # type: ignore[attr-defined]


def lines(events: list[Event], **options: Any) -> str:
    file = io.StringIO()
    view = View(Console(file=file, width=60, soft_wrap=True, highlight=False), **options)
    for event in events:
        view.update(event)
    return file.getvalue()


def test_the_picture_shows_stage_task_budget_forecast_and_bytes() -> None:
    events = story(
        BEGIN,
        (0, "stage-started", {"name": "fence", "budget_minutes": 1}),
        (10, "stage-finished", {"name": "fence", "status": "ok", "seconds": 10, "changed": 1}),
        (10, "stage-started", {"name": "reinstall", "budget_minutes": 30}),
        (11, "task", {"task": "Unpack the image", "status": "started"}),
        (20, "progress", {"done": 250_000_000, "total": 1_000_000_000}),
    )
    said = drawn(events, since=5)
    assert "✓  Fence the old machine" in said
    assert "▶  Reinstall the operating system" in said
    assert "29:45 left  Unpack the image" in said
    assert "250.0 MB of 1.0 GB (25 %)" in said
    assert "elapsed 0:25" in said
    assert "forecast at most 30:10 of 24:00:00" in said


def test_over_budget_is_said() -> None:
    events = story(BEGIN, (0, "stage-started", {"name": "fence", "budget_minutes": 1}))
    assert "0:30 over budget" in drawn(events, since=90)


def test_lines_carry_time_and_no_colour() -> None:
    said = lines(
        story(
            BEGIN,
            (1, "stage-started", {"name": "fence", "budget_minutes": 1}),
            (2, "task", {"task": "Power off", "host": "app1", "status": "unreachable", "message": "gone"}),
            (3, "stage-finished", {"name": "fence", "status": "failed", "seconds": 2, "changed": 0}),
            (4, "run-finished", {"outcome": "failed", "reason": "no way on"}),
        )
    )
    assert "\x1b" not in said
    assert "NO ANSWER from app1: Power off: gone" in said
    assert said.splitlines()[-1].endswith("The run ends: failed. no way on")
    assert len(said.splitlines()) == 5


def test_what_a_host_says_cannot_steer_the_terminal() -> None:
    event = Event(2, START, 1.0, "note", {"text": "[red]\x1b[2J\x1b]0;title\x07 \u202eevil\n\nsecond"})
    said = tell(event, RunState()) or ""
    assert not any(ord(sign) < 32 or sign == "\u202e" for sign in said)
    assert "[red]" in lines([event])


def test_json_is_the_journal_itself() -> None:
    events = story(BEGIN, (1, "note", {"text": "注意"}))
    said = [json.loads(line) for line in lines(events, as_json=True).splitlines()]
    assert [line["event"] for line in said] == ["run-started", "note"]
    assert said[1]["text"] == "注意"


def test_what_happened_before_a_resume_is_known_but_not_told_again() -> None:
    old = Event(1, START - timedelta(hours=3), 1.0, "run-started", dict(BEGIN[2]))
    view = View(Console(file=(file := io.StringIO())))
    view.update(old)
    assert file.getvalue() == ""
    assert view.state.target == "app1"


def test_progress_does_not_flood_a_log() -> None:
    said = lines(story(*[(0.5 * n, "progress", {"done": n, "total": 100}) for n in range(100)]))
    assert len(said.splitlines()) <= 4


def copying(*done: int) -> list[Event]:
    """So many MB of 1 GB, told every ten seconds."""
    told = [(10.0 * n, "progress", {"done": mb * 10**6, "total": 10**9}) for n, mb in enumerate(done, 1)]
    return story(BEGIN, (0, "stage-started", {"name": "fence", "budget_minutes": 1}), *told)


def test_time_left_is_told_on_the_terminal() -> None:
    events = copying(100, 200, 300)
    view = View(Console(file=io.StringIO()))
    for event in events:
        view.update(event)
    console = Console(file=io.StringIO(), width=140, force_terminal=True, color_system=None)
    console.print(picture(RunState.of(events), 0, view._rate))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "300.0 MB of 1.0 GB (30 %)  10.0 MB/s  1:10 left" in said


def told(events: list[Event]) -> str | None:
    return tell(events[-1], RunState.of(events[:-1]))


def test_time_left_is_told_in_a_log() -> None:
    assert (said := told(copying(100, 200, 300)))
    assert said.endswith("300.0 MB of 1.0 GB (30 %), 1:10 left")
    assert (said := told(copying(1000)))
    assert said.endswith("(100 %)"), "one word tells no speed"
    assert (said := told(copying(900, 10, 20)))
    assert said.endswith("20.0 MB of 1.0 GB (2 %), 16:20 left"), "another piece of work has begun"


def test_what_stands_still_or_has_no_end_promises_nothing() -> None:
    assert (said := told(copying(300, 300)))
    assert said.endswith("(30 %)")
    endless = story(*[(n, "progress", {"done": n * 10**6}) for n in (1, 2, 3)])
    assert (said := told(endless))
    assert said.endswith("3.0 MB")


def test_a_terminal_that_went_away_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    view = View(Console(file=Gone()))
    for event in story(BEGIN, (1, "note", {"text": "still here"})):
        view.update(event)
    assert view.state.notes


def test_the_live_picture_gives_the_terminal_back() -> None:
    file = io.StringIO()
    view = View(Console(file=file, force_terminal=True, width=100))
    for event in story(
        BEGIN, (1, "note", {"text": "press the button"}), (2, "run-finished", {"outcome": "recovered"})
    ):
        view.update(event)
    assert "press the button" in file.getvalue()
    assert file.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is shown again"


def test_time_is_measured_by_the_steady_clock_within_one_boot_and_by_the_wall_across_two() -> None:
    jumped = Event(2, START + timedelta(hours=5), 130.0, "note", {"text": "the clock was set"})
    resumed = Event(3, START + timedelta(hours=6), 10.0, "run-resumed", {"boot": "b2"})
    later = Event(4, START + timedelta(hours=9), 20.0, "note", {"text": "x"})
    state = RunState.of([*story(BEGIN), jumped])
    assert state.elapsed_seconds == 30.0
    assert state.after(resumed).after(later).elapsed_seconds == 30.0 + 3600 + 10


def test_a_stage_that_died_with_the_run_counts_what_it_took_and_is_not_complete() -> None:
    events = story(
        BEGIN,
        (0, "stage-started", {"name": "fence"}),
        (8, "task", {"task": "Power off", "status": "started"}),
        (50, "run-resumed", {"boot": "b1"}),
    )
    stage = RunState.of(events).stage("fence")
    assert (stage.status, stage.seconds) == ("cut", 8.0)
    assert RunState.of(events).changed == "unknown"
    assert RunState.of(events).completed == ()
