"""A report with every kind of block, in either language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rmc_dr.i18n import speaking
from rmc_dr.report.document import (
    Document,
    Figure,
    Line,
    Pairs,
    Row,
    Section,
    Span,
    Table,
    Tick,
    Ticks,
    TimeChart,
    Tone,
    TrendChart,
    Words,
)  # fmt: skip

BEGAN = datetime(2026, 11, 25, 2, 10, tzinfo=UTC)
RARE = "王𬭶 㛃 喆 𠅤"  # Ext E, Ext A, an ordinary one, Ext B
TEXTS = {
    "zh": {"title": "季度巡检报告", "centre": "某某医院生殖医学中心", "said": f"登录失败。负责人：{RARE}。"},
    "en": {"title": "Quarterly inspection", "centre": "A Centre", "said": f"Nobody could log in. {RARE}."},
}


def document(lang: str = "en", said: str = "", kind: str = "inspection") -> Document:
    """``said`` stands in every place that takes words."""
    text = {name: said or value for name, value in TEXTS[lang].items()}
    with speaking(lang):
        return Document(
            kind=kind,
            about="2026-Q4",
            title=text["title"],
            centre=text["centre"],
            made=BEGAN + timedelta(hours=9),
            timezone="Asia/Shanghai",
            figures=[Figure(text["title"], text["said"], Tone.BAD), Figure("A", "1")],
            sections=[
                Section(text["title"], [Pairs([("A", text["said"])]), Words(text["said"], Tone.WARN)]),
                Section("T", [Table(["a", "b"], [Row([text["said"], "x" * 90], Tone.BAD)], "-")]),
                Section("T", [Table(["a", "b"], [], text["title"])]),
                Section("I", [Ticks([Tick(text["said"]), Tick("b", True, "c"), Tick("d", False)])]),
                Section("C", [TimeChart(text["title"], _spans(text["said"])), trends(text["said"])]),
                Section(text["title"], []),
            ],
            data={"said": text["said"], "deep": [{"said": text["said"]}]},
            foot=text["title"],
        )


def _spans(label: str) -> list[Span]:
    return [
        Span(label, BEGAN, BEGAN + timedelta(minutes=3), BEGAN + timedelta(minutes=15), Tone.GOOD),
        Span("open", BEGAN, None, BEGAN - timedelta(hours=1), Tone.BAD),
        Span("nothing", BEGAN, BEGAN),
    ]


def trends(label: str) -> TrendChart:
    many = [(BEGAN + timedelta(days=day), 40.0 + day) for day in range(30)]
    return TrendChart(
        "c", [Line(label, "%", many, 60), Line("b", "GB", []), Line("one", "s", [(BEGAN, 0.0)])]
    )
