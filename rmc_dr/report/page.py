"""The report as one HTML page: no script, no font, no picture from anywhere else; it prints on A4."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rmc_dr.i18n import _, language
from rmc_dr.report.data import Report, StageRow
from rmc_dr.report.text import exceptions, moment, particulars, troubles
from rmc_dr.retold import retold
from rmc_dr.words import (
    changed_word,
    duration,
    outcome_word,
    plan_title,
    printable,
    spoken_duration,
    stage_title,
    status_word,
)

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400)
_MOST_TICKS = 5
_TONES = {"recovered": "good", "done": "good", "failed": "bad", None: "open"}


@dataclass(frozen=True)
class Bar:
    """A piece of the timeline, in per cent of its width."""

    left: float
    width: float
    status: str


def templates() -> Environment:
    """The templates beside this; whatever they are given is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_=_)
    environment.filters.update(
        duration=duration,
        moment=moment,
        printable=printable,
        retold=retold,
        spoken=spoken_duration,
        stage_title=stage_title,
        status_word=status_word,
    )
    return environment


def as_html(report: Report) -> str:
    """The page, in the language of the operator."""
    scale = _scale(report)
    return (
        templates()
        .get_template("page.html")
        .render(
            report=report,
            lang=html_lang(language()),
            title=plan_title(report.plan),
            outcome=outcome_word(report.outcome),
            tone=_TONES.get(report.outcome, "warn"),
            changed=changed_word(report.changed),
            particulars=particulars(report),
            exceptions=exceptions(report),
            troubles=troubles(report),
            ticks=[(tick, 100 * tick / scale) for tick in _ticks(scale)],
            bars={stage.name: _bars(stage, scale) for stage in report.stages},
            budget_used={stage.name: _budget_used(stage) for stage in report.stages},
            gauge=_gauge(report),
            failed_checks=[check for check in report.checks if not check.good],
            facts=_facts(report.facts),
        )
    )


def html_lang(language: str) -> str:
    return "zh-CN" if language == "zh_CN" else "en"


def _scale(report: Report) -> float:
    """The seconds that the width of the timeline stands for."""
    return max(report.elapsed_seconds, 1.0)


def _ticks(scale: float) -> list[int]:
    step = next((step for step in _STEPS if scale / step <= _MOST_TICKS), 7 * 86400)
    return [step * number for number in range(int(scale // step) + 1)]


def _bars(stage: StageRow, scale: float) -> list[Bar]:
    return [
        Bar(100 * span.began / scale, max(0.4, 100 * (span.ended - span.began) / scale), span.status)
        for span in stage.spans
    ]


def _budget_used(stage: StageRow) -> float | None:
    if stage.seconds is None or not stage.budget_seconds:
        return None
    return 100 * stage.seconds / stage.budget_seconds


def _gauge(report: Report) -> dict[str, float] | None:
    """Time taken and time planned, in per cent of what the contract allows."""
    target = report.rto_target_seconds
    if not target:
        return None
    taken = report.elapsed_seconds if report.rto_seconds is None else report.rto_seconds
    return {
        "taken": min(100.0, 100 * taken / target),
        "plan": min(100.0, 100 * report.budget_seconds / target),
    }


def _facts(facts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (host, name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for host, values in sorted(facts.items())
        for name, value in sorted(values.items())
    ]
