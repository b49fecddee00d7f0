"""The inspection report, from an inspection's record and those before it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rmc_dr.i18n import _, language
from rmc_dr.report.document import (
    Document,
    Figure,
    Pairs,
    Row,
    Section,
    Table,
    Tick,
    Ticks,
    Tone,
    Words,
)
from rmc_dr.report.held import agreed, day, measured, signatures, when
from rmc_dr.report.inspection_advice import Advice, advice
from rmc_dr.report.inspection_parts import capacity_section, kept_sections, machine_sections
from rmc_dr.rounds.compare import Compared, by_weight, compare
from rmc_dr.rounds.facts import Facts, Risk, Weight
from rmc_dr.rounds.history import Inspection, Item, Mark
from rmc_dr.spoken import spoken

TONES: Mapping[Weight, Tone] = {"critical": Tone.BAD, "unknown": Tone.OPEN, "warning": Tone.WARN}


@dataclass(frozen=True)
class _Read:
    """One inspection and the one before it, put beside each other."""

    it: Inspection
    facts: Facts
    at: datetime
    before: Inspection | None
    risks: tuple[Risk, ...]
    compared: Compared
    advice: tuple[Advice, ...]


def build(inspection: Inspection, earlier: Sequence[Inspection], made: datetime) -> Document:
    """``earlier`` are the inspections before it, newest first. Raises ValueError for one without a look."""
    if inspection.facts is None or inspection.at is None:
        raise ValueError(inspection.name)
    before = earlier[0] if earlier else None
    risks = all_risks(inspection)
    read = _Read(
        inspection,
        inspection.facts,
        inspection.at,
        before,
        risks,
        compare(risks, all_risks(before) if before else ()),
        advice(inspection, risks),
    )
    zone = inspection.timezone
    return Document(
        kind="inspection",
        about=inspection.name,
        title=_("Inspection report"),
        centre=inspection.centre,
        made=made,
        timezone=zone,
        figures=_figures(read),
        sections=[
            _scope(read),
            _results(read),
            _advice(read),
            _unresolved(read),
            *machine_sections(inspection),
            capacity_section([*reversed(earlier), inspection], zone),
            *kept_sections(inspection),
            _by_hand(read),
            _unseen(read),
            signatures(),
        ],
        data=_data(read),
        foot=_("From the record of the inspection alone; what nobody filled in is printed as not done."),
    )


def all_risks(inspection: Inspection) -> tuple[Risk, ...]:
    """What was seen, and what was found at fault by hand since."""
    by_hand = [
        Risk(
            weight="warning",
            code=f"item-{item.name}",
            area="by hand",
            en=f"{item.en}: {mark.remark}",
            zh=f"{item.zh}：{mark.remark}",
        )
        for item, mark in inspection.faulty
    ]
    return by_weight([*(inspection.facts.risks if inspection.facts else ()), *by_hand])


def weight_word(weight: Weight) -> str:
    return {"critical": _("critical"), "unknown": _("unknown"), "warning": _("warning")}[weight]


def where(risk: Risk) -> str:
    """The machine, or else the part of the estate that it is about."""
    return risk.host or {
        "network": _("network"),
        "appserver": _("application server"),
        "database": _("database"),
        "backups": _("backups"),
        "kit": _("kit"),
        "timers": _("timers"),
        "untested": _("not tested"),
        "by hand": _("by hand"),
    }.get(risk.area, risk.area)


def _figures(read: _Read) -> list[Figure]:
    worst = read.risks[0].weight if read.risks else None
    done = len(read.it.items) - len(read.it.open_items)
    proven, last = read.facts.backups.proven, read.facts.drills[-1] if read.facts.drills else None
    return [
        Figure(
            _("Unresolved risks"),
            str(len(read.risks)),
            TONES[worst] if worst else Tone.GOOD,
        ),
        Figure(
            _("Backups last proven"),
            day(proven.at if proven else None, read.it.timezone),
            Tone.GOOD if proven else Tone.OPEN,
        ),
        Figure(
            _("RTO of the last drill"),
            measured(60 * last.rto_minutes) if last else _("not done"),
            Tone.OPEN if last is None else Tone.GOOD if last.passed else Tone.BAD,
        ),
        Figure(
            _("Looked at by hand"),
            _("{done} of {all}").format(done=done, all=len(read.it.items)),
            Tone.WARN if read.it.faulty else Tone.GOOD if done == len(read.it.items) else Tone.OPEN,
        ),
    ]


def _scope(read: _Read) -> Section:
    it, zone = read.it, read.it.timezone
    answered = [one.name for one in read.facts.servers if one.answer == "system"]
    rows = [
        (_("Inspection"), it.name),
        (_("When"), when(read.at, zone)),
        (_("Operator"), it.operator or _("not done")),
        (_("Control machine"), it.host or _("not done")),
        (_("rmc-dr version"), it.tool_version or _("not done")),
        (
            _("Machines"),
            _("{answered} of {all} let themselves be looked at").format(
                answered=len(answered), all=len(read.facts.servers)
            ),
        ),
        (_("The hospital's consent"), agreed(it.consents.get("inspection"))),
        (
            _("Compared with"),
            f"{when(read.before.at, zone)} ({read.before.name})"
            if read.before
            else _("nothing: it is the first inspection on record"),
        ),
    ]
    looked = _(
        "Looked at, and nothing changed: the network between the machines, processes, ports, log-in, load, "
        "memory, disks, clocks and certificates, the database pair, backups, kit and timers, the versions of "
        "all software, and what waits to be brought in. Printers and report plug-ins are looked at by hand."
    )
    return Section(_("Scope"), [Pairs(rows), Words(looked)])


def _results(read: _Read) -> Section:
    counts = {weight: sum(risk.weight == weight for risk in read.risks) for weight in TONES}
    lines = [
        Words(_("Nothing is unresolved."), Tone.GOOD)
        if not read.risks
        else Words(
            _("Unresolved: {critical} critical, {unknown} unknown, {warning} to be watched.").format(
                **counts
            ),
            TONES[read.risks[0].weight],
        )
    ]
    if read.before is None:
        lines.append(Words(_("There is no inspection before it to compare with."), Tone.OPEN))
        return Section(_("Results"), lines)
    compared = read.compared
    said = _("Since the inspection before: {new} new, {still} still there, {gone} gone.").format(
        new=len(compared.new), still=len(compared.still), gone=len(compared.gone)
    )
    gone = Table(
        (_("Gone since the inspection before"), _("Where")),
        [Row((one.said(language()), where(one)), Tone.GOOD) for one in compared.gone],
        _("nothing"),
    )
    return Section(_("Results"), [*lines, Words(said), *([gone] if compared.gone else [])])


def _advice(read: _Read) -> Section:
    rows = [Row((one.text, one.because), one.tone) for one in read.advice]
    table = Table((_("What to do"), _("Because of")), rows, _("nothing: go on as before"))
    return Section(_("Advice"), [table])


def _unresolved(read: _Read) -> Section:
    new = {risk.key for risk in read.compared.new}

    def since(risk: Risk) -> str:
        if read.before is None:
            return "-"
        return _("new") if risk.key in new else _("still there")

    rows = [
        Row(
            (weight_word(one.weight), where(one), one.said(language()), one.code, since(one)),
            TONES[one.weight],
        )
        for one in read.risks
    ]
    columns = (_("Weight"), _("Where"), _("What"), _("Code"), _("Since the one before"))
    return Section(_("Unresolved risks, in order of weight"), [Table(columns, rows, _("none"))])


def _by_hand(read: _Read) -> Section:
    title = _("Looked at by hand")
    if not read.it.items:
        words = _("not done: the estate names nothing that is looked at by hand (inspection.items)")
        return Section(title, [Words(words, Tone.OPEN)])
    return Section(title, [Ticks([_tick(item, read.it.marks.get(item.name)) for item in read.it.items])])


def _tick(item: Item, mark: Mark | None) -> Tick:
    said = item.said(language())
    return Tick(said, mark.good, mark.remark) if mark else Tick(said, remark=_("not done"))


def _unseen(read: _Read) -> Section:
    rows = [Row((what, spoken(why)), Tone.OPEN) for what, why in sorted(read.facts.unseen.items())]
    return Section(_("What could not be seen"), [Table((_("What"), _("Why")), rows, _("nothing"))])


def _data(read: _Read) -> dict[str, Any]:
    it = read.it

    def told(risks: Sequence[Risk]) -> list[dict[str, Any]]:
        return [risk.model_dump(mode="json") for risk in risks]

    return {
        "inspection": it.name,
        "estate": it.estate,
        "at": read.at.isoformat(),
        "operator": it.operator,
        "consents": {what: one.model_dump(mode="json") for what, one in it.consents.items()},
        "compared_with": read.before.name if read.before else None,
        "risks": told(read.risks),
        "new": [one.code for one in read.compared.new] if read.before else None,
        "still": [one.code for one in read.compared.still] if read.before else None,
        "gone": told(read.compared.gone) if read.before else None,
        "advice": [{"code": one.code, "because": one.because} for one in read.advice],
        "items": {
            item.name: it.marks[item.name].model_dump(mode="json") if item.name in it.marks else None
            for item in it.items
        },
        "facts": read.facts.model_dump(mode="json", exclude={"risks"}),
    }
