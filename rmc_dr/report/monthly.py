"""The monthly report for the telephone conference. Pure: what `month` has gathered, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rmc_dr.history import RunState
from rmc_dr.i18n import _, language
from rmc_dr.incident.clocks import Reading
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.words import class_word, standing_word
from rmc_dr.report.document import Document, Figure, Pairs, Row, Section, Table, Tone, Words
from rmc_dr.report.held import CLOCK_TONES, day, drills, measured, verifications, when
from rmc_dr.report.inspection import TONES, all_risks, weight_word, where
from rmc_dr.report.month import Month
from rmc_dr.rounds.facts import Drill, Proof
from rmc_dr.rounds.proofs import proof, rehearsed
from rmc_dr.words import (
    consent_words,
    outcome_word,
    plan_title,
    release_state,
    spoken_duration,
    training_word,
)


def build(month: Month, made: datetime) -> Document:
    return Document(
        kind="monthly",
        about=month.window.name,
        title=_("Monthly report {month}").format(month=month.window.name),
        centre=month.terms.centre,
        made=made,
        timezone=month.terms.timezone,
        figures=_figures(month),
        sections=[
            _incidents(month),
            _availability(month),
            _runs(month),
            _releases(month),
            _backups(month),
            Section(_("Drills"), [drills(_drills(month), month.terms.timezone)]),
            _risks(month),
            _dates(month),
        ],
        data=_data(month),
        foot=_("From the records of this machine alone; no host was asked. What nobody kept is not in it."),
    )


def missed(month: Month) -> list[tuple[IncidentState, Reading]]:
    return [(state, one) for state, readings in month.incidents for one in readings if one.late]


def _drills(month: Month) -> list[Drill]:
    return rehearsed(month.drills, None)


def _proofs(month: Month) -> list[Proof]:
    return [proof(one) for one in month.entries if one.what == "verify"]


def _figures(month: Month) -> list[Figure]:
    late, proofs = len(missed(month)), _proofs(month)
    green = sum(one.good for one in proofs)
    tone = Tone.OPEN if not proofs else Tone.GOOD if green == len(proofs) else Tone.BAD
    return [
        Figure(_("Incidents"), str(len(month.incidents))),
        Figure(_("Clocks missed"), str(late), Tone.BAD if late else Tone.GOOD),
        Figure(
            _("Backups proven"),
            _("{done} of {all}").format(done=green, all=len(proofs)) if proofs else _("not done"),
            tone,
        ),
        Figure(_("Drills"), str(len(month.drills)) if month.drills else _("not done")),
    ]


def _incidents(month: Month) -> Section:
    zone = month.terms.timezone
    rows = [
        Row(
            (
                state.incident,
                class_word(state.nature.klass),
                when(state.noticed, zone),
                when(state.closed, zone) if state.closed else _("open"),
                state.title,
                state.cause or _("not done"),
            ),
            Tone.PLAIN if state.closed else Tone.OPEN,
        )
        for state, _readings in month.incidents
    ]
    clocks = [
        Row(
            (
                state.incident,
                one.clock.clause.said(language()),
                when(one.due, zone),
                when(one.stopped, zone) if one.stopped else "-",
                standing_word(one.standing),
            ),
            CLOCK_TONES[one.standing],
        )
        for state, readings in month.incidents
        for one in readings
    ]
    columns = (_("Incident"), _("Class"), _("Noticed"), _("Closed"), _("What"), _("Cause"))
    clock_columns = (_("Incident"), _("Clock"), _("Due"), _("Stopped"), _("Outcome"))
    return Section(
        _("Incidents and their clocks"),
        [Table(columns, rows, _("none")), Table(clock_columns, clocks, _("no clock ran"))],
    )


def _outages(month: Month) -> list[tuple[datetime, str, float | None]]:
    """When users were out, why, and for how many seconds, as far as a record proves it."""
    return sorted([*_of_deploys(month), *_of_incidents(month)], key=lambda one: one[0])


def _of_deploys(month: Month) -> Iterator[tuple[datetime, str, float | None]]:
    for row in month.releases:
        if row.before != row.release:
            yield (
                row.at,
                _("deploy of {app} {release}").format(app=row.application, release=row.release),
                row.users_out_seconds,
            )


def _of_incidents(month: Month) -> Iterator[tuple[datetime, str, float | None]]:
    for state, _readings in month.incidents:
        if state.noticed is None or not state.nature.affects_use:
            continue
        back = min(
            (state.reached[what] for what in ("running", "solved") if what in state.reached), default=None
        )
        seconds = (back - state.noticed).total_seconds() if back else None
        yield state.noticed, _("incident {incident}").format(incident=state.incident), seconds


def _availability(month: Month) -> Section:
    found = _outages(month)
    known = [seconds for _at, _why, seconds in found if seconds is not None]
    rows = [
        Row(
            (when(at, month.terms.timezone), why, measured(seconds)),
            Tone.OPEN if seconds is None else Tone.PLAIN,
        )
        for at, why, seconds in found
    ]
    pairs = [
        (_("Availability"), _("not measured: nobody asks the applications every minute")),
        (
            _("Users out, as far as records prove it"),
            spoken_duration(sum(known)) if known else _("not measured") if found else _("never recorded"),
        ),
    ]
    note = _(
        "A deploy measures how long users were out. An incident that holds up the users counts from its "
        "notice until somebody recorded that it runs again or is solved."
    )
    columns = (_("When"), _("Why"), _("Users out for"))
    return Section(_("Availability"), [Pairs(pairs), Table(columns, rows, _("none recorded")), Words(note)])


def _runs(month: Month) -> Section:
    def tone(run: RunState) -> Tone:
        if run.outcome in ("recovered", "done"):
            return Tone.GOOD
        return Tone.BAD if run.outcome == "failed" else Tone.OPEN

    rows = [
        Row(
            (
                when(run.started, month.terms.timezone),
                plan_title(run.plan),
                run.target,
                run.operator or _("not done"),
                spoken_duration(run.elapsed_seconds),
                outcome_word(run.outcome),
            ),
            tone(run),
        )
        for run in month.runs
    ]
    columns = (_("When"), _("What"), _("Where"), _("Operator"), _("Took"), _("Outcome"))
    return Section(_("Runs"), [Table(columns, rows, _("none"))])


def _releases(month: Month) -> Section:
    rows = [
        Row(
            (
                when(row.at, month.terms.timezone),
                f"{row.application} {row.before or '-'} → {row.release or '-'}",
                release_state(row.what, row.state),
                row.notes or _("not done"),
                training_word(row.training),
                consent_words(row.consent, row.without_consent),
            ),
            Tone.GOOD if row.state == "deployed" else Tone.WARN,
        )
        for row in month.releases
    ]
    columns = (_("When"), _("Release"), _("Outcome"), _("Notes"), _("Training"), _("Consent"))
    return Section(_("Releases"), [Table(columns, rows, _("none"))])


def _backups(month: Month) -> Section:
    def taken(what: str) -> str:
        good = [one.ok for one in month.entries if one.what == what]
        return _("{good} good, {bad} failed").format(good=sum(good), bad=len(good) - sum(good))

    proofs = _proofs(month)
    rpo = [one.rpo_seconds for one in proofs if one.rpo_seconds is not None]
    rto = [one.rto_estimate_seconds for one in proofs if one.rto_estimate_seconds is not None]
    pairs = [
        (_("Backups of the database"), taken("database")),
        (_("Backups of files"), taken("files")),
        (_("Verifications"), taken("verify")),
        (_("The longest RPO that was measured"), measured(max(rpo, default=None))),
        (_("The longest RTO that was estimated"), measured(max(rto, default=None))),
    ]
    return Section(_("Backups"), [Pairs(pairs), verifications(proofs, month.terms.timezone)])


def _open(month: Month) -> list[tuple[str, str, Tone]]:
    """Where, what, and how it is meant: everything that is not settled."""
    found = [
        (state.incident, _("the incident is open: {title}").format(title=state.title), Tone.BAD)
        for state, _readings in month.incidents
        if state.closed is None
    ]
    found += [
        (run, _("the run is open: `rmc-dr resume {run}`").format(run=run), Tone.BAD)
        for run in month.open_runs
    ]
    found += [(_("backups"), text, Tone.BAD) for text in month.red]
    found += [(name, _("the record is damaged, and tells nothing"), Tone.BAD) for name in month.damaged]
    if month.inspection is not None:
        found += [
            (where(one), f"{weight_word(one.weight)}: {one.said(language())}", TONES[one.weight])
            for one in all_risks(month.inspection)
        ]
    return found


def _risks(month: Month) -> Section:
    last = month.inspection
    since = (
        _("Risks are those of the inspection of {day}, and what the records tell since.").format(
            day=day(last.at, month.terms.timezone)
        )
        if last
        else _("Never inspected: only what the records tell by themselves.")
    )
    rows = [Row((where, what), tone) for where, what, tone in _open(month)]
    table = Table((_("Where"), _("What")), rows, _("none"))
    return Section(_("Open risks"), [Words(since, Tone.PLAIN if last else Tone.OPEN), table])


def _dates(month: Month) -> Section:
    rows = [
        Row(
            (day(one.at, month.terms.timezone), one.text),
            Tone.BAD if one.at < month.until else Tone.PLAIN,
        )
        for one in month.dates
    ]
    return Section(_("Dates of the month after"), [Table((_("Day"), _("What")), rows, _("none known"))])


def _data(month: Month) -> dict[str, Any]:
    return {
        "month": month.window.name,
        "estate": month.terms.estate,
        "from": month.window.begins.isoformat(),
        "until": month.until.isoformat(),
        "incidents": [_incident(state, readings) for state, readings in month.incidents],
        "runs": [
            {"run": run.run_id, "plan": run.plan, "target": run.target, "outcome": run.outcome}
            for run in month.runs
        ],
        "open_runs": list(month.open_runs),
        "releases": [
            {
                "run": row.run,
                "application": row.application,
                "release": row.release,
                "state": row.state,
                "training": row.training,
                "consent": dict(row.consent) if row.consent else None,
            }
            for row in month.releases
        ],
        "outages": [{"at": at.isoformat(), "seconds": seconds} for at, _why, seconds in _outages(month)],
        "availability": None,
        "verifications": [one.model_dump(mode="json") for one in _proofs(month)],
        "drills": [one.model_dump(mode="json") for one in _drills(month)],
        "inspections": [one.name for one in month.inspected],
        "risks": [one.model_dump(mode="json") for one in all_risks(month.inspection)]
        if month.inspection
        else None,
        "dates": [{"at": one.at.isoformat(), "what": one.code} for one in month.dates],
        "damaged": list(month.damaged),
    }


def _incident(state: IncidentState, readings: Sequence[Reading]) -> dict[str, Any]:
    return {
        "incident": state.incident,
        "class": state.nature.klass,
        "open": state.closed is None,
        "clocks": {one.clock.name: one.standing.value for one in readings},
    }
