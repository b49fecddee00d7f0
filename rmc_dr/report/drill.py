"""The report of one drill: what it measured against what is promised, and against the drills before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from rmc_dr.drill_record import DrillResult
from rmc_dr.i18n import _
from rmc_dr.report.data import Report
from rmc_dr.report.document import (
    Block,
    Document,
    Figure,
    Line,
    Pairs,
    Row,
    Section,
    Span,
    Table,
    TimeChart,
    Tone,
    TrendChart,
    Words,
)
from rmc_dr.report.held import drill_title, drills, measured, minutes, passed_word, signatures, when
from rmc_dr.rounds.proofs import rehearsed
from rmc_dr.words import drill_part, duration, stage_title, status_word

CHARTED_LIMIT = 10  # times the highest value
TONES = {"ok": Tone.GOOD, "failed": Tone.BAD, "running": Tone.OPEN}


@dataclass(frozen=True)
class Targets:
    """What is promised, and where."""

    centre: str
    timezone: str
    rto_hours: float
    rpo_minutes: float


@dataclass(frozen=True)
class _Read:
    result: DrillResult
    earlier: Sequence[DrillResult]
    run: Report | None
    targets: Targets

    @property
    def rto_met(self) -> bool:
        return self.result.rto_minutes <= 60 * self.targets.rto_hours

    @property
    def rpo_met(self) -> bool:
        return self.result.rpo_seconds <= 60 * self.targets.rpo_minutes


def build(
    result: DrillResult, kept: Sequence[DrillResult], run: Report | None, targets: Targets, made: datetime
) -> Document:
    """``kept`` are all drills of this machine; ``run`` is the record of what rmc-dr did in this one."""
    earlier = [one for one in kept if _kind(one) == _kind(result) and one.at < result.at]
    read = _Read(result, earlier, run, targets)
    return Document(
        kind="drill",
        about=result.name,
        title=_("Drill report"),
        centre=targets.centre,
        made=made,
        timezone=targets.timezone,
        figures=_figures(read),
        sections=[_what(read), _measured(read), _stages(read), _trend(read), _failed(read), signatures()],
        data=_data(read),
        foot=_("From the records of the drill alone. A drill is the same plan and engine, run in the lab."),
    )


def _kind(one: DrillResult) -> tuple[str, str]:
    return one.drill, one.broke


def _figures(read: _Read) -> list[Figure]:
    one = read.result
    lost = one.lost + one.attachments_missing
    return [
        Figure(_("Outcome"), passed_word(one.passed), Tone.GOOD if one.passed else Tone.BAD),
        Figure("RTO", minutes(one.rto_minutes), Tone.GOOD if read.rto_met else Tone.BAD),
        Figure("RPO", measured(one.rpo_seconds), Tone.GOOD if read.rpo_met else Tone.WARN),
        Figure(_("Lost"), str(lost), Tone.GOOD if not lost else Tone.WARN if one.passed else Tone.BAD),
    ]


def _what(read: _Read) -> Section:
    one = read.result
    rows = [
        (_("Rehearsed"), drill_title(one.drill)),
        (_("Broken"), f"{one.host}: {one.broke}"),
        (_("When"), when(one.began, read.targets.timezone)),
        (_("Operator"), (read.run.operator if read.run else "") or _("not done")),
        (_("Record of the run"), one.run or _("none: the pair recovered by itself")),
        (_("Drills of this kind before"), str(len(read.earlier))),
    ]
    words = _(
        "Users were at work through every application while it broke. What was acknowledged to them was "
        "compared afterwards with what the databases and the disks hold."
    )
    return Section(_("What was rehearsed"), [Pairs(rows), Words(words)])


def _measured(read: _Read) -> Section:
    one = read.result
    allowed = _("{count}, of these {allowed} after what any backup could hold, or by choice")

    def row(label: str, value: str, target: str, good: bool) -> Row:
        said = _("target met") if good else _("target MISSED")
        return Row((label, value, target, said), Tone.GOOD if good else Tone.BAD)

    lost_more = one.lost - one.lost_allowed + one.attachments_missing - one.attachments_allowed
    held = [
        row("RTO", minutes(one.rto_minutes), minutes(60 * read.targets.rto_hours), read.rto_met),
        row("RPO", measured(one.rpo_seconds), minutes(read.targets.rpo_minutes), read.rpo_met),
        row(_("Lost, of what could have been kept"), str(max(0, lost_more)), "0", lost_more <= 0),
        row(_("Duplicated"), str(one.duplicated), "0", one.duplicated == 0),
    ]
    counts = [
        (_("Outage as the users saw it"), measured(one.outage_seconds)),
        *((drill_part(name), measured(part)) for name, part in one.split.items()),
        (_("Writes acknowledged before the break"), str(one.acknowledged_before_break)),
        (_("Writes acknowledged in all"), str(one.acknowledged)),
        (_("Sent, and never answered"), _("{count}, of which {present} are there").format(
            count=one.unknown, present=one.unknown_present)),
        (_("Writes lost"), allowed.format(
            count=one.lost, allowed=one.lost_allowed)),
        (_("Attachments acknowledged"), str(one.attachments_acknowledged)),
        (_("Attachments missing"), allowed.format(
            count=one.attachments_missing, allowed=one.attachments_allowed)),
    ]  # fmt: skip
    columns = (_("What"), _("Measured"), _("Promised"), _("Outcome"))
    return Section(
        _("Measured, and held against what is promised"), [Table(columns, held, "-"), Pairs(counts)]
    )


def _stages(read: _Read) -> Section:
    title = _("Stages and their budgets")
    if read.run is None or read.run.started is None:
        return Section(
            title, [Words(_("No stages: nobody had to do anything, or their record is gone."), Tone.OPEN)]
        )
    started = read.run.started
    spans = [
        Span(
            stage_title(stage.name),
            started + timedelta(seconds=one.began),
            started + timedelta(seconds=one.ended),
            started + timedelta(seconds=one.began + stage.budget_seconds) if stage.over_budget else None,
            TONES.get(one.status, Tone.WARN),
        )
        for stage in read.run.stages
        for one in stage.spans
    ]
    rows = [
        Row(
            (
                stage_title(stage.name),
                status_word(stage.status),
                duration(stage.seconds),
                duration(stage.budget_seconds),
                _("over its budget") if stage.over_budget else "-",
            ),
            Tone.WARN if stage.over_budget else TONES.get(stage.status, Tone.OPEN),
        )
        for stage in read.run.stages
    ]
    columns = (_("Stage"), _("Outcome"), _("Took"), _("Budget"), _("Remark"))
    chart = TimeChart(
        _("Each attempt at each stage; a mark is where the budget of one ended that took longer"), spans
    )
    return Section(title, [*([chart] if spans else []), Table(columns, rows, _("not done"))])


def _trend(read: _Read) -> Section:
    shown = [*read.earlier, read.result]
    moments = [one.began for one in shown]
    series = (
        ("RTO", "min", [one.rto_minutes for one in shown], 60 * read.targets.rto_hours),
        ("RPO", "s", [one.rpo_seconds for one in shown], 60 * read.targets.rpo_minutes),
        (_("Outage as the users saw it"), "s", [one.outage_seconds for one in shown], 0.0),
    )
    lines = [
        Line(label, unit, [*zip(moments, values, strict=True)], _worth_showing(values, limit))
        for label, unit, values, limit in series
    ]
    usual = median(one.rto_minutes for one in read.earlier) if read.earlier else None
    if not usual:
        said = Words(
            _("The first drill of its kind on this machine: there is nothing to compare with."), Tone.OPEN
        )
    else:
        said = Words(
            _(
                "The RTO is {change:+.0f} % against the median of {count} drills of its kind ({usual})."
            ).format(
                change=100 * (read.result.rto_minutes / usual - 1),
                count=len(read.earlier),
                usual=minutes(usual),
            )
        )
    blocks: list[Block] = [TrendChart(_("Drills of this kind"), lines), said]
    if read.earlier:
        blocks.append(drills(rehearsed([*reversed(read.earlier)], None), read.targets.timezone))
    return Section(_("Trend"), blocks)


def _worth_showing(values: Sequence[float], limit: float) -> float | None:
    """A limit that is far off would flatten the line; what is promised stands in the table as well."""
    return limit if 0 < limit <= CHARTED_LIMIT * max(values) else None


def _failed(read: _Read) -> Section:
    run, rows = read.run, []
    if not read.result.passed:
        text = _("Something was lost that could have been kept, or doubled.")
        rows.append(Row((_("drill"), text), Tone.BAD))
    if run is not None:
        bad = [one for one in run.checks if not one.good]
        told = [*((one, Tone.WARN) for one in run.failures), *((one, Tone.BAD) for one in bad)]
        rows += [Row((stage_title(one.stage), f"{one.name}: {one.detail}"), tone) for one, tone in told]
        if run.reason:
            rows.append(Row((_("the run"), run.reason), Tone.BAD))
    table = Table((_("Where"), _("What")), rows, _("nothing failed"))
    return Section(_("What failed"), [table])


def _data(read: _Read) -> dict[str, Any]:
    return {
        **asdict(read.result),
        "passed": read.result.passed,
        "rto_target_hours": read.targets.rto_hours,
        "rpo_target_minutes": read.targets.rpo_minutes,
        "rto_met": read.rto_met,
        "rpo_met": read.rpo_met,
        "earlier": [one.name for one in read.earlier],
        "stages": [
            {
                "name": stage.name,
                "status": stage.status,
                "seconds": stage.seconds,
                "budget": stage.budget_seconds,
            }
            for stage in (read.run.stages if read.run else ())
        ],
    }
