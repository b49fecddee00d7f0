"""The story of an incident: opened, classified, noted, watched, closed; whoever must know is told."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
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
        _write_class(incident, secrets, findings, kinds)
    run = newest_run(estate.name)
    if run is not None and run.open and run.state.outcome is None:  # begun before anybody opened one
        attach.join(estate.name, run.run_id, run.state.plan, run.state.target)
    state = record.read(incident)
    return _tell(state, "opened", lambda: words.news_opened(state), secrets)


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
    before, secrets = current(estate), known(estate)
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
    if affects_use is False and (klass or before.counts_as) == "critical":
        raise BadInput(
            "critical-affects-use",
            _("A critical fault affects use, says the contract."),
            _("Overrule its class as well: --class major."),
        )
    if before.terms != estate.config.incident:
        record.append(before.incident, secrets, "terms", terms=_terms(estate))
    ruled = {"class": klass, "affects_use": affects_use, "reason": _text(reason)} if overrules else {}
    _write_class(before.incident, secrets, findings, kinds, **ruled)
    state = record.read(before.incident)
    if state.nature == before.nature:
        return state
    return _tell(state, "classified", lambda: words.news_classified(state), secrets)


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
    state = record.read(record.find(incident)) if incident else current(estate)
    secrets, now = known(estate), datetime.now(UTC)
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
        record.append(state.incident, secrets, "note", **about)
    else:
        record.append(state.incident, secrets, "milestone", what=reached, at=at or now, **about)
    return record.read(state.incident)


def close(estate: Estate, cause: str, solved_at: datetime | None = None) -> IncidentState:
    """Close the incident: solved, now or at ``solved_at``, unless that was noted before. Raises BadInput."""
    state, secrets = current(estate), known(estate)
    if not cause.strip():
        raise BadInput(
            "no-cause",
            _("An incident is closed with its cause."),
            _("Write in a few words what it was, or that nobody found it."),
        )
    if "solved" not in state.reached:
        state = note(estate, "", "solved", solved_at)  # who reads it says that it is solved, in his language
    record.append(state.incident, secrets, "incident-closed", cause=_text(cause), operator=getpass.getuser())
    state = record.read(state.incident)
    return _tell(state, "closed", lambda: words.news_closed(state, read(state, datetime.now(UTC))), secrets)


def watch(estate: Estate) -> list[Alarm]:
    """Look at the open incident's clocks, tell what is near its breach or over, and carry news that waits.

    Raises Error. Returns what was told now.
    """
    state = record.open_incident(estate.name)
    found: list[Alarm] = []
    if state is not None:
        found = _alarms(state, datetime.now(UTC))
        _announce(state, found, known(estate))
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
        raise BadInput(
            "no-incident",
            _("No incident of the estate {estate} is open.").format(estate=estate.name),
            _("Open one: `rmc-dr incident open WHAT --finding CODE`."),
        )
    return state


def is_watched(estate: Estate) -> bool:
    """Whether a timer looks at the clocks while nobody runs a command."""
    return any(timer.job == "incident" and timer.installed for timer in schedule.status(estate))


def _tell(state: IncidentState, kind: str, say: Callable[[], str], secrets: frozenset[str]) -> IncidentState:
    news.write(state, kind, say, secrets)
    news.carry(state.inventory)
    return record.read(state.incident)


def _alarms(state: IncidentState, now: datetime) -> list[Alarm]:
    return alarms(read(state, now), state.terms, state.told) if state.terms else []


def _announce(state: IncidentState, found: Sequence[Alarm], secrets: frozenset[str]) -> None:
    for alarm in found:
        clock = alarm.reading.clock
        if alarm.breach:
            record.append(state.incident, secrets, "clock-breached", clock=clock.name, due=alarm.reading.due)
        else:
            record.append(
                state.incident, secrets, "clock-warned", clock=clock.name, percent=alarm.percent,
                due=alarm.reading.due,
            )  # fmt: skip
        news.write(state, "alarm", partial(words.news_alarm, alarm), secrets)


def _write_class(
    incident: str, secrets: frozenset[str], findings: Sequence[str], kinds: Sequence[Kind], **ruled: Any
) -> None:
    record.append(
        incident, secrets, "classified", findings=list(findings), kinds=list(kinds),
        operator=getpass.getuser(), **ruled,
    )  # fmt: skip


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
