"""The story of an incident: opened, classified, noted, watched, closed; whoever must know is told."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rmc_dr import notify, outbox, schedule
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.estate_secrets import addresses, known
from rmc_dr.i18n import _, speaking
from rmc_dr.incident import attach, news, record, words
from rmc_dr.incident.clocks import Alarm, alarms, read
from rmc_dr.incident.findings import table
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.terms import Class, Kind, Milestone, Topic
from rmc_dr.journal import Journal
from rmc_dr.record import newest_run

LONGEST_TEXT = 4000
OLDEST = timedelta(days=366)


def start(
    estate: Estate,
    title: str,
    findings: Sequence[str],
    kinds: Sequence[Kind] = (),
    noticed: datetime | None = None,
) -> IncidentState:
    """Open an incident. Raises BadInput, and Refused while one of the estate is open.

    ``noticed`` is when the centre gave notice: the contract counts from then.
    """
    now = datetime.now(UTC)
    _refuse_unknown(findings)
    _refuse_odd_zone(estate)
    if noticed is not None and now - noticed > OLDEST:
        raise BadInput(
            "too-long-ago",
            _("{time} is more than a year ago.").format(time=noticed.isoformat(timespec="minutes")),
            _("Write the time as it is now, and in the note what was before."),
        )
    secrets = known(estate)
    about = {
        "centre": estate.config.centre,
        "language": estate.config.language,
        "timezone": estate.config.timezone,
        "inventory": str(estate.inventory),
        "operator": getpass.getuser(),
        "title": _text(title),
        "noticed": noticed or now,
        "terms": _terms(estate),
    }
    incident = record.create(estate.name, secrets, about)
    if findings or kinds:
        with record.held(incident, secrets) as journal:
            _write_class(journal, findings, kinds)
    run = newest_run(estate.name)
    if run is not None and run.open and run.state.outcome is None:  # begun before anybody opened one
        attach.join(estate.name, run.run_id, run.state.plan, run.state.target)
    with record.held(incident, secrets) as journal:
        state = record.read(incident)
        news.write(journal, state, "opened", lambda: words.news_opened(state))
    return _carried(state)


def classify(
    estate: Estate,
    findings: Sequence[str] = (),
    kinds: Sequence[Kind] = (),
    klass: Class | None = None,
    affects_use: bool | None = None,
    reason: str = "",
) -> IncidentState:
    """Add what was found; the class follows by rule. ``klass`` and ``affects_use`` stand above the rule, with
    a reason. Raises BadInput.
    """
    current(estate)
    _refuse_unknown(findings)
    overrules = klass is not None or affects_use is not None
    if overrules and not reason.strip():
        raise BadInput(
            "no-reason",
            _("Who overrules the class by rule says why."),
            _('Add --reason "...": the report shows it.'),
        )
    if not (overrules or findings or kinds):
        raise BadInput(
            "nothing-found",
            _("Nothing was said of the fault."),
            _("Give --finding, --kind, --class or --affects-use; `rmc-dr incident findings` has codes."),
        )
    ruled = {"class": klass, "affects_use": affects_use, "reason": _text(reason)} if overrules else {}
    with _held(estate) as (journal, before):
        if affects_use is False and (klass or before.counts_as) == "critical":
            raise BadInput(
                "critical-affects-use",
                _("A critical fault affects use, says the contract."),
                _("Overrule its class as well: --class major."),
            )
        if before.terms != estate.config.incident:
            journal.append("terms", terms=_terms(estate))
        _write_class(journal, findings, kinds, **ruled)
        state = record.read(before.incident)
        if state.nature == before.nature:
            return state
        news.write(journal, state, "classified", lambda: words.news_classified(state))
    return _carried(state)


def note(
    estate: Estate,
    text: str,
    reached: Milestone | None = None,
    at: datetime | None = None,
    *,
    topic: Topic | None = None,
    incident: str = "",
) -> IncidentState:
    """Add a note; ``reached`` stops the clocks that wait for it, ``at`` is when it was. Raises BadInput.

    ``topic`` is the point of the report that it is for; ``incident`` names another than the open one: what
    only comes to light afterwards is noted where it belongs.
    """
    with _held(estate, incident) as (journal, state):
        _write_note(journal, state, text, reached, at, topic)
        return record.read(state.incident)


def _write_note(
    journal: Journal,
    state: IncidentState,
    text: str,
    reached: Milestone | None,
    at: datetime | None,
    topic: Topic | None = None,
) -> None:
    if reached is not None and not state.open:
        raise BadInput(
            "incident-closed",
            _("The incident {incident} is closed: its clocks have stopped.").format(incident=state.incident),
            _("Add the note without --reached; the report shows it."),
        )
    if at is not None and state.noticed and at < state.noticed:
        raise BadInput(
            "before-notice",
            _("{time} is before the fault was noticed.").format(time=words.local(at, state)),
            _("It was noticed at {time}.").format(time=words.local(state.noticed, state)),
        )
    about = {"operator": getpass.getuser(), "text": _text(text)}
    if topic is not None:
        about["about"] = topic
    if reached is None:
        journal.append("note", **about)
    else:
        journal.append("milestone", what=reached, at=at or datetime.now(UTC), **about)


def close(estate: Estate, cause: str, solved_at: datetime | None = None) -> IncidentState:
    """Close the incident: solved, now or at ``solved_at``, unless that was noted before. Raises BadInput."""
    current(estate)
    if not cause.strip():
        raise BadInput(
            "no-cause",
            _("An incident is closed with its cause."),
            _("Write in a few words what it was, or that nobody found it."),
        )
    with _held(estate) as (journal, before):
        if "solved" not in before.reached:
            _write_note(journal, before, "", "solved", solved_at)  # a reader's language says it
        journal.append("incident-closed", cause=_text(cause), operator=getpass.getuser())
        state = record.read(before.incident)
        readings = read(state, datetime.now(UTC))
        news.write(journal, state, "closed", lambda: words.news_closed(state, readings))
    return _carried(state)


def watch(estate: Estate) -> list[Alarm]:
    """Look at the open incident's clocks, tell what is near its breach or over, and carry news that waits.

    Raises Error. Returns what was told now.
    """
    opened = record.open_incident(estate.name)
    found: list[Alarm] = []
    if opened is not None:
        with record.held(opened.incident, known(estate)) as journal:
            state = record.read(opened.incident)
            found = _alarms(state, datetime.now(UTC)) if state.open else []
            _announce(journal, state, found)
    outbox.deliver(estate.name, addresses(estate), patience=0)
    return found


def reach(estate: Estate) -> dict[str, bool]:
    """Send a word to every receiver; by label, who took it. Raises BadInput where nobody is named."""
    if not addresses(estate):
        raise BadInput(
            "no-address",
            _("The vault names nobody who could be told."),
            _("Write addresses to vault.notify.addresses; docs/runbooks/incident.md shows them."),
        )
    with speaking(estate.config.language):
        title = words.titled(estate.config.centre, _("a test"))
        text = _("This is a test: rmc-dr reaches you. Nothing has happened.")
    return notify.send_all(addresses(estate), title, text)


def current(estate: Estate) -> IncidentState:
    """The open incident. Raises BadInput where there is none."""
    state = record.open_incident(estate.name)
    if state is None:
        raise _none_open(estate)
    return state


@contextmanager
def _held(estate: Estate, name: str = "") -> Iterator[tuple[Journal, IncidentState]]:
    """The open incident, or the one of that name, and its journal for as long as the block lasts: what is
    decided by the one and written into the other is one step. Raises BadInput, Error or Locked.
    """
    secrets = known(estate)
    incident = record.find(name) if name else current(estate).incident
    with record.held(incident, secrets) as journal:
        state = record.read(incident)
        if not (name or state.open):  # another command has just closed it
            raise _none_open(estate)
        yield journal, state


def _none_open(estate: Estate) -> BadInput:
    return BadInput(
        "no-incident",
        _("No incident of the estate {estate} is open.").format(estate=estate.name),
        _("Open one: `rmc-dr incident open WHAT --finding CODE`."),
    )


def is_watched(estate: Estate) -> bool:
    """Whether a timer looks at the clocks while nobody runs a command."""
    return any(timer.job == "incident" and timer.installed for timer in schedule.status(estate))


def _carried(state: IncidentState) -> IncidentState:
    """Send out the news that was just written; returns the incident as it stands with them."""
    news.carry(state.inventory)
    return record.read(state.incident)


def _alarms(state: IncidentState, now: datetime) -> list[Alarm]:
    return alarms(read(state, now), state.terms, state.told) if state.terms else []


def _announce(journal: Journal, state: IncidentState, found: Sequence[Alarm]) -> None:
    for alarm in found:
        clock = alarm.reading.clock
        if alarm.breach:
            journal.append("clock-breached", clock=clock.name, due=alarm.reading.due)
        else:
            journal.append("clock-warned", clock=clock.name, percent=alarm.percent, due=alarm.reading.due)
        news.write(journal, state, "alarm", partial(words.news_alarm, alarm))


def _write_class(journal: Journal, findings: Sequence[str], kinds: Sequence[Kind], **ruled: Any) -> None:
    journal.append(
        "classified", findings=list(findings), kinds=list(kinds), operator=getpass.getuser(), **ruled
    )


def _terms(estate: Estate) -> dict[str, Any]:
    return estate.config.incident.model_dump(mode="json")


def _text(text: str) -> str:
    return text.strip()[:LONGEST_TEXT]


def _refuse_odd_zone(estate: Estate) -> None:
    try:
        ZoneInfo(estate.config.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadInput(
            "estate-invalid",
            _("There is no time zone {zone}.").format(zone=estate.config.timezone),
            _("Write it as in Asia/Shanghai."),
        ) from None


def _refuse_unknown(findings: Sequence[str]) -> None:
    codes = table().findings
    if unknown := [code for code in findings if code not in codes]:
        raise BadInput(
            "unknown-finding",
            _("There is no finding {code}.").format(code=unknown[0]),
            _("`rmc-dr incident findings` lists them: {codes}.").format(codes=", ".join(codes)),
        )
