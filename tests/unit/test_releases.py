"""What is asked of a release, and how deploys are told afterwards."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import deployed, releases
from rmc_dr import estate as estates
from rmc_dr.cli import common, main
from rmc_dr.cli import deploy as cli
from rmc_dr.errors import BadInput
from rmc_dr.estate import DEPLOYED_FILE, Estate
from rmc_dr.model import Plan, Request
from rmc_dr.observe import pulse
from rmc_dr.observe.pulse import longest_gap
from rmc_dr.record import Journal, find, read
from rmc_dr.release_terms import LARGEST_FILE, LONGEST_NOTES, Terms, read_notes, refuse_both, require
from rmc_dr.releases import BACK, DEPLOY, Release, Window, rolled_back, window
from rmc_dr.report import build
from rmc_dr.report.text import exceptions, particulars
from rmc_dr.words import consent_words

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WHOLE = Terms("修正", True, "李主任", NOW)


def row(what: str, release: str, before: str, hour: int, state: str = "deployed", **more: Any) -> Release:
    at = NOW + timedelta(hours=hour)
    common: dict[str, Any] = {
        "notes": "修正",
        "training": True,
        "consent": {"by": "李主任", "at": "t"},
        "without_consent": None,
        "users_out_seconds": 9.0,
        "migrated": (),
    }
    return Release(
        f"run-{hour}", what, "management", release, before, "root", at, state, **{**common, **more}
    )


def test_a_going_back_marks_the_deploy_that_it_undid() -> None:
    first = row(DEPLOY, "1.1.0", "1.0.0", 1)
    other = replace(row(DEPLOY, "1.1.0", "1.0.0", 2), application="verification")
    back = row(BACK, "1.0.0", "1.1.0", 3)
    again = row(DEPLOY, "1.1.0", "1.0.0", 4)
    failed = row(BACK, "1.0.0", "1.1.0", 5, "not-deployed")
    rows = rolled_back([failed, again, back, other, first])
    assert [one.back_at for one in rows] == [None, None, None, None, back.at]


def test_the_window_is_what_was_measured() -> None:
    assert window([row(DEPLOY, "1", "0", 1, users_out_seconds=None)]) is None
    rows = [row(DEPLOY, "1", "0", 1, users_out_seconds=seconds) for seconds in (9.0, 7.0, 20.0)]
    assert window(rows) == Window(9.0, 7.0, 20.0, 3)
    again = row(DEPLOY, "1", "1", 2, users_out_seconds=0.2)
    assert window([again, *rows]) == window(rows)
    assert window(rows * 10) == Window(9.0, 7.0, 20.0, 10)


@pytest.mark.parametrize(
    ("moments", "since", "gap"),
    [
        ([], 1.0, None),
        ([0.5], 1.0, None),
        ([1.5, 2.0], 1.0, None),  # it was not seen ready before
        ([0.5, 0.7, 8.7, 8.9], 0.8, 8.0),
        ([0.0, 5.0, 5.2, 5.4], 5.1, 0.2),  # what lay before does not count
        ([0.5, 0.7], 0.8, None),  # it did not come back
    ],
)
def test_how_long_nobody_was_served(moments: list[float], since: float, gap: float | None) -> None:
    assert longest_gap(moments, since) == (None if gap is None else pytest.approx(gap))


@given(st.lists(st.floats(0, 100), max_size=20).map(sorted), st.floats(0, 100))
def test_a_gap_is_never_longer_than_what_was_watched(moments: list[float], since: float) -> None:
    gap = longest_gap(moments, since)
    assert gap is None or 0 <= gap <= moments[-1] - moments[0]


def test_notes_are_text_or_a_file_and_chinese(tmp_path: Path) -> None:
    assert read_notes("  修正报表打印 \n第二行  ") == "修正报表打印\n第二行"
    for name, encoding in (("a.txt", "utf-8-sig"), ("b.txt", "gb18030")):
        (tmp_path / name).write_bytes("修正报表打印".encode(encoding))
        assert read_notes(str(tmp_path / name)) == "修正报表打印"


@pytest.mark.parametrize("given_", ["", "printing mended", "修正\0", "x" * 300])
def test_notes_that_the_hospital_could_not_read_are_refused(given_: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_notes(given_)
    assert caught.value.code == "notes-not-chinese"


@pytest.mark.parametrize("given_", ["/srv/说明.txt", "./发布说明", "说明.txt", "~/说明.md"])
def test_a_file_that_is_not_there_is_no_text(given_: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_notes(given_)
    assert caught.value.code == "notes-unreadable"
    assert read_notes("修正 说明.txt 的打印") == "修正 说明.txt 的打印"


def test_who_agreed_was_asked() -> None:
    refuse_both(WHOLE)
    with pytest.raises(BadInput) as caught:
        refuse_both(replace(WHOLE, without_consent="night"))
    assert caught.value.code == "consent-twice"
    agreed = datetime(2026, 11, 24, 12).astimezone()
    assert consent_words({"by": "李主任", "at": agreed.isoformat()}, None).startswith(
        "李主任, 2026-11-24 12:00 "
    )


def test_a_pulse_counts_only_what_is_ready(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [200, 503, httpx.ConnectError("refused"), 200]

    class Server:
        def __init__(self, *_arguments: Any) -> None: ...

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_error: object) -> None: ...

        def request(self, method: str, path: str) -> httpx.Response:
            assert (method, path) == ("GET", "/health/ready")
            answer = answers.pop(0) if answers else 503
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer)

    monkeypatch.setattr(pulse, "Https", Server)
    monkeypatch.setattr(pulse, "PAUSE_SECONDS", 0.01)
    with pulse.Pulse(estate) as watched:
        while not watched.beats():
            time.sleep(0.001)
        since = time.monotonic()
        while answers:
            time.sleep(0.001)
    out = watched.out_seconds(since)
    assert out is not None
    assert 0.02 < out < 5


def test_notes_have_a_measure(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_notes("修" * (LONGEST_NOTES + 1))
    assert caught.value.code == "notes-too-long"
    (tmp_path / "war").write_bytes(b"PK\x03\x04\xff\xff" + bytes(range(256)))
    (tmp_path / "book").write_text("修正" * LARGEST_FILE)
    for name in ("war", "book"):
        with pytest.raises(BadInput):
            read_notes(str(tmp_path / name))


def test_what_was_not_said_is_named() -> None:
    assert WHOLE.missing == ()
    assert Terms("修正", False, without_consent="night").missing == ()
    with pytest.raises(BadInput, match="--training, --consent") as caught:
        require(Terms("修正"), "management", "1.1.0")
    assert "rmc-dr deploy management --release 1.1.0" in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("修正打印\nyes\n李主任\n", ("修正打印", True, "李主任", "")),
        ("修正打印\nmaybe\nno\n\n夜间停机\n", ("修正打印", False, "", "夜间停机")),
        ("修正打印\nno\n\n\n", ("修正打印", False, "", "")),
    ],
)
def test_at_a_terminal_it_is_asked(typed: str, expected: tuple[Any, ...]) -> None:
    asked: list[Terms] = []

    @click.command()
    def ask() -> None:
        asked.append(cli._asked(Terms()))

    CliRunner().invoke(ask, input=typed, standalone_mode=False)
    (terms,) = asked
    assert (terms.notes, terms.training, terms.consent, terms.without_consent) == expected
    assert bool(terms.agreed) == bool(terms.consent)


def keep(
    plan: str, options: dict[str, Any], *events: tuple[str, dict[str, Any]], outcome: str = "done"
) -> None:
    request = Request(plan, "management", options)
    with Journal.create(Plan(plan, "management", ()), request, estate="lab", operator="root") as journal:
        for name, fields in events:
            journal.append(name, **fields)
        journal.append("run-finished", outcome=outcome)


DONE = ("deployed", {"state": "deployed", "release": "1.1.0", "before": "1.0.0", "users_out_seconds": 8.5})


def test_the_records_are_listed_and_reported(
    state: Path, estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "release": "1.1.0",
        "before": "1.0.0",
        **Terms("紧急修正", True, without_consent="夜间").record(),
    }
    keep("deploy", options, ("consent-not-asked", {"reason": "夜间"}), DONE)
    keep("stop", {})
    monkeypatch.setattr(common.Context, "_estate", estate)
    said = CliRunner().invoke(main, ["releases"], standalone_mode=False).output
    for word in ("1.0.0 -> 1.1.0", "deployed", "by root", "紧急修正", "training: needed", "夜间", "8.5 s"):
        assert word in said
    assert (
        CliRunner()
        .invoke(main, ["releases", "verification"], standalone_mode=False)
        .output.startswith("Noth")
    )
    (found,) = json.loads(CliRunner().invoke(main, ["releases", "--json"], standalone_mode=False).output)
    assert (found["release"], found["training"], found["users_out_seconds"]) == ("1.1.0", True, 8.5)
    report = build(read(find("deploy")))
    rows = dict(particulars(report))
    assert rows["Release notes"] == "紧急修正"
    assert rows["Consent of the hospital"] == "NOBODY was asked: 夜间"
    assert exceptions(report) == ["The hospital was not asked: 夜间"]


def test_one_that_was_killed_says_so(state: Path) -> None:
    request = Request("deploy", "management", {"release": "1.1.0"})
    with Journal.create(Plan("deploy", "management", ()), request, estate="lab", operator="root"):
        pass
    (found,) = releases.history("lab")
    assert (found.state, found.release, found.training) == ("", "1.1.0", None)


def test_what_was_deployed_is_read_with_the_estate(estate: Estate, tmp_path: Path) -> None:
    (tmp_path / DEPLOYED_FILE).parent.mkdir(parents=True)
    assert deployed.note(tmp_path, "management", "1.10")
    assert deployed.note(tmp_path, "verification", "2.0.0")
    assert deployed.note(tmp_path, "management", "1.20")
    kept = yaml.safe_load((tmp_path / DEPLOYED_FILE).read_text())
    assert kept == {"deployed_releases": {"management": "1.20", "verification": "2.0.0"}}

    def read_with(found: Any) -> dict[str, str]:
        config = estates._with_deployed(estate.config, found, tmp_path / DEPLOYED_FILE)
        return {app.name: app.release for app in config.applications.apps}

    assert read_with(None) == {"management": "1.0.0", "verification": "1.0.0"}
    assert read_with({"management": "1.20", "gone": "7"}) == {"management": "1.20", "verification": "1.0.0"}
    for wrong in ({"management": "../up"}, {"management": 1.2}, ["management"]):
        with pytest.raises(BadInput) as caught:
            read_with(wrong)
        assert "deployed.yml" in caught.value.message
    deployed.forget(replace(estate, inventory=tmp_path))
    assert not (tmp_path / DEPLOYED_FILE).exists()
    deployed.forget(replace(estate, inventory=tmp_path))
