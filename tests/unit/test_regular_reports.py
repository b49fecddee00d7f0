"""The inspection, monthly and drill report: from the records alone, in both languages, nothing left blank."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from example_run import START, events
from rounds_world import DAY, NOW, drilled, facts, keep, risk, verified
from test_incident import CRITICAL

from rmc_dr import backup_record, drill_record, releases, response
from rmc_dr.backup_record import Entry
from rmc_dr.cli.common import Context
from rmc_dr.cli.report import report as command
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.incident import record as incidents
from rmc_dr.journal import NAME
from rmc_dr.lines import to_line
from rmc_dr.model import Plan, Request
from rmc_dr.record import Journal, run_dir
from rmc_dr.report.data import build as build_run
from rmc_dr.report.document import Block, Document, Pairs, Table, Ticks, TimeChart, TrendChart, Words
from rmc_dr.report.drill import Targets
from rmc_dr.report.drill import build as build_drill
from rmc_dr.report.inspection import build as build_inspection
from rmc_dr.report.month import Terms, Window, gather, window
from rmc_dr.report.monthly import build as build_monthly
from rmc_dr.rounds import make, record

TARGETS = Targets("Centre", "Asia/Shanghai", 24, 5)


def words(block: Block) -> Iterator[str]:
    match block:
        case Pairs(rows=rows):
            yield from (text for row in rows for text in row)
        case Table(columns=columns, rows=rows, empty=empty):
            yield from columns
            yield from (cell for row in rows for cell in row.cells)
            yield "" if rows else empty
        case Words(text=text):
            yield text
        case Ticks(items=items):
            yield from (text for item in items for text in (item.text, item.remark))
        case TimeChart(caption=caption, spans=spans):
            yield from (caption, *(span.label for span in spans))
        case TrendChart(caption=caption, lines=lines):
            yield from (caption, *(line.label for line in lines))


def text(document: Document, title: str = "") -> str:
    return "\n".join(
        word
        for section in document.sections
        if title in section.title
        for block in section.blocks
        for word in (section.title, *words(block))
    )


def whole(document: Document) -> None:
    """Every row has its cells, every pair its value, and the data is JSON."""
    for section in document.sections:
        assert section.blocks
        for block in section.blocks:
            if isinstance(block, Table):
                assert {len(row.cells) for row in block.rows} <= {len(block.columns)}
                assert block.empty
                assert all(cell for row in block.rows for cell in row.cells)
            if isinstance(block, Pairs):
                assert all(label and value for label, value in block.rows)
    json.dumps(document.data, allow_nan=False)


def three(estate: Estate) -> list[Any]:
    """Three inspections, newest first: a disk that fills; one risk stays, one is gone, one is new."""
    stays, gone, new = risk("pair-unprotected"), risk("kit-expires"), risk("disk-full", weight="critical")
    keep(estate, NOW - 180 * DAY, facts(NOW - 180 * DAY, used=8.0))
    keep(estate, NOW - 90 * DAY, facts(NOW - 90 * DAY, used=11.0, risks=(stays, gone)))
    consent = {"what": "inspection", "by": "信息科 李主任", "at": NOW.isoformat(), "without": ""}
    keep(estate, NOW, facts(NOW, used=14.0, risks=(new, stays)), ("consent", consent))
    return record.inspections(estate.name)


def test_an_inspection_is_compared_with_the_one_before(ours: Estate) -> None:
    newest, *earlier = three(ours)
    document = build_inspection(newest, earlier, NOW)
    whole(document)
    assert (document.kind, document.about) == ("inspection", newest.name)
    assert "1 new, 1 still there, 1 gone" in text(document, "Results")
    risks = text(document, "Unresolved risks")
    assert risks.index("disk-full") < risks.index("pair-unprotected")
    assert ("new" in risks, "still there" in risks) == (True, True)
    assert "信息科 李主任" in text(document, "Scope")
    assert document.data["new"] == ["disk-full"]
    assert [one["code"] for one in document.data["gone"]] == ["kit-expires"]


def test_what_grows_is_estimated_once_there_is_enough_to_go_by(ours: Estate) -> None:
    newest, *earlier = three(ours)
    document = build_inspection(newest, earlier, NOW)
    [chart] = [
        block for section in document.sections for block in section.blocks if isinstance(block, TrendChart)
    ]
    [line] = [one for one in chart.lines if one.label == "db1 /srv"]
    assert (line.unit, line.limit) == ("GB", 20.0)
    assert [value for _at, value in line.points] == [8.0, 11.0, 14.0]
    assert "2027-05-" in text(document, "Capacity")  # 6 GB left at 3 GB in 90 days
    few = build_inspection(newest, earlier[:1], NOW)
    assert "Nothing is estimated" in text(few, "Capacity")
    assert "2027-05-" not in text(few, "Capacity")


def test_what_nobody_filled_in_is_not_done(ours: Estate) -> None:
    bare = keep(ours, NOW, facts(drills=(), backups={"seen": False}, patches={"waiting": ()}))
    document = build_inspection(bare, [], NOW)
    whole(document)
    assert "not done" in text(document, "Looked at by hand")
    assert "not done: no drill was held" in text(document, "Drills")
    assert "not done: no backup was verified" in text(document, "Backups")
    assert "There is no inspection before it" in text(document, "Results")
    assert "The hospital's consent\nnot done" in text(document, "Scope")
    assert document.data["new"] is None


def test_a_fault_found_by_hand_is_a_risk_and_stays_to_be_compared(ours: Estate) -> None:
    names = ["label-printers", "report-plugins"]
    first = keep(ours, NOW - 90 * DAY, facts(), *make.marks(names, [], ["label-printers=标签卡纸"]))
    second = keep(ours, NOW, facts(), *make.marks(names, names, []))
    before, after = build_inspection(first, [], NOW), build_inspection(second, [first], NOW)
    assert "标签卡纸" in text(before, "Unresolved risks")
    assert "标签卡纸" in text(before, "Looked at by hand")
    assert (ticks(before), ticks(after)) == ([False, None, None, None], [True, True, None, None])
    assert "not done" in text(before, "Looked at by hand")
    assert "标签卡纸" in text(after, "Results")
    assert after.figures[3].value == "2 of 2"


def test_patches_wait_for_their_consent(ours: Estate) -> None:
    waiting = keep(ours, NOW - 90 * DAY, facts())
    agreed = {"what": "patches", "by": "信息科 李主任", "at": NOW.isoformat(), "without": ""}
    settled = keep(ours, NOW, facts(), ("consent", agreed))
    asked, done = build_inspection(waiting, [], NOW), build_inspection(settled, [], NOW)
    assert "app1, db1" in text(asked, "Patches") or "db1, app1" in text(asked, "Patches")
    assert "the machine did not tell" in text(asked, "Patches")
    assert "--patches-consent" in text(asked, "Advice")
    assert "--patches-consent" not in text(done, "Advice")
    assert "信息科 李主任" in text(done, "Patches")


def month(estate: Estate, now: datetime = NOW, name: str | None = None) -> Document:
    terms = Terms(estate.name, estate.config.centre, "Asia/Shanghai", 30, 92)
    return build_monthly(gather(terms, window(name, "Asia/Shanghai", now), now), now)


def test_a_month_of_nothing_says_so(ours: Estate) -> None:
    document = month(ours)
    whole(document)
    assert document.about == "2026-11"
    assert "not done: no drill was held" in text(document, "Drills")
    assert "Never inspected" in text(document, "Open risks")
    assert "not measured" in text(document, "Availability")
    assert document.data["risks"] is None


def test_a_month_tells_what_happened_in_it_and_nothing_else(ours: Estate) -> None:
    now = datetime.now(UTC)
    state = response.start(ours, "登录不上", CRITICAL)
    incidents.append(
        state.incident, (), "milestone", what="running",
        at=(now + timedelta(minutes=30)).isoformat(), operator="x",
    )  # fmt: skip
    deploy(ours)
    verified(ours, now)
    verified(ours, now - 70 * DAY, ok=False)
    drilled(now, 1.5)
    drilled(now - 70 * DAY, 9.0)
    keep(ours, now - DAY, facts(now - DAY, risks=(risk("disk-full"),)))
    this = window(None, "Asia/Shanghai", now).name
    document = month(ours, now + timedelta(hours=1), this)
    whole(document)
    assert "登录不上" in text(document, "Incidents")
    assert document.data["incidents"][0]["clocks"]["effect-answered"] == "missed"
    assert "修正报表打印" in text(document, "Releases")
    assert "needed" in text(document, "Releases")
    assert [one["scope"] for one in document.data["verifications"]] == ["night"]
    assert [one["rto_minutes"] for one in document.data["drills"]] == [1.5]
    assert {one["seconds"] for one in document.data["outages"]} >= {9.0}
    assert "disk-full is seen" in text(document, "Open risks")
    assert "the incident is open" in text(document, "Open risks")


def deploy(estate: Estate) -> None:
    """A deploy's record, as its command writes it."""
    options = {
        "release": "1.1.0", "before": "1.0.0", "notes": "修正报表打印", "training": True,
        "consent": {"by": "李主任", "at": NOW.isoformat()}, "without_consent": None,
    }  # fmt: skip
    plan = Plan(releases.DEPLOY, "management", (), ())
    with Journal.create(
        plan, Request(releases.DEPLOY, "management", options), estate=estate.name, operator="wang"
    ) as journal:
        journal.append("deployed", state="deployed", release="1.1.0", before="1.0.0", users_out_seconds=9.0)
        journal.append("run-finished", outcome="done")


def test_the_dates_of_the_month_after_come_from_the_records(ours: Estate) -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    keep(ours, at - 80 * DAY, facts(at - 80 * DAY, kit={"expires": datetime(2026, 12, 24, tzinfo=UTC)}))
    ended = datetime(2026, 11, 10, tzinfo=UTC)
    backup_record.append(
        ours.name, Entry("database", ended, ended, True, "full", "db2", {"label": "20261110F"})
    )
    document = month(ours, at)
    said = text(document, "Dates")
    assert "2026-12-10\nthe lock ends of the full backup 20261110F" in said
    assert "2026-12-02\nthe next inspection is due" in said
    assert "2026-12-24\nthe kit expires" in said
    overdue = [one for one in document.data["dates"] if one["what"] == "certificate-ends"]
    assert [one["at"][:7] for one in overdue] == ["2026-09"]  # 20 days after that inspection: over since then


@pytest.mark.parametrize("name", ["2026-13", "2026-1", "november", "2026-12", "1999-01", ""])
def test_a_month_that_cannot_be_told_of_is_refused(name: str) -> None:
    if not name:
        assert window(None, "Asia/Shanghai", NOW).name == "2026-11"
        return
    with pytest.raises(BadInput) as error:
        window(name, "Asia/Shanghai", NOW)
    assert error.value.code == "no-month"


def test_a_month_is_the_centres(ours: Estate) -> None:
    found = window("2026-11", "Asia/Shanghai", NOW)
    assert found == Window(
        "2026-11", datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC)
    )
    assert window(None, "Asia/Shanghai", datetime(2026, 11, 30, 17, tzinfo=UTC)).name == "2026-12"
    assert window("2026-12", "Asia/Shanghai", datetime(2026, 12, 30, tzinfo=UTC)).ends.year == 2026


def test_damaged_records_are_named_and_stop_no_report(ours: Estate) -> None:
    for folder in ("runs", "incidents", "inspections"):
        path = Path(record.folder_of("x")).parents[1] / folder / "20261101T000000Z-odd-0000"
        path.mkdir(parents=True)
        (path / NAME).write_bytes(b"no json\n{}\n")
    document = month(ours)
    assert document.data["damaged"] == ["20261101T000000Z-odd-0000"] * 3
    assert "the record is damaged" in text(document, "Open risks")


def test_a_drill_is_held_against_what_is_promised_and_the_drills_before(ours: Estate) -> None:
    for number in range(3):
        drilled(NOW - (3 - number) * 30 * DAY, 1.0 + number)
    drilled(NOW - 5 * DAY, 99.0, broke="os")
    last = drilled(NOW, 4.0, run="20261121T190412Z-rebuild-appserver-3f9c")
    run = build_run(events())
    document = build_drill(last, drill_record.results(), run, TARGETS, NOW)
    whole(document)
    assert document.about == last.name
    assert "+100 % against the median of 3 drills" in text(document, "Trend")
    assert [len(line.points) for line in charts(document)[0].lines] == [4, 4, 4]
    [chart] = [b for section in document.sections for b in section.blocks if isinstance(b, TimeChart)]
    assert chart.spans[0].began > START
    assert any(span.ended and span.ended > span.began for span in chart.spans)
    assert "Wait for the host (app1): Connection timed out" in text(document, "What failed")
    assert document.data["rto_met"] is True
    assert ticks(document) == [None, None]


def ticks(document: Document) -> list[bool | None]:
    return [
        item.good for s in document.sections for b in s.blocks if isinstance(b, Ticks) for item in b.items
    ]


def charts(document: Document) -> list[TrendChart]:
    return [b for section in document.sections for b in section.blocks if isinstance(b, TrendChart)]


def test_a_drill_that_lost_something_says_so_and_one_without_a_run_as_well(ours: Estate) -> None:
    bad = drilled(NOW, 1500.0, lost=3, lost_allowed=1, rpo_seconds=400.0, drill="primary", host="db1")
    document = build_drill(bad, drill_record.results(), None, TARGETS, NOW)
    whole(document)
    said = text(document, "Measured")
    assert "Lost, of what could have been kept\n2\n0\ntarget MISSED" in said
    assert (document.data["rto_met"], document.data["rpo_met"], document.data["passed"]) == (
        False,
        False,
        False,
    )
    assert "No stages" in text(document, "Stages")
    assert "the pair recovered by itself" in text(document, "What was rehearsed")
    assert "nothing to compare with" in text(document, "Trend")


def call(estate: Estate, monkeypatch: pytest.MonkeyPatch, *typed: str) -> Result:
    monkeypatch.setattr(Context, "estate", lambda _self: estate)
    return CliRunner().invoke(command, [*typed, "--no-archive"], obj=Context(), standalone_mode=False)


def test_both_are_given_out_by_their_commands(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    last = drilled(NOW, 1.4, run="20261121T190412Z-rebuild-appserver-3f9c")
    path = run_dir(last.run)
    path.mkdir(parents=True)
    (path / NAME).write_bytes(b"".join(map(to_line, events())))
    for typed in (("last",), (last.at,), ("3f9c",), (last.name,)):
        done = call(ours, monkeypatch, "drill", *typed, "--json")
        assert done.return_value == 0, done.output
        assert json.loads(done.output)["report"]["run"] == last.run
    done = call(ours, monkeypatch, "monthly", "--json", "--lang", "zh")
    assert done.return_value == 0
    assert json.loads(done.output)["kind"] == "monthly"
    for odd in ("nothing", ""):
        refused = call(ours, monkeypatch, "drill", odd)
        assert isinstance(refused.exception, BadInput)


def test_a_drill_whose_run_is_gone_is_told_all_the_same(
    ours: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled(NOW, 1.4, run="20261121T190412Z-rebuild-appserver-3f9c")
    done = call(ours, monkeypatch, "drill", "last", "--json")
    assert json.loads(done.output)["report"]["stages"] == []


def test_results_that_no_drill_measured_are_left_out(ours: Estate) -> None:
    good = drilled(NOW, 1.4)
    for number, odd in enumerate(
        ({"rto_minutes": "x"}, {"at": "never"}, {"rpo_seconds": -1.0}, {"split": 3})
    ):
        folder = drill_record.folder_of(f"2026010{number}T000000Z", "odd")
        folder.mkdir(parents=True)
        (folder / drill_record.RESULT).write_text(json.dumps({**vars(good), **odd}))
    assert drill_record.results() == [good]
    assert replace(good, lost=1).passed is False
