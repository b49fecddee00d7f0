"""A document in its three forms: the words are right, every character is shown, and no text does harm."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from example_document import BEGAN, RARE, TEXTS, document, trends
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_glyphs import not_shown, text
from test_report import Strict

from rmc_dr.redact import Redactor
from rmc_dr.report import render as module
from rmc_dr.report.clean import LONGEST
from rmc_dr.report.document import (
    Document,
    Line,
    Row,
    Section,
    Table,
    Tick,
    Ticks,
    TrendChart,
    Words,
)
from rmc_dr.report.render import Rendered, as_page, render
from rmc_dr.report.room import ROOM, fitted

PRIVATE = "\ue863"  # where hospital systems of old kept a rare name's character
STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NASTY = [
    "\x1b[31mred\x1b]0;title\x07",
    "{{ 7 * 7 }} {% raw %} {# #}",
    "a\x00b",
    "x" * (1 << 20),
    "\ud800 alone",
    "中文".encode("gb18030").decode(errors="replace"),
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "]]>--><!-- </style></title>",
    "url(http://evil.example/x) @import",
]
shown = pytest.fixture(scope="module", params=["zh", "en"])


@shown
def made(request: pytest.FixtureRequest) -> tuple[str, Rendered]:
    return request.param, render(document(request.param), Redactor(()))


def test_the_pdf_says_what_was_meant_and_shows_every_character(made: tuple[str, Rendered]):
    lang, rendered = made
    said = text(rendered.pdf)
    assert (rendered.missing, rendered.without_pdf) == ((), "")
    for wanted in (*TEXTS[lang].values(), RARE):
        assert "".join(wanted.split()) in said
    assert not_shown(rendered.pdf) == set()
    assert ("未执行" if lang == "zh" else "notdone") in said


def test_a_character_that_no_font_has_is_named(made: tuple[str, Rendered]):
    rendered = render(document(said=f"王{PRIVATE}明"), Redactor(()))
    assert rendered.missing == (PRIVATE,)
    assert "王[U+E863]明" in text(rendered.pdf)
    assert "U+E863" in text(rendered.pdf).rsplit("[U+number]", 1)[-1]
    assert PRIVATE in rendered.html
    assert not_shown(rendered.pdf) == set()


def test_the_proof_of_glyphs_can_fail():
    assert not_shown(module._pdf(as_page(document(said=PRIVATE)))[0])


def test_the_page_is_whole_and_alone(made: tuple[str, Rendered]):
    lang, rendered = made
    parser = Strict()
    parser.feed(rendered.html)
    assert (parser.open, parser.loads, parser.lang) == ([], [], "zh-CN" if lang == "zh" else "en")
    assert "url(" not in rendered.html
    assert "http" not in rendered.html


def test_the_json_holds_the_data(made: tuple[str, Rendered]):
    lang, rendered = made
    told = json.loads(rendered.json)
    assert told["data"]["deep"] == [{"said": TEXTS[lang]["said"]}]
    assert (told["format"], told["kind"], told["language"]) == (
        1,
        "inspection",
        {"zh": "zh_CN"}.get(lang, lang),
    )


def harmless(said: str) -> Rendered:
    rendered = render(document(said=said), Redactor(()))
    assert rendered.without_pdf == ""
    assert rendered.pdf.startswith(b"%PDF")
    for form in (rendered.html, rendered.json):
        form.encode()
        assert not STEERS.search(form)
    json.loads(rendered.json)
    parser = Strict()
    parser.feed(rendered.html)
    assert (parser.open, parser.loads) == ([], [])
    assert rendered.html.count("<script") == 0
    return rendered


@pytest.mark.parametrize("said", NASTY, ids=range(len(NASTY)))
def test_no_line_of_a_log_does_harm(said: str):
    rendered = harmless(said)
    assert len(rendered.html) < 1 << 20
    if "7 * 7" in said:
        assert said in unescape(rendered.html)
    if len(said) > LONGEST:
        assert f"{len(said) - LONGEST} characters more" in rendered.html


@settings(max_examples=8, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_no_text_at_all_does_harm(said: str):
    harmless(said)


def long(parts: int) -> Document:
    """A section of so many notes, and a table of as many rows."""
    table = Table(["What"], [Row([f"row {number}"]) for number in range(parts)], "-")
    notes = [Words(f"note {number}") for number in range(parts)]
    whole = document()
    sections = [Section("Notes", notes), Section("Rows", [table]), Section("Last", [Words("the end")])]
    return replace(whole, sections=sections, data={"rows": [f"row {number}" for number in range(parts)]})


def test_what_finds_no_room_is_counted_and_all_in_the_json():
    kept, cut = render(long(ROOM), Redactor(())), render(long(ROOM + 50), Redactor(()))
    assert " more, all in the JSON" not in kept.html
    assert cut.html.count("... and 50 more, all in the JSON of this report") == 2
    assert f"note {ROOM - 1}<" in cut.html
    assert f"note {ROOM}<" not in cut.html
    assert "the end" in text(cut.pdf).replace("theend", "the end")
    assert json.loads(cut.json)["data"]["rows"][-1] == f"row {ROOM + 49}"


def test_long_texts_take_the_room_of_many():
    many = replace(document(), sections=[Section("T", [Words("word " * 700)] * 20)])
    assert [len(section.blocks) for section in fitted(many).sections] == [9 + 1]


@pytest.mark.parametrize(
    ("said", "fixed"),
    [
        ("严重", ["严重"]),
        ("+636.3 MB of it", ["+636.3 MB"]),
        ("占用 500.0 MB，共 3 次", ["占用", "500.0 MB", "3 次"]),
        ("由 2026-11-25 22:30 起", ["2026-11-25 22:30"]),
        ("服务器无应答，无法登录", ["服务器无应"]),
        ("nobody was told of it", []),
    ],
)
def test_a_number_keeps_its_unit_and_a_column_holds_more_than_one_sign(said: str, fixed: list[str]):
    assert re.findall(r'<span class="fixed">([^<]+)</span>', str(module._soft(said))) == fixed


def test_a_thing_looked_at_is_good_or_at_fault_and_what_nobody_saw_has_room_for_a_pen():
    items = [Tick("a", True), Tick("b", False), Tick("c")]
    page = as_page(replace(document(), sections=[Section("T", [Ticks(items)])]))
    assert re.findall(r'class="state">([^<.]+)', page) == ["good", "AT FAULT", "by hand: "]


def test_each_of_few_points_is_marked_and_of_many_the_newest():
    page = as_page(replace(document(), sections=[Section("T", [trends("t")])]))
    assert page.count("<circle") == 1 + 1  # of thirty points, and of one
    few = Line("few", "GB", [(BEGAN + timedelta(days=day), float(day)) for day in range(4)])
    assert (
        as_page(replace(document(), sections=[Section("T", [TrendChart("c", [few])])])).count("<circle") == 4
    )


def test_every_moment_is_by_the_centres_clock():
    page = as_page(document())
    assert "made 2026-11-25 19:10 +0800" in page
    assert "11-25 10:10 – 11-25 10:13" in page


def test_no_secret_is_in_any_form():
    secret = "s3cr3t-of-the-estate"
    rendered = render(document(said=f"the log said {secret}"), Redactor([secret]))
    assert secret not in rendered.html + rendered.json + text(rendered.pdf)
    assert "[secret]" in text(rendered.pdf)


def test_without_the_libraries_page_and_json_still_come(monkeypatch: pytest.MonkeyPatch):
    def missing(_page: str) -> None:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr(module, "_pdf", missing)
    rendered = render(document(), Redactor(()))
    assert (rendered.pdf, bool(rendered.html and rendered.json)) == (b"", True)
    assert "libpango" in rendered.without_pdf
