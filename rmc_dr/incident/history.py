"""What the events of an incident amount to: the pure reading of its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any, get_args
from zoneinfo import ZoneInfo

from rmc_dr.history import Event
from rmc_dr.incident.attached import judge as judge_attached
from rmc_dr.incident.findings import Nature, judge, table, worst
from rmc_dr.incident.terms import CLASSES, Class, Kind, Milestone, Terms, Topic

BREACH = 100  # percent of a clock's time
FIRST_YEAR, LAST_YEAR = 2000, 3000


@dataclass(frozen=True)
class IncidentState:
    """An incident as its events tell it. ``reached`` says when; ``told`` are the alarms given so far."""

    incident: str = ""
    estate: str = ""
    centre: str = ""
    language: str = "en"
    timezone: str = "UTC"
    inventory: str = ""
    operator: str = ""
    title: str = ""
    opened: datetime | None = None
    noticed: datetime | None = None
    closed: datetime | None = None
    cause: str = ""
    terms: Terms | None = None
    findings: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    overruled: Event | None = None
    found_since: tuple[str, ...] = ()
    reached: Mapping[Milestone, datetime] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    told: frozenset[tuple[str, int]] = frozenset()
    notices: tuple[Event, ...] = ()
    deliveries: tuple[Event, ...] = ()
    events: tuple[Event, ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event]) -> IncidentState:
        """Raises ValueError, TypeError or KeyError for a line that says what no incident can."""
        return reduce(cls.after, events, cls())

    def after(self, event: Event) -> IncidentState:
        for name in _SAID.get(event.event, ()):
            if not isinstance(event.fields[name], str | int):
                raise TypeError(f"{name}: {event.fields[name]!r}")
        for name in _MAY_SAY.get(event.event, ()):
            if not isinstance(event.get(name), str | None):
                raise TypeError(f"{name}: {event.fields[name]!r}")
        if event.event == "attached":
            judge_attached(event.fields)
        step = _STEPS.get(event.event)
        return replace(step(self, event) if step else self, events=(*self.events, event))

    @property
    def open(self) -> bool:
        return self.opened is not None and self.closed is None

    def held_at(self, when: datetime) -> bool:
        """Whether this fault was noticed and not closed yet at that moment."""
        if self.opened is None:
            return False
        began = min(self.opened, self.noticed or self.opened)
        return began <= when and (self.closed is None or when <= self.closed)

    @property
    def nature(self) -> Nature:
        """By the rule out of what was found. An engineer's word stands above it, until something is found
        afterwards that is worse than his word.
        """
        ruled = _judge(self.findings)
        kinds = ruled.kinds | set(self.kinds)
        if self.overruled is None:
            return replace(ruled, kinds=kinds)
        since = _judge(self.found_since)
        said: Class | None = self.overruled.get("class") or ruled.klass
        klass = worst([one for one in (said, since.klass) if one])
        affects = self.overruled.get("affects_use")
        holds_up = ruled.affects_use if affects is None else affects
        later = bool(self.found_since) and since.affects_use
        return Nature(klass, holds_up or later or klass in (None, "critical"), kinds)

    def said(self, topic: Topic) -> list[Event]:
        """What somebody noted on one point of the report, in order."""
        notes = [event for event in self.events if event.event in ("note", "milestone")]
        return [note for note in notes if note.get("about") == topic and note.get("text")]

    def attached(self, what: str) -> list[Event]:
        return [event for event in self.events if event.event == "attached" and event.get("what") == what]

    @property
    def counts_as(self) -> Class:
        """The class that its clocks run by: one that nobody knows yet may be the worst."""
        return self.nature.klass or CLASSES[-1]


def _judge(codes: Iterable[str]) -> Nature:
    known = table().findings
    return judge((code for code in codes if code in known), known)


def _opened(state: IncidentState, event: Event) -> IncidentState:
    said = {name: str(value) for name, value in event.fields.items()}
    return replace(
        state,
        incident=said["incident"],
        estate=said["estate"],
        centre=said["centre"],
        language=said["language"],
        timezone=ZoneInfo(said["timezone"]).key,
        inventory=said["inventory"],
        operator=said["operator"],
        title=said["title"],
        opened=event.time,
        noticed=moment(event.fields["noticed"]),
        terms=Terms.model_validate(event.fields["terms"]),
    )


def _classified(state: IncidentState, event: Event) -> IncidentState:
    added = [code for code in _words(event, "findings") if code not in state.findings]
    kinds = [_one_of(get_args(Kind), kind) for kind in _words(event, "kinds") if kind not in state.kinds]
    overrules = event.get("class") is not None or event.get("affects_use") is not None
    _one_of((None, *CLASSES), event.get("class"))
    return replace(
        state,
        findings=(*state.findings, *added),
        kinds=(*state.kinds, *kinds),
        overruled=event if overrules else state.overruled,
        found_since=() if overrules else (*state.found_since, *added),
    )


def _one_of(known: tuple[Any, ...], word: Any) -> Any:
    if word not in known:
        raise ValueError(f"none of {known}: {word}")
    return word


def _words(event: Event, name: str) -> list[str]:
    words = event.get(name) or ()
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{name}: {words!r}")
    return list(words)


def _reached(state: IncidentState, event: Event) -> IncidentState:
    """The first time counts. Whoever plans, agrees or mends has answered, then at the latest."""
    what: Milestone = _one_of(get_args(Milestone), event.fields["what"])
    when = moment(event.fields["at"])
    reached: dict[Milestone, datetime] = {what: when, **state.reached}
    reached["answered"] = min(reached.values())
    return replace(state, reached=reached)


def _run(state: IncidentState, event: Event) -> IncidentState:
    run = str(event.fields["run"])
    return state if run in state.runs else replace(state, runs=(*state.runs, run))


def _told(state: IncidentState, event: Event) -> IncidentState:
    percent = int(event.get("percent", BREACH))
    return replace(state, told=state.told | {(str(event.fields["clock"]), percent)})


def _closed(state: IncidentState, event: Event) -> IncidentState:
    return replace(state, closed=event.time, cause=str(event.get("cause", "")))


def moment(text: Any) -> datetime:
    """A time of a journal. Raises ValueError for one without its zone, or of no year of ours."""
    when = datetime.fromisoformat(str(text))
    if when.utcoffset() is None or not FIRST_YEAR <= when.year < LAST_YEAR:
        raise ValueError(f"no moment: {text}")
    return when.astimezone(UTC)


# What whoever shows an event relies on; what a step reads is judged by that step.
_SAID: Mapping[str, tuple[str, ...]] = {
    "incident-opened": ("operator",),
    "note": ("text",),
    "notice": ("kind", "title", "text"),
    "notice-sent": ("notice", "to"),
    "notice-failed": ("notice", "to"),
    "clock-warned": ("percent",),
}
_MAY_SAY: Mapping[str, tuple[str, ...]] = {
    "note": ("about",),
    "milestone": ("about", "text"),
    "run-attached": ("plan", "target"),
    "incident-closed": ("cause", "operator"),
}
_STEPS: Mapping[str, Callable[[IncidentState, Event], IncidentState]] = {
    "incident-opened": _opened,
    "terms": lambda state, event: replace(state, terms=Terms.model_validate(event.fields["terms"])),
    "classified": _classified,
    "milestone": _reached,
    "run-attached": _run,
    "clock-warned": _told,
    "clock-breached": _told,
    "notice": lambda state, event: replace(state, notices=(*state.notices, event)),
    "notice-sent": lambda state, event: replace(state, deliveries=(*state.deliveries, event)),
    "notice-failed": lambda state, event: replace(state, deliveries=(*state.deliveries, event)),
    "incident-closed": _closed,
}
