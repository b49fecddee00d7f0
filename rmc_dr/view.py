"""The live view of a run, drawn from journal events alone: a picture on a terminal, lines elsewhere."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rmc_dr.history import Event, Progress, RunState, StageState
from rmc_dr.i18n import _
from rmc_dr.record import to_line
from rmc_dr.words import (
    duration,
    outcome_word,
    plan_title,
    printable,
    release_state,
    size,
    stage_title,
    status_word,
)

_MARKS = {"ok": ("✓", "green"), "running": ("▶", "cyan"), "failed": ("✗", "red"), "pending": ("·", "dim")}
_LOUD = {
    "failed": "bold red",
    "refused": "bold yellow",
    "interrupted": "bold yellow",
    "recovered": "bold green",
}
_REFRESHES_PER_SECOND = 4
_PROGRESS_LINE_SECONDS = 15
_ABOVE_SECONDS = 5


class View:
    """Give ``update`` to the journal as a listener.

    ``above`` gives the line that stands above all, if an estate has one. Events older than the view (a run
    being resumed) build the picture without being told again. A terminal that goes away never stops a
    recovery: the view falls silent.
    """

    def __init__(
        self,
        console: Console,
        *,
        as_json: bool = False,
        above: Callable[[str], str | None] = lambda _estate: None,
    ) -> None:
        self.state = RunState()
        self._console = console
        self._as_json = as_json
        self._above = above
        self._above_said: tuple[float, str | None] = (0.0, None)
        self._above_told = False
        self._began = datetime.now(UTC) - timedelta(milliseconds=1)  # a journal's times are cut to those
        self._live: Live | None = None
        self._rate = Rate()
        self._progress_told = 0.0
        self._silent = False

    def update(self, event: Event) -> None:
        """Show one event."""
        before, self.state = self.state, self.state.after(event)
        if event.event == "progress" and self.state.progress:
            self._rate.add(event.mono, self.state.progress.done)
        if self._silent:
            return
        try:
            self._show(event, before)
        except (OSError, SystemExit):  # rich answers a closed pipe with SystemExit
            self._silent = True

    def close(self) -> None:
        """Leave the last picture on the terminal and give it back."""
        if self._live:
            live, self._live = self._live, None
            with suppress(OSError, SystemExit):
                live.stop()

    def _show(self, event: Event, before: RunState) -> None:
        if self._as_json:
            self._console.file.write(to_line(event).decode())
            self._console.file.flush()
        elif self._is_terminal:
            self._draw(event)
        elif event.time >= self._began and not self._too_soon(event) and (said := tell(event, before)):
            self._tell_above()
            self._console.print(Text(said), soft_wrap=True)

    def _line_above(self) -> str | None:
        """Asked again every few seconds: others write what it is read from."""
        now = time.monotonic()
        if self._above_said[0] <= now:
            with suppress(OSError):
                self._above_said = (now + _ABOVE_SECONDS, self._above(self.state.estate))
        return self._above_said[1]

    def _tell_above(self) -> None:
        if not self._above_told and (line := self._line_above()):
            self._console.print(Text(printable(line), style="bold"), soft_wrap=True)
        self._above_told = True

    @property
    def _is_terminal(self) -> bool:
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def _too_soon(self, event: Event) -> bool:
        if event.event != "progress":
            return False
        if event.mono - self._progress_told < _PROGRESS_LINE_SECONDS:
            return True
        self._progress_told = event.mono
        return False

    def _draw(self, event: Event) -> None:
        if self._live is None and event.time >= self._began:
            self._live = Live(
                get_renderable=self._picture,
                console=self._console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                vertical_overflow="visible",
            )
            self._live.start()
            atexit.register(self.close)
        if event.event == "note" and self._live:
            self._console.print(Text(f"  {printable(event.get('text', ''))}", style="bold"))
        if event.event in ("run-finished", "run-abandoned"):
            self.close()

    def _picture(self) -> RenderableType:
        now = time.clock_gettime(time.CLOCK_BOOTTIME) if self._live else self.state.last_mono
        drawn = picture(self.state, max(0.0, now - self.state.last_mono), self._rate)
        line = self._line_above()
        return Group(Text(printable(line), style="bold yellow"), drawn) if line else drawn


class Rate:
    """Bytes a second over the last samples."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def add(self, mono: float, done: int) -> None:
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        self._samples = [*self._samples[-20:], (mono, done)]

    def per_second(self) -> float | None:
        if len(self._samples) < 2:
            return None
        (began, low), (ended, high) = self._samples[0], self._samples[-1]
        return (high - low) / (ended - began) if ended > began else None


def picture(state: RunState, since: float, rate: Rate) -> RenderableType:
    """The whole run as it stands ``since`` seconds after its last event."""
    running = since if state.outcome is None else 0.0
    parts: list[RenderableType] = [_headline(state, running), _stages(state, running)]
    if state.progress and state.current:
        parts.append(_progress(state.progress, rate))
    if state.outcome:
        parts.append(Text(outcome_word(state.outcome), style=_LOUD.get(state.outcome, "bold")))
    return Group(*parts)


def _headline(state: RunState, running: float) -> Text:
    line = Text(f"{plan_title(state.plan)} · {state.target}", style="bold")
    elapsed = _("elapsed {duration}").format(duration=duration(state.elapsed_seconds + running))
    line.append(f"   {elapsed}", style="not bold")
    if state.outcome is None and state.rto_target_seconds:
        forecast = state.forecast_seconds(running)
        late = forecast > state.rto_target_seconds
        said = _("forecast at most {forecast} of {target}").format(
            forecast=duration(forecast), target=duration(state.rto_target_seconds)
        )
        line.append(f"   {said}", style="bold red" if late else "not bold")
    return line


def _stages(state: RunState, running: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for stage in state.stages:
        mark, style = _MARKS.get(stage.status, ("!", "yellow"))
        spent = state.spent_seconds(stage, running)
        table.add_row(
            Text(f" {mark}", style=style),
            Text(stage_title(stage.name), style="bold" if stage.status == "running" else style),
            Text(duration(spent) if stage.attempts else "", justify="right"),
            _remark(stage, spent),
        )
    return table


def _remark(stage: StageState, spent: float) -> Text:
    if stage.status == "running":
        left = stage.budget_seconds - spent
        budget = (
            _("{left} left").format(left=duration(left))
            if left >= 0
            else _("{over} over budget").format(over=duration(-left))
        )
        task = printable(f"{stage.task} ({stage.host})" if stage.host else stage.task)
        return Text(f"{budget}  {task}", style="red" if left < 0 else "", overflow="ellipsis", no_wrap=True)
    if stage.failures and stage.status != "ok":
        return Text(_failure(stage.failures[-1]), style="red")
    told = "" if stage.status in ("ok", "pending") else status_word(stage.status)
    return Text(told, style="dim")


def _progress(progress: Progress, rate: Rate) -> Table:
    row = Table.grid(padding=(0, 2))
    told = size(progress.done)
    speed = rate.per_second()
    if progress.total:
        told = how_far(progress.done, progress.total)
    if speed:
        told += f"  {size(speed)}/s"
    if (left := progress.left_seconds(speed)) is not None:
        told += "  " + _("{left} left").format(left=duration(left))
    bar = ProgressBar(total=progress.total, completed=progress.done, width=32, pulse=progress.total is None)
    row.add_row(Text("   "), bar, Text(told))
    return row


def how_far(done: int, total: int) -> str:
    return _("{done} of {total} ({percent:.0f} %)").format(
        done=size(done), total=size(total), percent=100 * done / total
    )


def tell(event: Event, before: RunState) -> str | None:
    """One event as a line for a log or `rmc-dr runs show`; None for what is not worth a line."""
    teller = _TELLERS.get(event.event)
    said = teller(event, before) if teller else None
    if said is None:
        return None
    clock = event.time.astimezone().strftime("%H:%M:%S")
    elapsed = duration(before.after(event).elapsed_seconds)
    indent = " " * (len(said) - len(said.lstrip(" ")))
    return f"{clock} {elapsed:>8}  {indent}{printable(said)}"


def _tell_started(event: Event, _before: RunState) -> str:
    return _("{plan} of {target} begins, {count} stages. Run {run}.").format(
        plan=plan_title(str(event.get("plan"))),
        target=event.get("target"),
        count=len(event.get("stages", ())),
        run=event.get("run_id"),
    )


def _tell_stage_started(event: Event, before: RunState) -> str:
    name = str(event.get("name"))
    budget = event.get("budget_minutes", before.stage(name).budget_seconds / 60)
    return _("{stage} begins (budget {minutes:g} min)").format(stage=stage_title(name), minutes=float(budget))


def _tell_stage_finished(event: Event, _before: RunState) -> str:
    return _("{stage}: {status} after {duration}, {changed} changes").format(
        stage=stage_title(str(event.get("name"))),
        status=status_word(str(event.get("status"))),
        duration=duration(float(event.get("seconds", 0))),
        changed=event.get("changed", 0),
    )


def _tell_task(event: Event, _before: RunState) -> str | None:
    if event.get("status") == "started":
        return f"  {event.get('task', '')}"
    return f"  {_failure(event)}" if event.get("status") in ("failed", "unreachable") else None


def _failure(event: Event) -> str:
    unreachable = event.get("status") == "unreachable"
    said = (
        _("NO ANSWER from {host}: {task}: {message}")
        if unreachable
        else _("FAILED on {host}: {task}: {message}")
    )
    return said.format(
        host=event.get("host", "?"), task=event.get("task", ""), message=event.get("message", "")
    )


def _tell_gate(event: Event, _before: RunState) -> str | None:
    if event.get("answer") == "yes":
        return None
    return _("Gate of {stage}: no, {reason}").format(
        stage=stage_title(str(event.get("stage", ""))), reason=event.get("reason", "")
    )


def _tell_check(event: Event, _before: RunState) -> str:
    passed = _("passed") if event.get("passed") else _("FAILED")
    return f"  {passed}: {event.get('name', '')} {event.get('detail', '')}"


def _tell_progress(event: Event, before: RunState) -> str:
    progress = before.after(event).progress
    if progress is None or not progress.total:
        return f"  {size(int(event.get('done', 0)))}"
    told = "  " + how_far(progress.done, progress.total)
    left = progress.left_seconds(progress.rate)
    return told if left is None else f"{told}, " + _("{left} left").format(left=duration(left))


def _tell_finished(event: Event, _before: RunState) -> str:
    outcome, rto = outcome_word(str(event.get("outcome"))), event.get("rto_seconds")
    if rto is not None:
        return _("The run ends: {outcome}. RTO {duration}").format(outcome=outcome, duration=duration(rto))
    return _("The run ends: {outcome}. {reason}").format(outcome=outcome, reason=event.get("reason", ""))


def _tell_deployed(event: Event, before: RunState) -> str:
    return _("{app} {release}: {state}").format(
        app=before.target,
        release=event.get("release") or "-",
        state=release_state(before.plan, str(event.get("state"))),
    )


_TELLERS: Mapping[str, Callable[[Event, RunState], str | None]] = {
    "run-started": _tell_started,
    "run-resumed": lambda _event, _before: _("The run goes on."),
    "journal-repaired": lambda _event, _before: _("The last line of the run record was torn; it is cut off."),
    "kit-expired-accepted": lambda event, _before: _("An expired kit is used: {reason}").format(
        reason=event.get("reason", "")
    ),
    "preserve-skipped": lambda event, _before: _("The scene was not kept: {reason}").format(
        reason=event.get("reason", "")
    ),
    "files-given-up": lambda event, _before: _(
        "Users go on without attachments from the backup: {reason}"
    ).format(reason=event.get("reason", "")),
    "consent-not-asked": lambda event, _before: _("The hospital was not asked: {reason}").format(
        reason=event.get("reason", "")
    ),
    "no-backup-accepted": lambda event, _before: _("A migration without a young backup: {reason}").format(
        reason=event.get("reason", "")
    ),
    "deployed": _tell_deployed,
    "stage-started": _tell_stage_started,
    "stage-finished": _tell_stage_finished,
    "task": _tell_task,
    "note": lambda event, _before: str(event.get("text", "")),
    "gate": _tell_gate,
    "check": _tell_check,
    "progress": _tell_progress,
    "run-finished": _tell_finished,
    "run-abandoned": lambda event, _before: _("The run is given up: {reason}").format(
        reason=event.get("reason", "")
    ),
}
