"""The report: what a hospital's manager reads, and what nobody did."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from example_run import CHECKS, START, events
from rich.console import Console

from rmc_dr import record
from rmc_dr.cli import main
from rmc_dr.history import Event
from rmc_dr.report import as_html, build, print_report

RUN = "20261121T190412Z-rebuild-appserver-3f9c"


@pytest.fixture
def kept(state: Path) -> Path:
    """The example run as a record on disk."""
    folder = state / "runs" / RUN
    folder.mkdir(parents=True)
    (folder / record.JOURNAL).write_bytes(b"".join(map(record.to_line, events())))
    return folder


def text(told: list[Event]) -> str:
    file = io.StringIO()
    print_report(build(told), Console(file=file, width=80))
    return file.getvalue()


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_the_numbers_are_those_of_the_journal() -> None:
    report = build(events())
    assert (report.outcome, report.within_target, report.changed) == ("recovered", True, "yes")
    converge = next(stage for stage in report.stages if stage.name == "converge")
    assert (converge.attempts, [span.status for span in converge.spans]) == (2, ["failed", "ok"])
    assert converge.spans[1].began - converge.spans[0].ended == pytest.approx(42.3, abs=0.2)
    assert len(report.resumes) == 1
    assert report.facts == {"app1": {"attachments_files": 412, "attachments_changed": 0}}
    assert [failure.stage for failure in report.failures] == ["converge"]
    assert len(report.checks) == len(CHECKS)


def test_what_nobody_did_is_not_done() -> None:
    said = text(events(until="boot"))
    assert re.search(r"Recovery time \(RTO\)\s+not done", said)
    assert re.search(r"Ended\s+not done", said)
    assert len(re.findall(r"Configure system and applications\s+not done", said)) == 1
    assert re.search(r"Checks\n\s+not done", said)


def test_an_empty_journal_makes_a_report_too() -> None:
    assert "not done" in text([])
    assert "not done" in as_html(build([]))


def test_a_failed_check_is_loud() -> None:
    told = events(failed_check=CHECKS[0])
    assert "11 of 12 passed" in text(told)
    assert f"FAILED: {CHECKS[0]} nothing answered" in text(told)
    assert "nothing answered" in as_html(build(told))


def test_no_line_is_cut_where_there_is_no_terminal() -> None:
    said = text(events())
    assert "9c1f" * 16 in said
    assert "…" not in said


class Strict(HTMLParser):
    """Knows whether every element is closed in order, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.lang = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.lang = dict(attrs).get("lang") or ""
        self.loads += [f"{tag} {name}" for name, _value in attrs if name in ("src", "href", "xlink:href")]
        if tag in ("script", "iframe", "link", "img", "object"):
            self.loads.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Needs no end."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(("lang", "attribute"), [("en", "en"), ("zh", "zh-CN")])
def test_the_page_is_whole_and_alone(monkeypatch: pytest.MonkeyPatch, lang: str, attribute: str) -> None:
    monkeypatch.setenv("RMC_DR_LANG", lang)
    page = as_html(build(events()))
    parser = Strict()
    parser.feed(page)
    assert (parser.open, parser.loads, parser.lang) == ([], [], attribute)
    assert "url(" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_host_cannot_write_into_the_page() -> None:
    told = [*events(until="boot")]
    nasty = Event(
        len(told) + 1, START, 9999.0, "run-finished", {"outcome": "failed", "reason": "<script>x</script>"}
    )
    page = as_html(build([*told, nasty]))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_commands(kept: Path, tmp_path: Path) -> None:
    assert RUN in call("runs").output
    assert json.loads(call("runs", "--json").output)[0]["outcome"] == "recovered"
    shown = call("runs", "show", "3f9c")
    assert "Reinstall the operating system: done after 0:49, 21 changes" in shown.output
    assert len(call("runs", "show", "last", "--json").output.splitlines()) == len(events())
    assert "4 min 38 s" in call("report", "run", "last").output
    told = json.loads(call("report", "run", RUN, "--json").output)
    assert (told["within_target"], told["started"]) == (True, "2026-11-21T19:04:12.000Z")
    page = tmp_path / "report.html"
    assert call("report", "run", RUN, "--html", str(page)).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["report", "run", "nothing"], 2),
        (["runs", "show", "nothing"], 2),
        (["runs", "abandon", RUN, "--reason", "x"], 3),
        (["report", "run", RUN, "--html", "/nowhere/at/all.html"], 2),
    ],
)
def test_mistakes_end_in_one_sentence(kept: Path, words: list[str], code: int) -> None:
    result = call(*words)
    assert result.exit_code == code
    assert "Traceback" not in result.output


def test_a_run_is_given_up_once(kept: Path) -> None:
    (kept / record.JOURNAL).write_bytes(b"".join(map(record.to_line, events(until="boot"))))
    assert call("runs", "abandon", "last", "--reason", "new hardware").exit_code == 0
    assert call("runs", "abandon", "last", "--reason", "again").exit_code == 3
    assert next(record.runs()).state.outcome == "abandoned"


def with_facts(facts: dict[str, object], **about: object) -> list[Event]:
    """The example run, of which a stage told this."""
    told = [
        replace(event, fields={**event.fields, **about}) if event.event == "run-started" else event
        for event in events()
    ]
    return [
        replace(event, fields={"hosts": {"db1": facts}}) if event.event == "facts" else event
        for event in told
    ]


BACK = {"backup": "F", "newest": "2026-11-21 23:00:30.5+08", "lsn": "0/5000028", "timeline": "4"}


def test_a_restore_tells_what_came_back_and_what_that_cost() -> None:
    told = with_facts({"restore": BACK}, restores=["From F"], archived_at="2026-11-21T15:01:00Z")
    back = build(told).restored
    assert back is not None
    assert (back.timeline, back.short_seconds) == ("4", 29.5)
    said = " ".join(text(told).split())
    assert "2026-11-21 23:00:30.5+08 (LSN 0/5000028, timeline 4)" in said
    assert "From F" in said
    assert "30 s before the last WAL was stored" in said or "29 s before the last WAL was stored" in said


def test_what_was_not_measured_is_not_told() -> None:
    told = with_facts({"restore": {**BACK, "newest": ""}}, archived_at="2026-11-21T15:01:00Z")
    back = build(told).restored
    assert back is not None
    assert back.short_seconds is None
    assert build(events()).restored is None


def test_attachments_are_counted_for_each_application() -> None:
    told = with_facts({"attachments": {"management": {"known": 9, "missing": 1, "first": ["a-file"]}}})
    assert "Attachments of management 9 known to the database, 1 missing a-file" in " ".join(
        text(told).split()
    )


def test_attachments_given_up_are_an_exception_with_its_reason() -> None:
    told = [
        replace(event, event="files-given-up") if event.event == "kit-expired-accepted" else event
        for event in events()
    ]
    said = text(told)
    assert "Users go on without attachments from the backup: the centre's change board" in said
    assert "expired kit" not in said
