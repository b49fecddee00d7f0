"""A document in its three forms: the words are right, every character is shown, and no text does harm."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from example_document import RARE, TEXTS, document
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_glyphs import not_shown, text
from test_report import Strict

from rmc_dr.redact import Redactor
from rmc_dr.report import render as module
from rmc_dr.report.clean import LONGEST
from rmc_dr.report.render import Rendered, as_page, render

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
