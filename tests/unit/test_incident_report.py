"""The incident and the progress report, out of journals that the record's own functions wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from example_run import CHECKS
from pdf_glyphs import not_shown, pages, text

from rmc_dr import response
from rmc_dr.cli.common import Context
from rmc_dr.cli.incident import incident as command
from rmc_dr.errors import Error
from rmc_dr.estate import Estate, Secrets
from rmc_dr.evidence import folder, manifest
from rmc_dr.evidence.collect import Piece
from rmc_dr.files import write_atomically
from rmc_dr.i18n import speaking
from rmc_dr.incident import attach, record
from rmc_dr.incident.words import milestone_word
from rmc_dr.journal import plain
from rmc_dr.model import Plan, Request, Stage
from rmc_dr.publish import facts, incident_report, progress_report, shelf
from rmc_dr.record import Journal
from rmc_dr.redact import Redactor
from rmc_dr.report.document import Document, Pairs, Table, Words
from rmc_dr.report.render import Rendered, render

STAGES = ("fence", "reinstall", "converge")
PLAN = Plan("rebuild-appserver", "app1", tuple(Stage(name, f"{name}.yml", 10, False) for name in STAGES))
CAUSE = "the system disk of app1 was torn out"
SECRET = "a-secret-value"
LANGS = ("zh", "en")


def call(estate: Estate, *words: str) -> Result:
    context = Context()
    context.__dict__["_estate"] = estate
    return CliRunner().invoke(command, list(words), obj=context, standalone_mode=False)


def opened(estate: Estate) -> str:
    state = response.start(estate, "nobody can log in 王𬭶", ("application-stopped",), ("application",))
    return state.incident


def run(estate: Estate, outcome: str | None = "recovered") -> str:
    request = Request("rebuild-appserver", "app1")
    with Journal.create(PLAN, request, estate=estate.name, operator="zhang", rto_hours=24) as journal:
        for name in STAGES[: None if outcome else 1]:
            journal.append("stage-started", name=name, budget_minutes=10, destructive=False)
            journal.append("stage-finished", name=name, status="ok", seconds=61.0, changed=3)
        if outcome:
            journal.append(
                "check", stage="converge", name=CHECKS[0], passed=False, detail="it runs Debian 12"
            )
            journal.append("run-finished", outcome=outcome, rto_seconds=278.0, reason="", hint="")
        else:
            journal.append("stage-started", name=STAGES[1], budget_minutes=10, destructive=False)
        return journal.run_id


def evidence(estate: Estate) -> str:
    kept = folder.make(estate.name)
    pieces = (
        Piece("app1", "kernel", False, "app1/kernel.txt", 1234, "c0" * 32),
        Piece("app1", "liberty", True, "app1/liberty.tar", 5678, "da" * 32),
    )
    sealed = manifest.Manifest(kept.id, {"operator": "zhang"}, pieces, {}, {})
    write_atomically(kept.path / folder.MANIFEST, json.dumps({"format": 1, **plain(sealed)}))
    write_atomically(kept.path / folder.SIGNATURE, "x")
    attach.attach(estate.name, "evidence", id=kept.id, files=2, bytes=6912, manifest_sha256="ab" * 32)
    return kept.id


def blocks(document: Document, title: str) -> list[Any]:
    return list(next(one for one in document.sections if one.title == title).blocks)


def section(document: Document, title: str) -> str:
    """All the words of one section."""
    return json.dumps(plain({"blocks": blocks(document, title)}), ensure_ascii=False)


def built(estate: Estate, lang: str = "en") -> Document:
    with speaking(lang):
        return incident_report.build(facts.gather(estate, "last"))


def progress(estate: Estate, lang: str) -> Rendered:
    with speaking(lang):
        document = progress_report.on_one_page(facts.gather(estate, "last"), datetime.now(UTC))
    return render(document, Redactor([SECRET]))


@pytest.fixture
def played(ours: Estate) -> Estate:
    """A fault from its opening to its closing."""
    opened(ours)
    run(ours)
    evidence(ours)
    way = "server=broken"
    attach.attach(ours.name, "diagnosis", tree="appserver", host="app1", leaf="system-broken", way=way)
    attach.attach(ours.name, "diagnosis", tree="appserver", host="app1", leaf="of-another-version", way=way)
    told = {"state": "raised", "code": "liberty-down", "area": "appserver", "level": "CRITICAL"}
    attach.attach(ours.name, "alarm", host="app1", **told)
    wal = {"newest": 50331648, "holder": "db1", "archived": 33554432, "bytes": 16777216, "least": False}
    lists = {"application": "management", "rows_without_file": 2, "files_without_row": None}
    attach.attach(ours.name, "audit", entries=9, first_error="app1 disk: gone", wal=wal, attachments=[lists])
    response.note(ours, "called the ward", "answered")
    for topic, said in (("scope", "app1 alone"), ("effect", "60 users"), ("trend", "it spread no further")):
        response.note(ours, said, topic=topic)
    response.classify(ours, klass="major", affects_use=True, reason="one ward only")
    response.close(ours, CAUSE)
    response.note(ours, "keep a spare disk", topic="plan-change", incident="last")
    return ours


def test_the_contract_and_a_diagnosis_are_told_in_the_reports_language(played: Estate) -> None:
    english, chinese = built(played), built(played, "zh")
    assert "fault that affects use, critical included: answered at once" in section(english, "Clocks")
    assert "影响使用的故障（含重大故障）：立即响应" in json.dumps(plain(chinese.sections), ensure_ascii=False)
    assert "fault that affects use" not in json.dumps(plain(chinese.sections))
    assert "diagnosis appserver of app1: system-broken" in section(english, "Course and trend")


def test_it_names_the_injected_cause_and_what_was_found(played: Estate) -> None:
    report = built(played)
    assert CAUSE in section(report, "Cause")
    found = section(report, "What was found")
    assert (
        "app1: the operating system of the application server is broken. Proved: the machine is up" in found
    )
    assert "leaf: of-another-version" in found
    assert "alarm: liberty-down (app1)" in found
    assert "the application service has stopped" in found
    assert "it runs Debian 12" in found
    assert report.data["cause"] == CAUSE


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Scope of the fault", "app1 alone"),
        ("Scope of its effect", "60 users"),
        ("Course and trend", "it spread no further"),
        ("Changes to the plan", "keep a spare disk"),
        ("Nature and class", "the rule was overruled by "),
        ("Nature and class", "one ward only"),
        ("Measures taken", "Reinstall the operating system"),
        ("Measures taken", "recovered"),
        ("Clocks", "met"),
        ("Loss", "16.8 MB; db1 holds it"),
        ("Loss", "2 rows without a file, unknown files without a row"),
        ("Evidence", "c0" * 32),
        ("Evidence", "app1/liberty.tar"),
        ("Evidence", "ab" * 32),
    ],
)
def test_each_point_stands_where_the_contract_asks_for_it(played: Estate, title: str, said: str) -> None:
    assert said in section(built(played), title)


def test_every_file_of_the_evidence_is_named_with_its_hash(played: Estate) -> None:
    """A hash is no patient's data; it binds the report to the file that may hold some."""
    report = built(played)
    for digest in ("c0" * 32, "da" * 32):
        assert digest in section(report, "Evidence")
    [table] = [one for one in blocks(report, "Evidence") if isinstance(one, Table)]
    assert [(row.cells[0], row.cells[3]) for row in table.rows] == [
        ("app1/kernel.txt", ""),
        ("app1/liberty.tar", "yes"),
    ]
    [collection] = report.data["evidence"]
    assert [(one["sha256"], one["may_hold_patient_data"]) for one in collection["files"]] == [
        ("c0" * 32, False),
        ("da" * 32, True),
    ]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"copied": True}, "yes"),
        ({"copied": False}, "no"),
        ({}, "unknown"),
    ],
)
def test_what_an_older_record_says_of_the_copy_still_counts(
    ours: Estate, told: dict[str, bool], said: str
) -> None:
    opened(ours)
    attach.attach(ours.name, "evidence", id="20260101T000000Z-aaaa", files=2, bytes=9, **told)
    pairs = blocks(built(ours), "Evidence")[0]
    assert isinstance(pairs, Pairs)
    assert dict(pairs.rows)["Locked copy in the store"] == said


def test_a_drill_is_named_where_it_has_no_run(ours: Estate) -> None:
    opened(ours)
    for passed in (True, False):
        attach.attach(
            ours.name, "drill", id=f"20261125T1010{passed:02}Z-primary", drill="primary", host="db1",
            broke="off", run="", passed=passed, rto_minutes=0.4, rpo_seconds=0.0, lost=0, duplicated=0,
        )  # fmt: skip
    measures = section(built(ours), "Measures taken")
    for said in ("the primary is lost", "20261125T101001Z-primary", "0.4", "passed", "FAILED"):
        assert said in measures
    assert "drill 20261125T101001Z-primary: passed" in section(built(ours), "Course and trend")
    assert "rto_minutes" not in section(built(ours), "What was found")


FIRST = {"host": "db1", "kind": "connection-failure", "what": "the database refuses a login", "caught": {}}
ENDS = {
    "host": "app1", "kind": "restart", "what": "{unit} ends by itself ({code}, {status})",
    "caught": {"unit": "liberty", "code": "killed", "status": "9/KILL"},
}  # fmt: skip


def test_what_an_audit_found_first_is_told_in_the_readers_language(ours: Estate) -> None:
    opened(ours)
    for first in (FIRST, ENDS):
        attach.attach(ours.name, "audit", entries=9, first_error=first, wal={}, attachments=[])
    english = section(built(ours), "Loss")
    assert "db1 connection failure: the database refuses a login" in english
    assert "app1 restart: liberty ends by itself (killed, 9/KILL)" in english
    with speaking("zh"):
        chinese = json.dumps(plain(built(ours, "zh").sections), ensure_ascii=False)
    assert "数据库拒绝" in chinese
    assert "liberty" in chinese
    for word in ("refuses a login", "ends by itself"):
        assert word not in chinese


@pytest.mark.parametrize(
    "odd", ["x", 7, [], {}, {"what": "{a.b} {", "caught": 3}, {"what": "{a}", "caught": {"a": "{b}"}}]
)
def test_an_odd_first_error_harms_nobody(ours: Estate, odd: Any) -> None:
    opened(ours)
    attach.attach(ours.name, "audit", entries=9, first_error=odd, wal={}, attachments=[])
    assert "Project-Id-Version" not in section(built(ours, "zh"), "损失")


def test_that_it_was_closed_is_said_in_the_readers_language(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(ours)
    monkeypatch.setenv("RMC_DR_LANG", "en")
    response.close(ours, "ok")
    course = section(built(ours, "zh"), "经过与趋势")
    assert "closed" not in course
    with speaking("zh"):
        assert f'"{milestone_word("solved")}"' in course


def test_what_nobody_filled_in_is_not_done(ours: Estate) -> None:
    opened(ours)
    report = built(ours)
    for title in ("Scope of the fault", "Course and trend", "Cause", "Changes to the plan", "Evidence"):
        assert next(one for one in report.sections if one.title == title).blocks[0] == Words("not done")
    for title in ("Measures taken", "What was found", "Loss", "Releases around it"):
        tables = [
            block
            for one in report.sections
            if one.title == title
            for block in one.blocks
            if isinstance(block, Table)
        ]
        assert all(table.rows or table.empty for table in tables)


def test_a_lost_record_is_said_so(played: Estate, state: Path) -> None:
    for journal in (state / "runs").glob("*/journal.jsonl"):
        journal.write_bytes(b"\xff\n" * 9)
    for kept in folder.root(played.name).iterdir():
        (kept / folder.MANIFEST).unlink()
    report = built(played)
    assert "its record is not here" in section(report, "Measures taken")
    assert "Its index is not on this machine." in section(report, "Evidence")


@pytest.mark.parametrize("lang", LANGS)
def test_its_pdf_is_whole(played: Estate, lang: str) -> None:
    rendered = render(built(played, lang), Redactor(()))
    said = text(rendered.pdf)
    for wanted in (CAUSE, "nobody can log in 王𬭶", "c0" * 32, "app1 alone"):
        assert "".join(wanted.split()) in said
    assert not_shown(rendered.pdf) == set()


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("notes", [0, 300])
def test_the_progress_report_is_one_page(ours: Estate, lang: str, notes: int) -> None:
    opened(ours)
    run(ours, outcome=None)
    with record.held(record.find("last")) as journal:
        for number in range(notes):
            journal.append("note", operator="root", text=f"{number}: " + "很长的说明 and long words " * 40)
        for topic in ("next", "team", "effect"):
            journal.append("note", operator="root", about=topic, text="x" * 900)
    rendered = progress(ours, lang)
    assert (pages(rendered.pdf), rendered.pages) == (1, 1)
    assert not_shown(rendered.pdf) == set()


def test_the_progress_report_says_what_goes_on(ours: Estate) -> None:
    opened(ours)
    run(ours, outcome=None)
    response.note(ours, "the ward goes on by paper", "answered")
    response.note(ours, "the laboratory checks a test patient", topic="next")
    said = text(progress(ours, "en").pdf)
    for wanted in (
        "critical", "left", "at “Reinstall the operating system” (1 of 3 stages done)",
        "Fence the old machine done",
        "the ward goes on by paper", "the laboratory checks a test patient", "zhang",
        "Configure system and applications",
    ):  # fmt: skip
        assert "".join(wanted.split()).lower() in said.lower(), wanted


def test_the_commands(played: Estate, tmp_path: Path) -> None:
    made = call(played, "report", "--no-archive", "--json", "--lang", "zh", "--to", str(tmp_path / "out"))
    told = json.loads(made.output)
    assert (made.return_value, told["kind"], told["archived"]) == (0, "incident", False)
    assert json.loads(Path(told["files"]["json"]).read_text())["language"] == "zh_CN"
    assert [event.get("kind") for event in record.read(told["about"]).attached("report")] == ["incident"]
    assert shelf.entries(played.name)[told["id"]].incident == told["about"]
    made = call(played, "progress", "last", "--next-in", "60")
    assert made.return_value == 1
    assert "not archived" in made.output
    noted = record.read(told["about"]).attached("report")[-1]
    next_report = datetime.fromisoformat(noted.fields["next_report"])
    assert timedelta(minutes=58) < next_report - datetime.now(UTC) < timedelta(minutes=61)
    assert "Progress report" in call(played, "show").output


def test_no_secret_gets_into_a_report(ours: Estate) -> None:
    incident = opened(ours)
    with record.held(incident) as journal:  # as a log would bring it, past the journal's own cover
        for topic in (None, "scope", "next", "loss"):
            journal.append(
                "note", operator="root", text=f"log: {SECRET}", **({"about": topic} if topic else {})
            )
        journal.append("attached", what="check", said=[f"x {SECRET}"])
    made = call(ours, "report", "--no-archive", "--json"), call(ours, "progress", "--no-archive", "--json")
    for one in made:
        files = {kind: Path(path).read_bytes() for kind, path in json.loads(one.output)["files"].items()}
        assert SECRET.encode() not in files["html"] + files["json"]
        assert SECRET not in text(files["pdf"])
        assert b"[secret]" in files["json"]


@pytest.mark.parametrize("words", [("report", "nothing"), ("progress", "nothing")])
def test_an_unknown_incident_is_one_sentence(ours: Estate, words: tuple[str, ...]) -> None:
    result = call(ours, *words)
    assert isinstance(result.exception, Error)
    assert result.exception.code == "unknown-incident"


def test_what_comes_to_light_afterwards_stops_no_clock(played: Estate) -> None:
    with pytest.raises(Error) as error:
        response.note(played, "x", "running", incident="last")
    assert error.value.code == "incident-closed"


def test_a_vault_that_is_closed_hinders_nothing(played: Estate) -> None:
    closed: Any = replace(played, secrets=None)
    assert call(closed, "report", "--json").return_value == 1
    opened_vault = replace(played, secrets=Secrets({}))
    assert call(opened_vault, "report", "--no-archive").return_value == 0
