"""An incident told: each event as a line for people, all of it as a document for machines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rmc_dr.history import Event
from rmc_dr.i18n import _, catalogue, language
from rmc_dr.incident.clocks import leading, read
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.words import (
    class_word,
    duty,
    findings_said,
    happening_word,
    milestone_word,
    topic_word,
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
                    "clause": one.clock.clause.said(language()),
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


def tell(event: Event) -> str | None:
    """One event as a line; None for what is not worth one."""
    field = {name: printable(value) for name, value in event.fields.items()}
    match event.event:
        case "incident-opened":
            return _("opened by {operator}").format(operator=field["operator"])
        case "classified":
            return _("classified: {findings}").format(
                findings=findings_said(event.get("findings") or ())
                or (class_word(event.get("class")) if event.get("class") else "-")
            )
        case "note":
            return _topical(event, field.get("text", ""))
        case "milestone":
            text = _topical(event, field.get("text", ""))
            return f"{milestone_word(event.fields['what'])}: {text}".removesuffix(": ")
        case "run-attached":
            return _("run {run}").format(run=field["run"])
        case "attached":
            return _attached(event)
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


def _topical(event: Event, text: str) -> str:
    """A note, with the point of the report that it is for."""
    topic = event.get("about")
    return f"{topic_word(topic)}: {text}" if topic else text


def _attached(event: Event) -> str:
    """What attached itself; what has no words of its own is told by its fields."""
    field = {name: printable(value) for name, value in event.fields.items()}
    match event.get("what"):
        case "evidence":
            return _("evidence {id}: {files} files").format(id=field["id"], files=field.get("files", "?"))
        case "drill":
            said = _("drill {id}: passed") if event.get("passed") is True else _("drill {id}: FAILED")
            return said.format(id=field.get("id", "?"))
        case "diagnosis":
            return _("diagnosis {tree} of {host}: {leaf}").format(
                tree=field.get("tree", "?"), host=field.get("host", "?"), leaf=field.get("leaf", "?")
            )
        case "alarm":
            return alarm_said(event)
        case "report":
            kind = field.get("kind", "")
            title = {"incident": _("Incident report"), "progress": _("Progress report")}.get(kind, kind)
            return f"{title} {field['id']}"
        case "audit":
            return _("audit of {entries} entries; first error: {first}").format(
                entries=field.get("entries", "?"),
                first=first_error(event.get("first_error")) or _("none in this window"),
            )
    return f"{field.pop('what')}: {said_by_fields(event)}"


def alarm_said(event: Event) -> str:
    """An alarm of the watch by its code, which docs/runbooks/check.md explains."""
    host, code = printable(event.get("host") or ""), printable(event.get("code", "?"))
    named = f"{code} ({host})" if host else code
    over = event.get("state") == "over"
    return (_("alarm is over: {alarm}") if over else _("alarm: {alarm}")).format(alarm=named)


def first_error(told: Any) -> str:
    """What an audit found first, in the words of who reads it; a text as it is, as older records keep it."""
    if not isinstance(told, Mapping):
        return printable(told or "")
    what, caught = str(told.get("what") or "?"), told.get("caught")
    said = catalogue(language()).gettext(what)
    for name, word in caught.items() if isinstance(caught, Mapping) else ():
        said = said.replace(f"{{{name}}}", str(word))
    return printable(f"{told.get('host')} {happening_word(str(told.get('kind')))}: {said}")


def said_by_fields(event: Event) -> str:
    """The fields that say something, as they are."""
    return "; ".join(
        f"{name}: {', '.join(map(printable, value)) if isinstance(value, list) else printable(value)}"
        for name, value in event.fields.items()
        if name != "what" and value not in (None, "", [], {})
    )
