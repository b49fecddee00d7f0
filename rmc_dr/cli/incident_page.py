"""How an incident is shown: as lines, as a table, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from rmc_dr.history import Event
from rmc_dr.i18n import _, language
from rmc_dr.incident.clocks import leading, read, year_without_holidays
from rmc_dr.incident.findings import table
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.record import Summary
from rmc_dr.incident.words import (
    class_word,
    clock_line,
    duty,
    findings_said,
    headline,
    kind_word,
    local,
    milestone_word,
    standing_word,
)
from rmc_dr.journal import plain
from rmc_dr.words import printable


def as_document(state: IncidentState, now: datetime) -> dict[str, Any]:
    """All of an incident for machines."""
    readings = read(state, now)
    first, nature = leading(readings), state.nature
    document: dict[str, Any] = plain(
        {
            "incident": state.incident,
            "estate": state.estate,
            "title": state.title,
            "opened": state.opened,
            "noticed": state.noticed,
            "closed": state.closed,
            "cause": state.cause or None,
            "class": nature.klass,
            "counts_as": state.counts_as,
            "affects_use": nature.affects_use,
            "kinds": sorted(nature.kinds),
            "findings": state.findings,
            "reached": state.reached,
            "runs": state.runs,
            "leading": first.clock.name if first else None,
            "clocks": [
                {
                    "name": one.clock.name,
                    "clause": one.clock.clause,
                    "standing": one.standing,
                    "started": one.started,
                    "due": one.due,
                    "stopped": one.stopped,
                    "percent": round(one.percent, 1),
                    "left_seconds": round(one.left.total_seconds()),
                }
                for one in readings
            ],
            "authorities": duty(state),
            "events": [{"time": event.time, "event": event.event, **event.fields} for event in state.events],
        }
    )
    return document


def as_lines(state: IncidentState, now: datetime) -> Iterator[str]:
    """What it is, its clocks, and what happened, in order."""
    nature, wording = state.nature, table().classes[state.counts_as].said(language())
    if state.open:
        yield headline(state, now)
    else:
        yield _("Incident {incident}, {klass}: closed").format(
            incident=state.incident, klass=class_word(nature.klass)
        )
    yield f"  {printable(state.title)}"
    yield "  " + _("Class: {klass} ({wording})").format(klass=class_word(nature.klass), wording=wording)
    if state.overruled:
        reason, by = state.overruled.get("reason", ""), state.overruled.get("operator", "")
        yield "  " + _("The rule was overruled by {operator}: {reason}").format(
            operator=printable(by), reason=printable(reason)
        )
    yield "  " + (_("It affects use.") if nature.affects_use else _("It does not affect use."))
    if nature.kinds:
        yield "  " + _("At fault: {kinds}").format(kinds=", ".join(map(kind_word, sorted(nature.kinds))))
    yield "  " + _("Found: {findings}").format(findings=findings_said(state.findings) or _("nothing yet"))
    if said := duty(state):
        yield f"  {said}"
    readings = read(state, now)
    if year := year_without_holidays(state, readings):
        yield "  " + _(
            "The calendar knows no holiday of {year}: working days may be counted wrongly."
        ).format(year=year)
    for reading in readings:
        yield f"  {standing_word(reading.standing)}  {clock_line(reading, state)}"
    for event in state.events:
        if line := tell(event):
            yield f"  {local(event.time, state)}  {line}"


def tell(event: Event) -> str | None:
    """One event as a line; None for what is not worth one."""
    field = {name: printable(value) for name, value in event.fields.items()}
    match event.event:
        case "incident-opened":
            return _("opened by {operator}").format(operator=field["operator"])
        case "classified":
            return _("classified: {findings}").format(
                findings=findings_said(event.get("findings") or ()) or event.get("class") or "-"
            )
        case "note":
            return field.get("text", "")
        case "milestone":
            return f"{milestone_word(event.fields['what'])}: {field.get('text', '')}"
        case "run-attached":
            return _("run {run}").format(run=field["run"])
        case "attached":
            return ", ".join(f"{name} {value}" for name, value in field.items())
        case "clock-warned":
            return _("clock {clock}: {percent} per cent of its time is gone").format(
                clock=field["clock"], percent=field["percent"]
            )
        case "clock-breached":
            return _("clock {clock} is BREACHED").format(clock=field["clock"])
        case "notice-sent":
            return _("news {number} reached {to}").format(number=field["notice"], to=field["to"])
        case "notice-failed":
            return _("news {number} did not reach {to}").format(number=field["notice"], to=field["to"])
        case "notice":
            return _("news {number}: {title}").format(number=event.seq, title=field["title"])
        case "incident-closed":
            return _("closed by {operator}: {cause}").format(
                operator=field.get("operator", ""), cause=field.get("cause", "")
            )
        case "journal-repaired":
            return _("the record's last line was torn; it is cut off")
    return None


def as_rows(found: Sequence[Summary]) -> Table:
    rows = Table(_("Incident"), _("Class"), _("Opened"), _("Closed"), box=None)
    for one in found:
        state = one.state
        if one.damaged or state.opened is None:
            rows.add_row(one.incident, _("damaged"), "", "")
        else:
            closed = local(state.closed, state) if state.closed else _("open")
            rows.add_row(one.incident, class_word(state.nature.klass), local(state.opened, state), closed)
    return rows


def as_table() -> Table:
    rows = Table(_("Code"), _("Class"), _("Affects use"), _("What was found"), box=None)
    for code, finding in table().findings.items():
        affects = _("yes") if finding.affects_use else _("no")
        rows.add_row(code, class_word(finding.klass), affects, finding.said(language()))
    return rows
