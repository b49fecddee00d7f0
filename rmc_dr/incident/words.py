"""An incident in words: its class, its clocks, its news. No free text of an operator's is in news."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rmc_dr.history import Event
from rmc_dr.i18n import _, language
from rmc_dr.incident.clocks import Alarm, Reading, Standing, leading, read
from rmc_dr.incident.findings import table
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.record import open_incident
from rmc_dr.incident.terms import Class, Kind, Milestone
from rmc_dr.words import outcome_word, plan_title, spoken_duration, stage_title


def class_word(klass: Class | None) -> str:
    if klass is None:
        return _("not classified, counts as critical")
    return {"general": _("general"), "major": _("major"), "critical": _("critical")}[klass]


def kind_word(kind: Kind) -> str:
    return {
        "hardware": _("hardware"),
        "system": _("system software"),
        "application": _("application"),
        "database": _("database"),
        "network": _("network"),
        "data": _("data"),
    }[kind]


def milestone_word(what: Milestone) -> str:
    return {
        "answered": _("answered"),
        "plan": _("technical plan written"),
        "agreed": _("handling agreed"),
        "running": _("running again"),
        "solved": _("solved"),
    }[what]


def topic_word(topic: str) -> str:
    """A point of the report that a note is for."""
    return {
        "scope": _("Scope of the fault"),
        "effect": _("Scope of its effect"),
        "trend": _("Course and trend"),
        "loss": _("Loss"),
        "plan-change": _("Changes to the plan"),
        "next": _("What comes next"),
        "team": _("Who is on it"),
    }.get(topic, topic)


def happening_word(kind: str) -> str:
    """What sort of thing a line of an audit's timeline is."""
    return {
        "login": _("login"),
        "sudo": "sudo",
        "restart": _("restart"),
        "error": _("error"),
        "connection-failure": _("connection failure"),
        "replication": _("replication"),
    }.get(kind, kind)


def standing_word(standing: Standing) -> str:
    return {
        Standing.RUNNING: _("runs"),
        Standing.BREACHED: _("BREACHED"),
        Standing.MET: _("met"),
        Standing.MISSED: _("missed"),
    }[standing]


def local(when: datetime, state: IncidentState) -> str:
    """A moment by the centre's clock."""
    return when.astimezone(ZoneInfo(state.timezone)).strftime("%Y-%m-%d %H:%M")


def time_left(left: timedelta) -> str:
    seconds = left.total_seconds()
    if seconds >= 0:
        return _("{time} left").format(time=spoken_duration(seconds))
    return _("over by {time}").format(time=spoken_duration(-seconds))


def clock_line(reading: Reading, state: IncidentState) -> str:
    if reading.stopped is not None:
        return _("{clock}: stopped {stopped}, due {due}").format(
            clock=reading.clock.name, stopped=local(reading.stopped, state), due=local(reading.due, state)
        )
    return _("{clock}: {left}, due {due}").format(
        clock=reading.clock.name, left=time_left(reading.left), due=local(reading.due, state)
    )


def headline(state: IncidentState, now: datetime) -> str:
    """The one line that stands above all: the open incident's class, and its leading clock."""
    first = leading(read(state, now))
    return _("Incident {incident}, {klass}: {clock}").format(
        incident=state.incident,
        klass=class_word(state.nature.klass),
        clock=clock_line(first, state) if first else _("no clock runs"),
    )


def open_line(estate: str) -> str | None:
    """The headline of an estate's open incident; None where there is none. Raises OSError."""
    state = open_incident(estate)
    return headline(state, datetime.now(UTC)) if state else None


def duty(state: IncidentState) -> str | None:
    """The centre's duty to report to the authorities, where it has one for such a fault."""
    terms, nature = state.terms, state.nature
    if terms is None or state.noticed is None or (to := terms.authorities) is None:
        return None
    if not to.when.fits(state.counts_as, nature.affects_use, nature.kinds):
        return None
    return _("Report it to {authority} within {hours:g} h: by {due}.").format(
        authority=to.to.said(language()),
        hours=to.hours,
        due=local(state.noticed + timedelta(hours=to.hours), state),
    )


def findings_said(codes: Sequence[str]) -> str:
    known = table().findings
    return "; ".join(known[code].said(language()) if code in known else code for code in codes)


def titled(centre: str, what: str) -> str:
    return f"{centre}: {what}"


def news_opened(state: IncidentState) -> str:
    return _("Incident opened, {klass}").format(klass=class_word(state.nature.klass))


def news_classified(state: IncidentState) -> str:
    return _("Incident is now {klass}").format(klass=class_word(state.nature.klass))


def news_closed(state: IncidentState, readings: Sequence[Reading]) -> str:
    missed = [reading.clock.name for reading in readings if reading.standing is Standing.MISSED]
    if missed:
        return _("Incident closed, clocks missed: {clocks}").format(clocks=", ".join(missed))
    return _("Incident closed, every clock met") if state.reached else _("Incident closed")


def news_alarm(alarm: Alarm) -> str:
    name = alarm.reading.clock.name
    if alarm.breach:
        return _("Clock {clock} is BREACHED").format(clock=name)
    return _("Clock {clock}: {percent} per cent of its time is gone").format(
        clock=name, percent=alarm.percent
    )


def news_watch(over: bool, alarms: str) -> str:
    """An alarm of the watch, raised or over."""
    return (_("Alarm is over: {alarms}") if over else _("Alarm: {alarms}")).format(alarms=alarms)


def news_stage(plan: str, event: Event) -> str:
    """How a stage ended, or the run."""
    if event.event == "run-finished":
        outcome = outcome_word(str(event.get("outcome")))
        return _("{plan} ends: {outcome}").format(plan=plan_title(plan), outcome=outcome)
    stage = stage_title(str(event.get("name")))
    seconds = spoken_duration(float(event.get("seconds", 0)))
    said = _("{plan}: {stage} done after {time}") if event.get("status") == "ok" else _(
        "{plan}: {stage} did NOT end well, after {time}"
    )  # fmt: skip
    return said.format(plan=plan_title(plan), stage=stage, time=seconds)


def news_text(state: IncidentState, now: datetime) -> str:
    """What stands below each title: what was found, every clock, and the duty to report."""
    readings = read(state, now)
    found = findings_said(state.findings) or _("nothing yet")
    lines = [headline(state, now), _("Found: {findings}").format(findings=found)]
    lines += [
        f"- {clock_line(one, state)} ({one.clock.clause.said(language())})" for one in readings if one.ticks
    ]
    lines += [said for said in (duty(state),) if said]
    return "\n".join(lines)
