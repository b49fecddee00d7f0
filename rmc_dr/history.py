"""What the events of a run amount to: the pure reading of a journal that resume, view and report share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any

# Stages and runs that ended in one of these words; every other word means "not (well) ended".
STAGE_OK = "ok"
CLOSED_OUTCOMES = frozenset({"recovered", "done", "abandoned"})


@dataclass(frozen=True)
class Event:
    """One line of a journal. ``time`` is UTC; ``mono`` seconds since the control machine booted."""

    seq: int
    time: datetime
    mono: float
    event: str
    fields: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        return self.fields.get(name, default)


@dataclass(frozen=True)
class Progress:
    """How far the work in hand is, in bytes; ``total`` is None where nobody knows it.

    ``mono`` is when that was said; ``first_done`` were done at ``first_mono``, when it was first told of.
    """

    what: str
    done: int
    total: int | None
    mono: float = 0.0
    first_done: int = 0
    first_mono: float = 0.0

    @property
    def rate(self) -> float | None:
        """Bytes a second since it was first told of; None while that cannot be told."""
        seconds, count = self.mono - self.first_mono, self.done - self.first_done
        return count / seconds if seconds > 0 and count > 0 else None

    def left_seconds(self, rate: float | None) -> float | None:
        """What is left at so many bytes a second; None where that cannot be told."""
        if not rate or self.total is None:
            return None
        return max(0, self.total - self.done) / rate


@dataclass(frozen=True)
class StageState:
    """One stage as the journal tells it. Seconds add up over all attempts.

    ``status`` is pending, running, ok, failed, canceled, or cut (started, and the run died under it).
    """

    name: str
    budget_seconds: float
    destructive: bool = False
    status: str = "pending"
    attempts: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    seconds: float = 0.0
    since_mono: float = 0.0
    changed: int = 0
    task: str = ""
    host: str = ""
    failures: tuple[Event, ...] = ()
    gates: tuple[Event, ...] = ()
    checks: tuple[Event, ...] = ()

    @property
    def untold(self) -> bool:
        """Whether an attempt ended without saying what it changed."""
        return self.status in ("running", "canceled", "cut")


@dataclass(frozen=True)
class RunState:
    """A run as its events tell it. ``RunState.of(events)``; ``state.after(event)`` goes one step on."""

    run_id: str = ""
    plan: str = ""
    target: str = ""
    estate: str = ""
    operator: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[StageState, ...] = ()
    current: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    outcome: str | None = None
    reason: str = ""
    hint: str = ""
    code: str = ""
    rto_seconds: float | None = None
    elapsed_seconds: float = 0.0
    resumes: tuple[datetime, ...] = ()
    progress: Progress | None = None
    notes: tuple[Event, ...] = ()
    gates: tuple[Event, ...] = ()
    checks: tuple[Event, ...] = ()
    observations: tuple[Event, ...] = ()
    accepted: tuple[Event, ...] = ()
    deployed: Mapping[str, Any] = field(default_factory=dict)
    repairs: int = 0
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    last_seq: int = 0
    last_time: datetime | None = None
    last_mono: float = 0.0
    boot: str = ""

    @classmethod
    def of(cls, events: Iterable[Event]) -> RunState:
        return reduce(cls.after, events, cls())

    def after(self, event: Event) -> RunState:
        """The state one event later. An event that it does not know changes only the clock."""
        step = _STEPS.get(event.event)
        return replace(
            step(self, event) if step else self,
            elapsed_seconds=self.elapsed_seconds + self._step(event),
            last_seq=event.seq,
            last_time=event.time,
            last_mono=event.mono,
        )

    def _step(self, event: Event) -> float:
        """Seconds since the last event: by the steady clock, after a reboot by the wall clock."""
        if self.last_time is None:
            return 0.0
        same_boot = event.get("boot", self.boot) == self.boot
        seconds = event.mono - self.last_mono if same_boot else (event.time - self.last_time).total_seconds()
        return max(0.0, seconds)

    def stage(self, name: str) -> StageState:
        """One stage; a stage that the plan did not name is pending without a budget."""
        return next((stage for stage in self.stages if stage.name == name), StageState(name, 0.0))

    @property
    def completed(self) -> tuple[str, ...]:
        """The names of the stages that ended well: resume does not repeat them."""
        return tuple(stage.name for stage in self.stages if stage.status == STAGE_OK)

    @property
    def changed(self) -> str:
        """``yes``, ``no``, or ``unknown`` where a stage began and nobody told how it ended."""
        if any(stage.changed for stage in self.stages):
            return "yes"
        return "unknown" if any(stage.untold for stage in self.stages) else "no"

    @property
    def open(self) -> bool:
        """Whether `rmc-dr resume` can go on with it: not ended well, not given up, not refused untouched.

        A command that is simply given again (``resumable`` false in its `run-started`) is never open.
        """
        if self.started is None or self.outcome in CLOSED_OUTCOMES or not self.about.get("resumable", True):
            return False
        return self.outcome != "refused" or self.changed != "no"

    @property
    def budget_seconds(self) -> float:
        return sum(stage.budget_seconds for stage in self.stages)

    @property
    def rto_target_seconds(self) -> float | None:
        hours = self.about.get("rto_hours")
        return None if hours is None else float(hours) * 3600

    def spent_seconds(self, stage: StageState, running: float = 0.0) -> float:
        """What a stage has taken, ``running`` seconds after the last event."""
        if stage.status != "running":
            return stage.seconds
        return stage.seconds + max(0.0, self.last_mono - stage.since_mono) + running

    def forecast_seconds(self, running: float = 0.0) -> float:
        """The whole run if what is left takes its budget: elapsed so far plus the budgets still to spend."""
        unfinished = [stage for stage in self.stages if stage.status != STAGE_OK]
        left = sum(
            max(0.0, stage.budget_seconds - self.spent_seconds(stage, running))
            if stage.status == "running"
            else stage.budget_seconds
            for stage in unfinished
        )
        return self.elapsed_seconds + running + left

    def with_stage(self, name: str, **changes: Any) -> RunState:
        known = self.stages
        if not any(stage.name == name for stage in known):
            known = (*known, StageState(name, 0.0))
        changed = tuple(replace(stage, **changes) if stage.name == name else stage for stage in known)
        return replace(self, stages=changed)


def _run_started(state: RunState, event: Event) -> RunState:
    stages = tuple(
        StageState(stage["name"], float(stage["budget_minutes"]) * 60, bool(stage["destructive"]))
        for stage in event.get("stages", ())
    )
    told = ("run_id", "plan", "target", "estate", "operator")
    return replace(
        state,
        run_id=str(event.get("run_id", "")),
        plan=str(event.get("plan", "")),
        target=str(event.get("target", "")),
        estate=str(event.get("estate", "")),
        operator=str(event.get("operator", "")),
        about={key: value for key, value in event.fields.items() if key not in (*told, "stages")},
        stages=stages,
        started=event.time,
        boot=str(event.get("boot", "")),
    )


def _run_resumed(state: RunState, event: Event) -> RunState:
    if state.current is not None:
        state = _close_stage(state, state.current, event, status="cut")
    return replace(
        state,
        resumes=(*state.resumes, event.time),
        outcome=None,
        reason="",
        hint="",
        code="",
        finished=None,
        rto_seconds=None,
        boot=str(event.get("boot", state.boot)),
    )


def _stage_started(state: RunState, event: Event) -> RunState:
    name = str(event.get("name"))
    before = state.stage(name)
    budget = event.get("budget_minutes")
    return replace(
        state.with_stage(
            name,
            status="running",
            attempts=before.attempts + 1,
            started=before.started or event.time,
            finished=None,
            since_mono=event.mono,
            budget_seconds=before.budget_seconds if budget is None else float(budget) * 60,
            task="",
            host="",
            failures=(),
        ),
        current=name,
        progress=None,
    )


def _stage_finished(state: RunState, event: Event) -> RunState:
    name = str(event.get("name"))
    closed = _close_stage(state, name, event, status=str(event.get("status", "failed")))
    # The tasks counted one by one and Ansible's own count may differ (loops, handlers): keep the higher.
    changed = max(closed.stage(name).changed, int(event.get("changed", 0)))
    return closed.with_stage(name, changed=changed)


def _close_stage(state: RunState, name: str, event: Event, status: str) -> RunState:
    before = state.stage(name)
    spent = event.get("seconds")
    if spent is None:
        # Of a stage that died with the run, the last sign of life is the event before it was resumed.
        until = state.last_mono if event.event == "run-resumed" else event.mono
        spent = max(0.0, until - before.since_mono)
    return replace(
        state.with_stage(
            name, status=status, finished=event.time, seconds=before.seconds + float(spent), task="", host=""
        ),
        current=None,
        progress=None,
    )


def _task(state: RunState, event: Event) -> RunState:
    name = str(event.get("stage") or state.current or "")
    if not name:
        return state
    stage = state.stage(name)
    status = event.get("status")
    task, host = str(event.get("task", "")), str(event.get("host", ""))
    failed = status in ("failed", "unreachable")
    return state.with_stage(
        name,
        task=task,
        host=host,
        changed=stage.changed + (status == "changed"),
        failures=(*stage.failures, event) if failed else stage.failures,
    )


def _progress(state: RunState, event: Event) -> RunState:
    total = event.get("total")
    what, done = str(event.get("what", "")), int(event.get("done", 0))
    first, first_mono = done, event.mono
    if (before := state.progress) and before.what == what and before.done <= done:
        first, first_mono = before.first_done, before.first_mono
    told = Progress(what, done, None if total is None else int(total), event.mono, first, first_mono)
    return replace(state, progress=told)


def _gate(state: RunState, event: Event) -> RunState:
    return _with_stage_event(replace(state, gates=(*state.gates, event)), event, "gates")


def _check(state: RunState, event: Event) -> RunState:
    return _with_stage_event(replace(state, checks=(*state.checks, event)), event, "checks")


def _with_stage_event(state: RunState, event: Event, kind: str) -> RunState:
    name = event.get("stage") or state.current
    if not name:
        return state
    return state.with_stage(str(name), **{kind: (*getattr(state.stage(str(name)), kind), event)})


def _facts(state: RunState, event: Event) -> RunState:
    merged = {host: dict(values) for host, values in state.facts.items()}
    for host, values in event.get("hosts", {}).items():
        merged.setdefault(host, {}).update(values)
    return replace(state, facts=merged)


def _run_finished(state: RunState, event: Event) -> RunState:
    if state.current is not None:
        state = _close_stage(state, state.current, event, status="cut")
    rto = event.get("rto_seconds")
    return replace(
        state,
        outcome=str(event.get("outcome", "failed")),
        reason=str(event.get("reason", "")),
        hint=str(event.get("hint", "")),
        code=str(event.get("code") or ""),
        finished=event.time,
        rto_seconds=None if rto is None else float(rto),
    )


def _run_abandoned(state: RunState, event: Event) -> RunState:
    return replace(state, outcome="abandoned", reason=str(event.get("reason", "")), finished=event.time)


_STEPS: Mapping[str, Callable[[RunState, Event], RunState]] = {
    "run-started": _run_started,
    "run-resumed": _run_resumed,
    "stage-started": _stage_started,
    "stage-finished": _stage_finished,
    "task": _task,
    "progress": _progress,
    "gate": _gate,
    "check": _check,
    "facts": _facts,
    "note": lambda state, event: replace(state, notes=(*state.notes, event)),
    "observation": lambda state, event: replace(state, observations=(*state.observations, event)),
    "kit-expired-accepted": lambda state, event: replace(state, accepted=(*state.accepted, event)),
    "preserve-skipped": lambda state, event: replace(state, accepted=(*state.accepted, event)),
    "files-given-up": lambda state, event: replace(state, accepted=(*state.accepted, event)),
    "consent-not-asked": lambda state, event: replace(state, accepted=(*state.accepted, event)),
    "no-backup-accepted": lambda state, event: replace(state, accepted=(*state.accepted, event)),
    "deployed": lambda state, event: replace(state, deployed=dict(event.fields)),
    "journal-repaired": lambda state, _event: replace(state, repairs=state.repairs + 1),
    "run-finished": _run_finished,
    "run-abandoned": _run_abandoned,
}
