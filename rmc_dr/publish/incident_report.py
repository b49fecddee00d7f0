"""The incident report, from the incident's journal and what it names: nothing is typed again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmc_dr.diagnose.tree import trees
from rmc_dr.history import Event
from rmc_dr.i18n import _, language
from rmc_dr.incident.clocks import Reading, Standing
from rmc_dr.incident.findings import table
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.terms import Topic
from rmc_dr.incident.told import alarm_said, as_document, first_error, said_by_fields, tell
from rmc_dr.incident.words import (
    class_word,
    duty,
    findings_said,
    kind_word,
    local,
    milestone_word,
    standing_word,
    time_left,
    topic_word,
)
from rmc_dr.publish.facts import Collection, Facts, Run, plain_facts
from rmc_dr.report.document import (
    Block,
    Document,
    Figure,
    Pairs,
    Row,
    Section,
    Span,
    Table,
    TimeChart,
    Tone,
    Words,
)
from rmc_dr.report.held import CLOCK_TONES, drill_title, passed_word, when
from rmc_dr.words import (
    changed_word,
    lsn,
    outcome_word,
    plan_title,
    release_state,
    size,
    spoken_duration,
    stage_title,
)

CLASS_TONES = {"general": Tone.OPEN, "major": Tone.WARN, "critical": Tone.BAD}
OWN = ("evidence", "audit", "report", "drill")  # attached things that have a section of their own, or none


def build(facts: Facts) -> Document:
    state = facts.state
    return Document(
        kind="incident",
        about=state.incident,
        title=_("Incident report"),
        centre=state.centre,
        made=facts.now,
        timezone=state.timezone,
        figures=_figures(facts),
        sections=[
            Section(_("In short"), [_short(facts)]),
            Section(topic_word("scope"), _noted(state, "scope")),
            Section(topic_word("effect"), [*_noted(state, "effect"), _effect(facts)]),
            Section(_("Nature and class"), [_nature(state)]),
            Section(topic_word("trend"), [*_noted(state, "trend"), _chart(facts), _course(state)]),
            Section(_("Measures taken"), _measures(facts)),
            Section(_("Clocks"), [_clocks(facts)]),
            Section(_("What was found"), [_findings(facts)]),
            Section(_("Cause"), [Words(state.cause or _("not done"))]),
            Section(topic_word("loss"), [*_noted(state, "loss"), _loss(facts)]),
            Section(topic_word("plan-change"), _noted(state, "plan-change")),
            Section(_("Releases around it"), [_releases(facts)]),
            Section(_("Evidence"), list(_evidence(facts.evidence))),
        ],
        data={**as_document(state, facts.now), **plain_facts(facts)},
        foot=_(
            "Made by rmc-dr from the record of the incident {incident} alone. What nobody did, measured or "
            'wrote down is printed as "not done".'
        ).format(incident=state.incident),
    )


def class_figure(state: IncidentState) -> Figure:
    return Figure(_("Class"), class_word(state.nature.klass), CLASS_TONES[state.counts_as])


def run_end(run: Run) -> str:
    return outcome_word(run.report.outcome) if run.report else _("its record is not here")


def _figures(facts: Facts) -> list[Figure]:
    state, readings = facts.state, facts.readings
    late = sum(one.late for one in readings)
    met = sum(one.standing is Standing.MET for one in readings)
    runs = len(readings) - late - met
    parts = [_("{count} met").format(count=met), _("{count} missed").format(count=late)]
    parts += [_("{count} still run").format(count=runs)] if runs else []
    lasted = (facts.until - state.noticed).total_seconds() if state.noticed else None
    label = _("From notice to solution") if "solved" in state.reached else _("Since notice")
    return [
        class_figure(state),
        Figure(_("Clocks"), ", ".join(parts), Tone.BAD if late else Tone.GOOD if met else Tone.OPEN),
        Figure(label, spoken_duration(lasted)),
    ]


def _short(facts: Facts) -> Pairs:
    state = facts.state

    zone = state.timezone
    return Pairs(
        [
            (_("What was reported"), state.title or _("not done")),
            (_("Estate"), state.estate),
            (_("Noticed"), when(state.noticed, zone)),
            (_("Opened"), f"{when(state.opened, zone)}, {state.operator}"),
            *((milestone_word(what), when(state.reached.get(what), zone)) for what in ("answered", "solved")),
            (_("Closed"), when(state.closed, zone)),
            (_("Cause"), state.cause or _("not done")),
            (_("Duty to report"), duty(state) or _("none for such a fault")),
        ]
    )


def _noted(state: IncidentState, topic: Topic) -> list[Block]:
    """What somebody wrote on this point, each with when and by whom."""
    notes = state.said(topic)
    if not notes:
        return [Words(_("not done"))]
    return [
        Words(f"{note.get('text')} ({local(note.time, state)}, {note.get('operator', '')})") for note in notes
    ]


def _effect(facts: Facts) -> Words:
    if facts.state.nature.affects_use:
        return Words(_("By class and findings it affects the users' daily work."))
    return Words(_("By class and findings it does not affect the users' daily work."))


def _nature(state: IncidentState) -> Pairs:
    nature, ruled = state.nature, state.overruled
    how = _("by rule, out of what was found")
    if ruled:
        how = _("the rule was overruled by {operator}: {reason}").format(
            operator=ruled.get("operator", ""), reason=ruled.get("reason", "")
        )
    return Pairs(
        [
            (_("Class"), class_word(nature.klass)),
            (_("In the contract's words"), table().classes[state.counts_as].said(language())),
            (_("How it was decided"), how),
            (_("Found"), findings_said(state.findings) or _("not done")),
            (_("At fault"), ", ".join(map(kind_word, sorted(nature.kinds))) or _("not done")),
        ]
    )


def _chart(facts: Facts) -> TimeChart:
    """The fault, every clock with its deadline, and every run, under one axis."""
    state = facts.state
    spans = []
    if state.noticed:
        ended = facts.until if "solved" in state.reached else None
        spans.append(Span(_("the fault"), state.noticed, ended, tone=CLASS_TONES[state.counts_as]))
    spans += [
        Span(one.clock.clause.said(language()), one.started, one.stopped, one.due, CLOCK_TONES[one.standing])
        for one in facts.readings
    ]
    spans += [
        Span(f"{plan_title(run.plan)}: {run.target}", run.report.started, run.report.finished)
        for run in facts.runs
        if run.report and run.report.started
    ]
    return TimeChart(_("The fault, the contract's clocks and the runs"), spans)


def _course(state: IncidentState) -> Table:
    """Every line of the journal that says something; who was told is counted, not listed."""
    quiet = ("notice", "notice-sent", "notice-failed", "terms")
    lines = [(event, tell(event)) for event in state.events if event.event not in quiet]
    rows = [
        Row([local(event.time, state), line, str(event.get("operator", ""))], _tone(event))
        for event, line in lines
        if line
    ]
    return Table([_("When"), _("What"), _("By")], rows, _("not done"))


def _tone(event: Event) -> Tone:
    return Tone.BAD if event.event == "clock-breached" else Tone.PLAIN


def _measures(facts: Facts) -> list[Block]:
    state = facts.state
    columns = [_("Began"), _("What"), _("On"), _("How it ended"), _("Took"), _("Run")]
    rows = []
    for run in facts.runs:
        report = run.report
        began = when(report.started if report else None, facts.state.timezone)
        took = spoken_duration(report.elapsed_seconds) if report else _("not done")
        good = report is not None and report.outcome in ("recovered", "done")
        cells = [began, plan_title(run.plan), run.target, run_end(run), took, run.name]
        rows.append(Row(cells, Tone.GOOD if good else Tone.WARN))
    blocks: list[Block] = [Table(columns, rows, _("not done"))]
    stages = [
        Row([run.target, stage_title(stage.name), spoken_duration(stage.seconds)])
        for run in facts.runs
        for stage in (run.report.stages if run.report else ())
        if stage.attempts
    ]
    if stages:
        blocks.append(Table([_("On"), _("Stage"), _("Took")], stages, _("not done")))
    if state.attached("drill"):
        blocks.append(_drills(state))
    told = {str(event.get("to")) for event in state.deliveries if event.event == "notice-sent"}
    blocks.append(
        Words(
            _("{count} pieces of news; they reached: {receivers}.").format(
                count=len(state.notices), receivers=", ".join(sorted(told)) or _("nobody")
            )
        )
    )
    return blocks


def _drills(state: IncidentState) -> Table:
    """Drills that ended meanwhile: also those that have no run, as when Patroni alone recovered."""
    rows = []
    for event in state.attached("drill"):
        good = event.get("passed") is True
        numbers = [str(event.get(name, "?")) for name in ("rto_minutes", "lost", "duplicated")]
        cells = [local(event.time, state), drill_title(str(event.get("drill"))), str(event.get("host"))]
        named = str(event.get("id", "?"))
        rows.append(Row([*cells, *numbers, passed_word(good), named], Tone.GOOD if good else Tone.BAD))
    columns = [_("When"), _("Rehearsed"), _("On"), _("RTO, minutes"), _("Lost"), _("Duplicated")]
    return Table([*columns, _("Outcome"), _("Drill")], rows, _("not done"))


def _clocks(facts: Facts) -> Table:
    state = facts.state

    def row(one: Reading) -> Row:
        ended = local(one.stopped, state) if one.stopped else time_left(one.left)
        cells = [one.clock.clause.said(language()), local(one.started, state), local(one.due, state), ended]
        return Row([*cells, standing_word(one.standing)], CLOCK_TONES[one.standing])

    columns = [_("The contract says"), _("Began"), _("Due"), _("Stopped"), _("State")]
    return Table(columns, [row(one) for one in facts.readings], _("no clock runs"))


def _findings(facts: Facts) -> Table:
    """What was classified, what diagnoses and the watch of `check` attached, and what a run's checks found
    wrong. A look of `check` itself attaches nothing: it only reads."""
    state = facts.state
    rows = [
        Row([local(event.time, state), _("classified"), findings_said(event.get("findings") or ())])
        for event in state.events
        if event.event == "classified" and event.get("findings")
    ]
    rows += [
        Row([local(event.time, state), *_attached(event)])
        for event in state.events
        if event.event == "attached" and event.get("what") not in OWN
    ]
    for run in facts.runs:
        wrong = [one for one in (run.report.checks if run.report else ()) if not one.good]
        rows += [Row([run.name, _("check"), f"{one.name}: {one.detail}"], Tone.BAD) for one in wrong]
    return Table([_("When"), _("From"), _("What")], rows, _("not done"))


def _attached(event: Event) -> tuple[str, str]:
    """Where a finding comes from, and what it says: a diagnosis in the words of its leaf."""
    if event.get("what") == "alarm":
        return _("watch"), alarm_said(event)
    leaf = trees().leaves.get(str(event.get("leaf")))
    if event.get("what") != "diagnosis" or leaf is None:
        return str(event.get("what")), said_by_fields(event)
    said = _("{host}: {what}. Proved: {proved} ({way})").format(
        host=event.get("host"),
        what=leaf.what.said(language()),
        proved=leaf.proved.said(language()),
        way=event.get("way"),
    )
    return _("diagnosis: {tree}").format(tree=event.get("tree")), said


def _loss(facts: Facts) -> Table:
    """What audits assessed and what restores told."""
    rows = [
        Row([local(event.time, facts.state), _("audit"), line])
        for event in facts.state.attached("audit")
        for line in _assessed(event)
    ]
    for run in facts.runs:
        if run.report and run.report.restored:
            short = spoken_duration(run.report.restored.short_seconds)
            text = _("restored to {newest}; {short} of stored WAL did not come back").format(
                newest=run.report.restored.newest or _("not told"), short=short
            )
            rows.append(Row([run.name, _("restore"), text]))
    return Table([_("When"), _("From"), _("What")], rows, _("No audit and no restore assessed it."))


def _assessed(event: Event) -> Iterator[str]:
    wal = event.get("wal") or {}
    if wal.get("bytes") is None:
        yield _("WAL that no archive holds: unknown (newest {newest}).").format(newest=lsn(wal.get("newest")))
    else:
        yield _("WAL that no archive holds: {size}; {host} holds it.").format(
            size=size(wal["bytes"]), host=wal.get("holder")
        )
    for one in event.get("attachments") or ():
        counts = [one.get("rows_without_file"), one.get("files_without_row")]
        missing, orphaned = (_("unknown") if count is None else str(count) for count in counts)
        yield _(
            "Attachments of {application}: {missing} rows without a file, {orphaned} files without a row."
        ).format(application=one.get("application"), missing=missing, orphaned=orphaned)
    if first := first_error(event.get("first_error")):
        yield _("First error: {first}").format(first=first)


def _releases(facts: Facts) -> Table:
    rows = [
        Row(
            [
                local(row.at, facts.state),
                row.application,
                row.release,
                release_state(row.what, row.state),
                row.operator,
                row.notes or _("not done"),
            ],
            Tone.WARN if facts.state.noticed and row.at >= facts.state.noticed else Tone.PLAIN,
        )
        for row in facts.releases
    ]
    columns = [_("When"), _("Application"), _("Release"), _("What came of it"), _("By"), _("Release notes")]
    return Table(columns, rows, _("none deployed from this machine"))


def _evidence(collections: Sequence[Collection]) -> Iterator[Block]:
    if not collections:
        yield Words(_("not done"))
    for one in collections:
        rows = [
            (_("Collection"), one.id),
            (_("Manifest (SHA-256)"), str(one.said.get("manifest_sha256") or _("not done"))),
            (_("Files"), f"{one.said.get('files', 0)}, {size(int(one.said.get('bytes', 0)))}"),
            (
                _("Locked copy in the store"),
                changed_word({True: "yes", False: "no", None: "unknown"}[one.copied]),
            ),
        ]
        if one.index is not None:
            rows.append((_("Kept by"), str(one.index.about.get("operator", ""))))
        yield Pairs(rows)
        if one.index is None:
            yield Words(_("Its index is not on this machine."))
            continue
        yield Table(
            [_("File"), _("Size"), "SHA-256", _("May hold patients' data")],
            [
                Row([piece.file, size(piece.bytes), piece.sha256, _("yes") if piece.patient else ""])
                for piece in one.index.had
            ],
            _("not done"),
        )
