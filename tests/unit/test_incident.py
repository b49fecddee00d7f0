"""An incident from opening to closing: what is refused, what joins it, who is told, what a crash leaves."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from receivers import TOKEN, dead, soon, webhook
from rich.console import Console

from rmc_dr import content, response
from rmc_dr.cli.common import Context
from rmc_dr.cli.incident import incident as command
from rmc_dr.errors import BadInput, Error, Locked, Refused
from rmc_dr.estate import Estate, Secrets
from rmc_dr.incident import attach, news, record
from rmc_dr.incident.words import open_line
from rmc_dr.journal import NAME
from rmc_dr.model import Plan, Request, Stage
from rmc_dr.record import Journal, RunState, find
from rmc_dr.record import read as read_run
from rmc_dr.view import View

PLAN = Plan("rebuild-appserver", "app1", (Stage("fence", "stages/fence.yml", 3, True),))
REQUEST = Request("rebuild-appserver", "app1")
CRITICAL, MILD = ("application-stopped",), ("image-not-shown",)
CENTRE = "Rehearsal Reproductive Medicine Centre"


def call(estate: Estate, *words: str) -> Result:
    context = Context()
    context.__dict__["_estate"] = estate
    return CliRunner().invoke(command, list(words), obj=context, standalone_mode=False)


def events(incident: str) -> list[str]:
    return [event.event for event in record.read(incident).events]


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(Error) as error:
        call()
    assert error.value.hint
    return error.value.code


def begun(estate: Estate, **more: Any) -> Journal:
    return Journal.create(PLAN, REQUEST, estate=estate.name, operator="root", **more)


def test_from_opening_to_closing(ours: Estate, carried: list[str]) -> None:
    state = response.start(ours, "nobody can log in", CRITICAL, ("application",))
    assert state.open
    assert (state.counts_as, state.nature.affects_use) == ("critical", True)
    response.note(ours, "called the ward", "answered")
    response.note(ours, "the rack is dark")
    state = response.classify(ours, ("server-dead",))
    assert state.nature.kinds == {"application", "hardware"}
    state = response.close(ours, "a power supply burnt")
    assert "met  effect-solved: stopped " in call(ours, "show").output
    assert (state.open, state.cause) == (False, "a power supply burnt")
    assert events(state.incident) == [
        "incident-opened", "classified", "notice", "milestone", "note", "classified", "notice", "milestone",
        "incident-closed", "notice",
    ]  # fmt: skip
    assert carried == [str(ours.inventory)] * 3
    assert record.open_incident(ours.name) is None


def test_one_at_a_time(ours: Estate) -> None:
    assert refused(lambda: response.note(ours, "x")) == "no-incident"
    first = response.start(ours, "x", MILD)
    with pytest.raises(Refused) as error:
        response.start(ours, "y", MILD)
    assert error.value.code == "incident-open"
    assert first.incident in error.value.message
    other = replace(ours, name="other")
    assert response.start(other, "of another estate", MILD).estate == "other"
    response.close(ours, "x")
    assert response.start(ours, "y", MILD).incident != first.incident


def test_two_at_the_same_moment_open_one(ours: Estate) -> None:
    ends: list[str] = []

    def one() -> None:
        try:
            ends.append(response.start(ours, "x", MILD).incident)
        except (Refused, Locked):
            ends.append("")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([end for end in ends if end]) == 1
    assert len(list(record.incidents())) == 1


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda estate: response.start(estate, "x", ("burning",)), "unknown-finding"),
        (lambda estate: response.classify(estate), "nothing-found"),
        (lambda estate: response.classify(estate, klass="major"), "no-reason"),
        (lambda estate: response.classify(estate, affects_use=False, reason="x"), "critical-affects-use"),
        (lambda estate: response.close(estate, "  "), "no-cause"),
        (
            lambda estate: response.note(estate, "x", "answered", datetime(2020, 1, 1, tzinfo=UTC)),
            "before-notice",
        ),
    ],
)
def test_what_is_refused_changes_nothing(ours: Estate, call: Callable[[Estate], Any], code: str) -> None:
    if code != "unknown-finding":
        response.start(ours, "x", CRITICAL)
    before = [record.read(one.incident).events for one in record.incidents()]
    assert refused(lambda: call(ours)) == code
    assert [record.read(one.incident).events for one in record.incidents()] == before


@pytest.mark.parametrize(
    ("noticed", "code"),
    [
        ("yesterday", "time-unreadable"),
        ("2026-11-25T02:00", "time-without-zone"),
        ("2999-01-01T00:00:00+08:00", "time-ahead"),
        ("2001-01-01T00:00:00+00:00", "too-long-ago"),
        ("0001-01-01T00:00:00+23:59", "time-unreadable"),
    ],
)
def test_a_time_that_means_nothing_opens_nothing(ours: Estate, noticed: str, code: str) -> None:
    said = call(ours, "open", "x", "--noticed", noticed)
    assert isinstance(said.exception, BadInput)
    assert said.exception.code == code
    assert list(record.incidents()) == []


def test_the_clocks_count_from_the_notice(ours: Estate) -> None:
    noticed = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    assert call(ours, "open", "x", "--finding", "users-out", "--noticed", noticed.isoformat()).exit_code == 0
    shown = json.loads(call(ours, "show", "--json").output)
    assert shown["leading"] == "effect-answered"
    by = {clock["name"]: clock for clock in shown["clocks"]}
    assert by["effect-answered"]["standing"] == "breached"
    assert datetime.fromisoformat(by["effect-solved"]["due"]) == noticed + timedelta(hours=8)
    assert "Report it to the health authority within 24 h" in shown["authorities"]


def test_an_overruled_class_says_who_and_why(ours: Estate) -> None:
    response.start(ours, "x", CRITICAL)
    said = call(ours, "classify", "--class", "major", "--no-affects-use", "--reason", "one clerk only")
    assert said.exit_code == 0
    assert "one clerk only" in said.output
    assert "It does not affect use." in said.output
    assert "major" in said.output.splitlines()[0]


def test_a_kind_that_everybody_may_read(ours: Estate) -> None:
    assert "There are no incidents." in call(ours, "list").output
    said = call(ours, "open", "nobody can log in", "--finding", "application-stopped")
    assert said.exit_code == 0
    assert "critical: effect-answered: 1" in said.output
    assert "Nobody is told" in said.output
    assert "rmc-dr schedule install" in said.output
    assert "nobody can log in" in said.output
    assert "open" in call(ours, "list").output
    assert "application-stopped" in call(ours, "findings").output
    assert "critical" in call(ours, "watch").output
    assert json.loads(call(ours, "list", "--json").output)[0]["class"] == "critical"


def test_a_text_that_would_steer_a_terminal_is_shown_and_steers_nothing(ours: Estate) -> None:
    call(ours, "open", "\x1b[2J[bold]{x}\x00", "--finding", "users-out")
    call(ours, "note", "\x1b]0;title\x07 {{ 7 * 7 }} \udcff")
    said = call(ours, "show")
    assert said.exit_code == 0
    assert "\x1b" not in said.output
    assert "[bold]{x}" in said.output
    assert "{{ 7 * 7 }}" in said.output


def test_no_secret_and_no_free_text_goes_where_it_should_not(ours: Estate) -> None:
    secret = "json://hook.example/" + TOKEN
    known = replace(
        ours, secrets=Secrets({"notify": {"addresses": f"{secret} {dead()}"}, "key": "a-secret-value"})
    )
    state = response.start(known, "of patient Li, a-secret-value", CRITICAL)
    response.note(known, f"sent to {secret}")
    response.close(known, "a-secret-value it was")
    raw = (record.folder_of(state.incident) / NAME).read_text()
    assert "a-secret-value" not in raw
    assert TOKEN not in raw
    for notice in record.read(state.incident).notices:
        assert "Li" not in f"{notice.get('title')}{notice.get('text')}"
    assert (record.folder_of(state.incident) / NAME).stat().st_mode & 0o077 == 0


def test_news_speaks_the_estates_language(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    from rmc_dr.incident import words

    spoken = []
    real = words.news_text
    monkeypatch.setattr(news, "news_text", lambda *given: spoken.append(words.language()) or real(*given))
    chinese = replace(ours, config=ours.config.model_copy(update={"language": "zh"}))
    response.start(chinese, "x", CRITICAL)
    assert spoken == ["zh_CN"]
    assert words.language() == "en"
    (notice,) = record.read(record.find("last")).notices
    assert "应用服务停止" in notice.get("text")


def test_a_run_joins_the_open_incident_and_its_stages_are_news(ours: Estate, carried: list[str]) -> None:
    with begun(ours) as alone:
        alone.append("stage-finished", name="fence", status="ok", seconds=1, changed=0)
        alone.append("run-finished", outcome="recovered", rto_seconds=1.0)
    assert "incident" not in read_run(find("last"))[0].fields
    assert carried == []
    state = response.start(ours, "x", CRITICAL)
    carried.clear()
    with begun(ours) as journal:
        journal.append("task", task="fence it", status="started", host="app1")
        journal.append("stage-finished", name="fence", status="ok", seconds=61.0, changed=1)
        journal.append("run-finished", outcome="recovered", rto_seconds=61.0)
    assert read_run(journal.path)[0].get("incident") == state.incident
    kept = record.read(state.incident)
    assert kept.runs == (journal.run_id,)
    assert [notice.get("title") for notice in kept.notices[1:]] == [
        f"{CENTRE}: Rebuild of the application server: Fence the old machine done after 1 min 1 s",
        f"{CENTRE}: Rebuild of the application server ends: recovered",
    ]
    assert len(carried) == 2


def test_a_run_that_goes_on_joins_once_and_one_that_ran_before_joins_too(ours: Estate) -> None:
    journal = begun(ours)
    state = response.start(ours, "x", CRITICAL)
    assert state.runs == (journal.run_id,), "it ran when the incident was opened"
    journal.close()
    with Journal.open(journal.run_id) as again:
        event = again.append("run-resumed")
    assert event.get("incident") == state.incident
    assert event.get("boot")
    assert record.read(state.incident).runs == (journal.run_id,)
    assert RunState.of(read_run(journal.path)).resumes


@pytest.mark.parametrize("harm", ["damaged", "gone", "unwritable", "full"])
def test_nothing_of_an_incident_stops_a_run(ours: Estate, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = response.start(ours, "x", CRITICAL)
    path = record.folder_of(state.incident) / NAME
    journal = begun(ours)
    if harm == "damaged":
        path.write_bytes(b"{broken}\n" + path.read_bytes())
    elif harm == "gone":
        path.unlink()
        path.parent.rmdir()
    else:
        refuse = Locked("x", "x", "x") if harm == "unwritable" else OSError(28, "No space left")

        def fail(*_words: Any, **_more: Any) -> None:
            raise refuse

        monkeypatch.setattr(attach, "held", fail)
        monkeypatch.setattr(attach, "append", fail)
    journal.append("stage-finished", name="fence", status="ok", seconds=1, changed=0)
    journal.append("run-finished", outcome="recovered", rto_seconds=1.0)
    journal.close()
    with begun(ours) as another:
        assert another.append("run-finished", outcome="done")


def test_evidence_attaches_itself_where_an_incident_is_open(ours: Estate) -> None:
    assert attach.attach(ours.name, "evidence", id="e", files=2) is None
    state = response.start(ours, "x", CRITICAL)
    assert attach.attach(ours.name, "evidence", id="e", files=2) == state.incident
    assert record.read(state.incident).events[-1].fields == {"what": "evidence", "id": "e", "files": 2}


def test_the_process_that_carries_is_started_and_not_waited_for(
    ours: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    program = tmp_path / "slow"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/given.part\nmv {tmp_path}/given.part {tmp_path}/given\nsleep 30\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(content, "executable", lambda: program)
    began = time.monotonic()
    news.carry("/an/inventory")
    assert time.monotonic() - began < 2
    soon((tmp_path / "given").exists)
    assert (tmp_path / "given").read_text() == "-i /an/inventory incident deliver\n"
    monkeypatch.setattr(content, "executable", lambda: tmp_path / "absent")
    news.carry("/an/inventory")


def test_a_watch_warns_once_then_tells_the_breach_and_carries_both(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as hook:
        known = replace(ours, secrets=Secrets({"notify": {"addresses": hook.address}}))
        assert response.watch(known) == []
        response.start(known, "x", CRITICAL, noticed=datetime.now(UTC) - timedelta(minutes=12))
        assert [alarm.percent for alarm in response.watch(known)] == [75]
        assert response.watch(known) == []
        response.note(known, "called", "answered")
        assert response.watch(known) == []
        response.close(known, "x")
        response.start(known, "y", CRITICAL, noticed=datetime.now(UTC) - timedelta(hours=9))
        assert [(one.reading.clock.name, one.breach) for one in response.watch(known)] == [
            ("effect-answered", True), ("effect-solved", True),
        ]  # fmt: skip
        assert response.watch(known) == []
        titles = [title.removeprefix(f"{CENTRE}: ") for title in hook.titles]
    assert titles == [
        "Incident opened, critical",
        "Clock effect-answered: 75 per cent of its time is gone",
        "Incident closed, every clock met",
        "Incident opened, critical",
        "Clock effect-answered is BREACHED",
        "Clock effect-solved is BREACHED",
    ]  # fmt: skip
    assert "clock-breached" in events(record.find("last"))


def test_a_dead_receiver_costs_the_watch_seconds_and_the_opening_nothing(ours: Estate) -> None:
    known = replace(ours, secrets=Secrets({"notify": {"addresses": dead()}}))
    began = time.monotonic()
    state = response.start(known, "x", CRITICAL)
    assert time.monotonic() - began < 2
    response.watch(known)
    assert "notice-failed" in events(state.incident)
    assert "news 3 did not reach 1-json" in call(ours, "show").output


def test_the_timer_reads_no_estate_while_nothing_is_open(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context()
    said = CliRunner().invoke(command, ["watch"], obj=context, standalone_mode=False)
    assert said.exit_code == 0
    assert "No incident is open." in said.output
    assert "_estate" not in context.__dict__


def test_who_can_be_reached_is_said(ours: Estate) -> None:
    nobody = call(ours, "reach")
    assert isinstance(nobody.exception, BadInput)
    with webhook() as hook:
        known = replace(ours, secrets=Secrets({"notify": {"addresses": f"{hook.address}\n{dead()}"}}))
        said = call(known, "reach")
        assert said.return_value == 1
        assert said.output == "1-json: reached\n2-json: NOT reached\n"
        assert hook.titles == [f"{CENTRE}: a test"]
        known = replace(ours, secrets=Secrets({"notify": {"addresses": hook.address}}))
        assert call(known, "reach").return_value == 0


def drawn(above: Callable[[str], str | None], terminal: bool) -> str:
    console = Console(file=io.StringIO(), record=True, width=200, force_terminal=terminal)
    view = View(console, above=above)
    with Journal.create(PLAN, REQUEST, estate="lab", operator="root", listeners=[view.update]) as journal:
        journal.append("stage-started", name="fence", budget_minutes=3, destructive=True)
        journal.append("run-finished", outcome="done")
    view.close()
    return console.export_text()


def test_every_live_view_shows_the_incident_above_all(ours: Estate) -> None:
    response.start(ours, "x", CRITICAL)
    for terminal in (True, False):
        shown = drawn(open_line, terminal)
        assert "critical: effect-answered: 1" in shown
        assert shown.index("effect-answered") < shown.index("Fence the old machine")
    assert drawn(open_line, False).count("effect-answered") == 1
    response.close(ours, "x")
    assert open_line(ours.name) is None


def test_a_timezone_that_there_is_not_opens_nothing(ours: Estate) -> None:
    odd = replace(ours, config=ours.config.model_copy(update={"timezone": "Mars/Olympus"}))
    assert refused(lambda: response.start(odd, "x", MILD)) == "estate-invalid"
    assert list(record.incidents()) == []
