"""Journals that no rmc-dr wrote: a bad line is counted and named, and no reader ever ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from example_run import events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmc_dr import record
from rmc_dr.cli import main
from rmc_dr.lines import scan

RUN = "20261121T190412Z-rebuild-appserver-3f9c"
GOOD = [*map(record.to_line, events())]
READERS = (
    ["runs"],
    ["runs", "--json"],
    ["runs", "show", RUN],
    ["runs", "show", RUN, "--json"],
    ["report", "run", RUN],
    ["report", "run", RUN, "--json"],
    ["report", "run", RUN, "--html", "/dev/null"],
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -1, 0, 1e308, float("nan"), float("inf"), "\ud800", "\x1b[2J", ""]),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from([[{"name": 7}], {"options": []}, {"app1": {"attachments": {"x": {}}}}, "2026-13-01"]),
)


@st.composite
def odd_journal(draw: st.DrawFn) -> bytes:
    """The example run with some values, keys and lines that do not belong there."""
    kinds = [event.event for event in events()]
    odd = draw(st.lists(st.sampled_from(sorted(set(kinds))), min_size=1, max_size=2))
    lines: list[bytes] = []
    for kind, line in zip(kinds, GOOD, strict=True):
        if kind not in odd:
            lines.append(line)
            continue
        odd.remove(kind)
        raw: dict[str, Any] = json.loads(line)
        told = sorted(set(raw) - {"seq", "time", "mono", "event"})
        key = draw(st.sampled_from(told * 3 + ["seq", "time", "mono", "event"]))
        match draw(st.sampled_from(["value", "no key", "inside", "other line"])):
            case "value":
                raw[key] = draw(ODD)
            case "no key":
                del raw[key]
            case "inside" if isinstance(raw[key], list) and raw[key]:
                raw[key] = [draw(ODD), *raw[key][1:]]
            case "inside" if isinstance(raw[key], dict):
                raw[key] = {name: draw(ODD) for name in raw[key]}
            case _:
                lines.append(
                    draw(st.sampled_from([b"[]\n", b"\n", b"7\n", b"[" * 100_000 + b"\n", b"\xff\n"]))
                )
                continue
        lines.append(json.dumps(raw).encode() + b"\n")
    return b"".join(lines)


@pytest.fixture
def journal(state: Path) -> Path:
    folder = state / "runs" / RUN
    folder.mkdir(parents=True)
    return folder / record.JOURNAL


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=odd_journal())
def test_no_reader_ends_in_a_traceback(journal: Path, data: bytes) -> None:
    journal.write_bytes(data)
    for words in READERS:
        result = CliRunner().invoke(main, list(words))
        assert "itself failed" not in result.output, (words, result.output)
        assert result.exit_code in (0, 1), words
        assert result.exception is None or isinstance(result.exception, SystemExit), words


@pytest.mark.parametrize(
    ("event", "key", "value"),
    [
        ("run-started", "stages", "a string"),
        ("run-started", "stages", [{"name": "fence"}]),
        ("run-started", "estate", None),
        ("run-started", "options", []),
        ("run-started", "rto_hours", float("inf")),
        ("stage-started", "budget_minutes", "10"),
        ("stage-finished", "seconds", float("nan")),
        ("stage-finished", "changed", "many"),
        ("facts", "hosts", []),
        ("facts", "hosts", {"app1": {"attachments": {"management": {"known": 1}}}}),
        ("facts", "hosts", {"app1": {"restore": "yesterday"}}),
        ("run-finished", "rto_seconds", -1),
        ("task", "seq", float("inf")),
        ("task", "mono", float("nan")),
        ("task", "time", "2026-11-21T19:04:12"),
        ("task", "message", json.loads("[" * 60 + "]" * 60)),
    ],
)
def test_a_line_that_nobody_of_ours_wrote_is_named(event: str, key: str, value: object) -> None:
    number = next(at for at, line in enumerate(events()) if line.event == event)
    raw = {**json.loads(GOOD[number]), key: value}
    found = scan(b"".join([*GOOD[:number], json.dumps(raw).encode() + b"\n", *GOOD[number + 1 :]]))
    assert (found.bad, found.first_bad, len(found.events)) == (1, number + 1, number)


@pytest.mark.parametrize("line", [b"[" * 100_000 + b"\n", b"9" * 5000 + b"\n", b"\xff\n"])
def test_what_is_no_object_at_the_end_is_torn(line: bytes) -> None:
    found = scan(b"".join(GOOD) + line)
    assert (found.bad, found.torn, len(found.events)) == (0, len(line), len(GOOD))


def test_a_whole_odd_line_at_the_end_is_damage() -> None:
    """No power cut leaves an object and its newline, so that the next writer must not cut it off."""
    found = scan(b"".join(GOOD) + b'{"seq": "Infinity"}\n')
    assert (found.bad, found.torn, found.first_bad) == (1, 0, len(GOOD) + 1)


def test_two_whole_runs_of_numbers_are_damage() -> None:
    found = scan(b"".join([*GOOD, GOOD[3]]))
    assert (found.bad, found.first_bad) == (1, len(GOOD) + 1)
