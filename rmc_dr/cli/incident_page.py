"""How an incident is shown: as lines and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.table import Table

from rmc_dr.console import name_column
from rmc_dr.i18n import _, language
from rmc_dr.incident.clocks import read, year_without_holidays
from rmc_dr.incident.findings import table
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.record import Summary
from rmc_dr.incident.told import tell
from rmc_dr.incident.words import (
    class_word,
    clock_line,
    duty,
    findings_said,
    headline,
    kind_word,
    local,
    standing_word,
)
from rmc_dr.words import printable


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


def as_rows(found: Sequence[Summary]) -> Table:
    rows = Table(name_column(_("Incident")), _("Class"), _("Opened"), _("Closed"), box=None)
    for one in found:
        state = one.state
        if one.damaged or state.opened is None:
            rows.add_row(one.incident, _("damaged"), "", "")
        else:
            closed = local(state.closed, state) if state.closed else _("open")
            rows.add_row(one.incident, class_word(state.nature.klass), local(state.opened, state), closed)
    return rows


def as_table() -> Table:
    rows = Table(name_column(_("Code")), _("Class"), _("Affects use"), _("What was found"), box=None)
    for code, finding in table().findings.items():
        affects = _("yes") if finding.affects_use else _("no")
        rows.add_row(code, class_word(finding.klass), affects, finding.said(language()))
    return rows
