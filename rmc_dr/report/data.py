"""What a report says, before anybody decides how it looks. Pure; its JSON keys are a stable interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rmc_dr.history import Event, RunState, StageState


@dataclass(frozen=True)
class Span:
    """One attempt at a stage, in seconds since the run began."""

    began: float
    ended: float
    status: str


@dataclass(frozen=True)
class StageRow:
    """One stage. ``seconds`` is None for a stage that was never begun."""

    name: str
    status: str
    destructive: bool
    seconds: float | None
    budget_seconds: float
    attempts: int
    changed: int
    spans: tuple[Span, ...]

    @property
    def over_budget(self) -> bool:
        return self.seconds is not None and self.seconds > self.budget_seconds > 0


@dataclass(frozen=True)
class Finding:
    """A check or a gate: what was asked, whether the answer was good, and what was seen."""

    stage: str
    name: str
    good: bool
    detail: str


@dataclass(frozen=True)
class Moment:
    """Something said or decided, and when; ``what`` is the event that told it."""

    time: datetime
    text: str
    what: str = ""


@dataclass(frozen=True)
class Restored:
    """What a database was brought back to: its newest commit, the place in the WAL, and from which backup.

    ``short_seconds`` is how much later the last WAL was stored that could have come back; None is unknown.
    """

    newest: str
    lsn: str
    timeline: str
    backup: str
    short_seconds: float | None


@dataclass(frozen=True)
class Attachments:
    """One application's attachments: those that its database knows of, and those whose file is not there."""

    application: str
    known: int
    missing: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A run as its readers need it. None and empty mean that nobody did or measured it."""

    run_id: str
    plan: str
    target: str
    estate: str
    centre: str | None
    operator: str
    control: str | None
    tool_version: str | None
    kit: str | None
    started: datetime | None
    finished: datetime | None
    outcome: str | None
    reason: str
    hint: str
    changed: str
    elapsed_seconds: float
    rto_seconds: float | None
    rto_target_seconds: float | None
    budget_seconds: float
    destroys: tuple[str, ...]
    options: Mapping[str, Any]
    stages: tuple[StageRow, ...]
    checks: tuple[Finding, ...]
    gates: tuple[Finding, ...]
    facts: Mapping[str, Mapping[str, Any]]
    failures: tuple[Finding, ...]
    notes: tuple[Moment, ...]
    exceptions: tuple[Moment, ...]
    resumes: tuple[datetime, ...]
    repairs: int
    restores: tuple[str, ...] = ()
    restored: Restored | None = None
    attachments: tuple[Attachments, ...] = ()
    deployed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def within_target(self) -> bool | None:
        if self.rto_seconds is None or self.rto_target_seconds is None:
            return None
        return self.rto_seconds <= self.rto_target_seconds

    @property
    def refusals(self) -> tuple[Finding, ...]:
        return tuple(gate for gate in self.gates if not gate.good)


def build(events: Iterable[Event]) -> Report:
    """The report of a journal, also of a run that is not finished."""
    events = list(events)
    state = RunState.of(events)
    spans = _spans(events)
    about = state.about
    return Report(
        run_id=state.run_id,
        plan=state.plan,
        target=state.target,
        estate=state.estate,
        centre=about.get("centre"),
        operator=state.operator,
        control=about.get("host"),
        tool_version=about.get("tool_version"),
        kit=about.get("kit"),
        started=state.started,
        finished=state.finished,
        outcome=state.outcome,
        reason=state.reason,
        hint=state.hint,
        changed=state.changed,
        elapsed_seconds=round(state.elapsed_seconds, 3),
        rto_seconds=state.rto_seconds,
        rto_target_seconds=state.rto_target_seconds,
        budget_seconds=state.budget_seconds,
        destroys=tuple(about.get("destroys", ())) if _destroyed(state) else (),
        options=about.get("options", {}),
        stages=tuple(_row(state, stage, spans.get(stage.name, ())) for stage in state.stages),
        checks=_last_by_name(state.checks),
        gates=tuple(_gate(event) for event in state.gates),
        facts=state.facts,
        failures=_failures(events),
        notes=tuple(Moment(event.time, str(event.get("text", ""))) for event in state.notes),
        exceptions=tuple(
            Moment(event.time, str(event.get("reason", "")), event.event) for event in state.accepted
        ),
        resumes=state.resumes,
        repairs=state.repairs,
        restores=tuple(about.get("restores") or ()),
        restored=_restored(state),
        attachments=tuple(
            Attachments(name, int(said["known"]), int(said["missing"]), tuple(said["first"]))
            for facts in state.facts.values()
            for name, said in sorted(facts.get("attachments", {}).items())
        ),
        deployed=state.deployed,
    )


def _restored(state: RunState) -> Restored | None:
    """What the last restore of the run told; its newest commit is empty where nothing was replayed."""
    said = next((facts["restore"] for facts in state.facts.values() if "restore" in facts), None)
    if said is None:
        return None
    newest, archived = str(said["newest"]), state.about.get("archived_at")
    short = None
    if newest and archived:
        apart = datetime.fromisoformat(archived) - datetime.fromisoformat(newest)
        short = max(0.0, apart.total_seconds())
    return Restored(newest, str(said["lsn"]), str(said["timeline"]), str(said["backup"]), short)


def _destroyed(state: RunState) -> bool:
    return any(stage.destructive and stage.attempts for stage in state.stages)


def _row(state: RunState, stage: StageState, spans: Iterable[Span]) -> StageRow:
    return StageRow(
        name=stage.name,
        status=stage.status,
        destructive=stage.destructive,
        seconds=round(state.spent_seconds(stage), 3) if stage.attempts else None,
        budget_seconds=stage.budget_seconds,
        attempts=stage.attempts,
        changed=stage.changed,
        spans=tuple(spans),
    )


def _failures(events: Iterable[Event]) -> tuple[Finding, ...]:
    """Every task that failed, in attempts that were repeated later as well."""
    found: list[Finding] = []
    stage = ""
    for event in events:
        if event.event == "stage-started":
            stage = str(event.get("name"))
        elif event.event == "task" and event.get("status") in ("failed", "unreachable"):
            name = f"{event.get('task', '')} ({event.get('host', '?')})"
            found.append(Finding(stage, name, False, str(event.get("message", ""))))
    return tuple(found)


def _spans(events: Iterable[Event]) -> dict[str, tuple[Span, ...]]:
    """Every attempt at every stage, on the clock that the run's elapsed time is measured by."""
    spans: dict[str, tuple[Span, ...]] = {}
    state = RunState()
    open_since: tuple[str, float] | None = None
    for event in events:
        before, state = state, state.after(event)
        if open_since and state.current is None:
            name, began = open_since
            alive = before if event.event == "run-resumed" else state
            span = Span(round(began, 3), round(alive.elapsed_seconds, 3), state.stage(name).status)
            spans[name] = (*spans.get(name, ()), span)
            open_since = None
        if event.event == "stage-started" and state.current:
            open_since = (state.current, state.elapsed_seconds)
    if open_since:
        name, began = open_since
        spans[name] = (
            *spans.get(name, ()),
            Span(round(began, 3), round(state.elapsed_seconds, 3), "running"),
        )
    return spans


def _last_by_name(checks: Iterable[Event]) -> tuple[Finding, ...]:
    """A check that was repeated counts as it ended."""
    latest: dict[tuple[str, str], Finding] = {}
    for event in checks:
        stage, name = str(event.get("stage", "")), str(event.get("name", ""))
        latest[stage, name] = Finding(stage, name, bool(event.get("passed")), str(event.get("detail", "")))
    return tuple(latest.values())


def _gate(event: Event) -> Finding:
    detail = f"{event.get('reason', '')}" if event.get("answer") != "yes" else ""
    return Finding(
        str(event.get("stage", "")), str(event.get("question", "")), event.get("answer") == "yes", detail
    )
