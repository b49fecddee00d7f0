"""The progress report: one page for hospital and project team, while a fault lasts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.cells import cell_len, chop_cells

from rmc_dr.history import Event
from rmc_dr.i18n import _, language
from rmc_dr.incident.clocks import Reading, leading
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.terms import Topic
from rmc_dr.incident.told import as_document, tell
from rmc_dr.incident.words import duty, findings_said, local, milestone_word, standing_word, time_left
from rmc_dr.publish.facts import Facts, Run, plain_facts
from rmc_dr.publish.incident_report import class_figure, run_end
from rmc_dr.redact import Redactor
from rmc_dr.report.document import Document, Figure, Pairs, Row, Section, Table, Tone
from rmc_dr.report.held import CLOCK_TONES
from rmc_dr.report.render import render
from rmc_dr.words import plan_title, printable, spoken_duration, stage_title

ROOM = (10, 8, 6, 4, 2, 1)  # lines of what was done: as many as one page takes
LONGEST = 88  # columns of one line; a Chinese character takes two
TOLD = ("incident-opened", "milestone", "note", "clock-breached", "incident-closed")


def build(facts: Facts, next_report: datetime | None, room: int) -> Document:
    """With at most ``room`` lines of what was done, and as many clocks."""
    state = facts.state
    return Document(
        kind="progress",
        about=state.incident,
        title=_("Progress report"),
        centre=state.centre,
        made=facts.now,
        timezone=state.timezone,
        figures=_figures(facts),
        sections=[
            Section(_("State now"), [_state(facts)]),
            Section(_("Clocks"), [_clocks(facts, room)]),
            Section(_("What was done"), [_done(facts, room)]),
            Section(_("What comes next"), [_next(facts, next_report)]),
        ],
        data={
            **as_document(state, facts.now),
            **plain_facts(facts),
            "next_report": next_report,
        },
        foot=_("Made by rmc-dr from the record of the incident {incident} alone.").format(
            incident=state.incident
        ),
    )


def on_one_page(facts: Facts, next_report: datetime | None) -> Document:
    """With as many lines as one page of paper takes, by the fonts of this machine."""
    for room in ROOM:
        document = build(facts, next_report, room)
        if render(document, Redactor(())).pages <= 1:
            break
    return document


def short(text: str) -> str:
    """On one line, and no longer than one."""
    flat = printable(text)
    return flat if cell_len(flat) <= LONGEST else chop_cells(flat, LONGEST - 1)[0] + "…"


def _figures(facts: Facts) -> list[Figure]:
    state, first = facts.state, leading(facts.readings)
    clock = Figure(_("Clocks"), _("no clock runs"), Tone.GOOD)
    if first:
        clock = Figure(
            short(first.clock.clause.said(language())),
            time_left(first.left),
            Tone.BAD if first.late else Tone.WARN,
        )
    since = spoken_duration((facts.until - state.noticed).total_seconds()) if state.noticed else _("not done")
    return [class_figure(state), clock, Figure(_("Since notice"), since)]


def _state(facts: Facts) -> Pairs:
    state = facts.state
    affects = _("It affects use.") if state.nature.affects_use else _("It does not affect use.")
    rows = [
        (_("What was reported"), short(state.title)),
        (_("Found"), short(findings_said(state.findings)) or _("not done")),
        (_("Effect"), short(f"{affects} {_last(state, 'effect')}")),
        (_("State"), _standing(state)),
        (_("At work"), "; ".join(map(_going, _open_runs(facts))) or _("no run is going")),
        (_("Who is on it"), short(_people(facts))),
    ]
    if said := duty(state):
        rows.append((_("Duty to report"), short(said)))
    return Pairs(rows)


def _standing(state: IncidentState) -> str:
    if not state.open:
        return _("closed: {cause}").format(cause=short(state.cause) or _("not done"))
    last = max(state.reached, key=lambda what: state.reached[what], default=None)
    if last is None:
        return _("open, not answered yet")
    return f"{milestone_word(last)}, {local(state.reached[last], state)}"


def _open_runs(facts: Facts) -> list[Run]:
    return [run for run in facts.runs if run.state is not None and run.state.outcome is None]


def _going(run: Run) -> str:
    said = f"{plan_title(run.plan)}: {run.target}"
    if run.state is None or run.state.current is None:
        return said
    done, whole = len(run.state.completed), len(run.state.stages)
    stage = stage_title(run.state.current)
    return _("{run}, at “{stage}” ({done} of {whole} stages done)").format(
        run=said, stage=stage, done=done, whole=whole
    )


def _people(facts: Facts) -> str:
    """Who was named last, else whoever did something."""
    if named := _last(facts.state, "team"):
        return named
    names = [str(event.get("operator", "")) for event in facts.state.events]
    names += [run.state.operator for run in facts.runs if run.state]
    return ", ".join(dict.fromkeys(name for name in names if name)) or _("not done")


def _clocks(facts: Facts, room: int) -> Table:
    state = facts.state
    running = sorted((one for one in facts.readings if one.ticks), key=lambda one: one.due)

    def row(one: Reading) -> Row:
        cells = [short(one.clock.clause.said(language())), local(one.due, state), time_left(one.left)]
        return Row([*cells, standing_word(one.standing)], CLOCK_TONES[one.standing])

    columns = [_("The contract says"), _("Due"), _("Left"), _("State")]
    return Table(columns, [row(one) for one in running[: min(room, 5)]], _("no clock runs"))


def _done(facts: Facts, room: int) -> Table:
    """The newest first; what finds no room is counted."""
    told = sorted(_happened(facts), key=lambda one: one[0], reverse=True)
    rows = [Row([local(when, facts.state), short(text)]) for when, text in told[:room]]
    if earlier := len(told) - len(rows):
        rows.append(
            Row(["", _("... and {count} earlier; the incident report has them all").format(count=earlier)])
        )
    return Table([_("When"), _("What")], rows, _("not done"))


def _happened(facts: Facts) -> Iterator[tuple[datetime, str]]:
    for event in facts.state.events:
        if _counts(event) and (line := tell(event)):
            yield event.time, line
    for run in facts.runs:
        for stage in run.state.stages if run.state else ():
            if stage.finished and stage.status == "ok":
                said = _("{plan}: {stage} done").format(
                    plan=plan_title(run.plan), stage=stage_title(stage.name)
                )
                yield stage.finished, said
        if run.state and run.state.finished:
            yield run.state.finished, f"{plan_title(run.plan)}: {run_end(run)}"


def _counts(event: Event) -> bool:
    return event.event in TOLD and event.get("about") not in ("next", "team", "effect")


def _next(facts: Facts, next_report: datetime | None) -> Pairs:
    left = [
        stage_title(stage.name)
        for run in _open_runs(facts)
        for stage in (run.state.stages if run.state else ())
        if stage.status != "ok"
    ]
    rows = [(_("Next"), short(_last(facts.state, "next")) or _("not done"))]
    if left:
        rows.append((_("Still to run"), short(", ".join(left))))
    said = local(next_report, facts.state) if next_report else _("not done")
    return Pairs([*rows, (_("Next report"), said)])


def _last(state: IncidentState, topic: Topic) -> str:
    notes = state.said(topic)
    return str(notes[-1].get("text")) if notes else ""
