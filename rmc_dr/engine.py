"""Lock -> gate -> run -> check -> append to the record, per stage; resume. Nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rmc_dr import gates, target_lock
from rmc_dr.errors import Error, Interrupted, Refused
from rmc_dr.estate import Estate, Host, with_new_secrets
from rmc_dr.gate_passing import pass_gate
from rmc_dr.i18n import _
from rmc_dr.model import Check, HostObservation, PairState, Plan, Reach, Request, Stage
from rmc_dr.observe.hosts import observe_host
from rmc_dr.record import Event, Journal, RunState, read
from rmc_dr.runner import Outcome, run_playbook

STAGE_VARIABLES = (
    "wipe_data", "fence_method", "replace_healthy", "restore_on", "restore_to", "restore_set",
    "restore_room", "spare_running",
)  # fmt: skip
PROVING_STAGE = "verify"
CHANGES_NOTHING = ("preserve", "living")


class StageFailed(Error):
    """A stage did not end well. The run stays open; `rmc-dr resume` goes on."""


@dataclass(frozen=True)
class Run:
    """What one run works on.

    ``keep_lock`` makes sure that the primary still holds the estate for this run, and says False where there
    is no primary to hold it; it raises Locked. ``observe_pair`` says how the pair stands, ``prove`` gives
    the final checks, and ``canceled`` is asked several times a second while a stage runs. ``hosts`` are those
    that each stage looks at and holds; empty: the plan's target.
    """

    estate: Estate
    plan: Plan
    request: Request
    journal: Journal
    keep_lock: Callable[[], bool]
    observe_pair: Callable[[], PairState]
    prove: Callable[[], Sequence[Check]]
    canceled: Callable[[], bool]
    hosts: Sequence[Host] = ()

    @property
    def watched(self) -> Sequence[Host]:
        return self.hosts or (self.estate.host(self.plan.target),)


def execute(run: Run) -> None:
    """Run the plan from where its record stands, and record how it ends.

    Raises StageFailed, Interrupted, Refused, Locked, or what else of Error a stage's observation met; each
    says what was changed. The run is open then, unless nothing was, and `rmc-dr resume` goes on.
    """
    try:
        _run_stages(run)
    except Error as error:
        error.add(_changed_so_far(run))
        run.journal.append(
            "run-finished", outcome=error.outcome, reason=error.message, hint=error.hint, code=error.code
        )
        raise
    seconds = RunState.of(read(run.journal.path)).elapsed_seconds
    run.journal.append("run-finished", outcome="recovered", rto_seconds=round(seconds, 1))


def _run_stages(run: Run) -> None:
    checks: Sequence[Check] = ()
    for stage in _remaining(run):
        _stop_if_asked(run, stage)
        pass_gate(run.journal, stage.name, gates.ask_all(stage.name, _look(run, checks)))
        _stop_if_asked(run, stage)
        started = time.monotonic()
        outcome = _run_stage(run, stage)
        run = _know_new_secrets(run)
        proven = _prove(run, stage) if stage.name == PROVING_STAGE and outcome.status == "ok" else ()
        _finish_stage(run, stage, outcome, proven, time.monotonic() - started)
        checks = proven or checks
    _give_host_back(run)


def _stop_if_asked(run: Run, stage: Stage) -> None:
    """Looking and proving take their time, and nobody listens to Ctrl-C meanwhile."""
    if run.canceled():
        raise Interrupted(
            "interrupted",
            _("Stopped before the stage {stage}.").format(stage=stage.name),
            _("`rmc-dr resume` looks again and goes on."),
        )


def _know_new_secrets(run: Run) -> Run:
    """The fence by credentials renews the vault; what is written from now on must not hold the new ones."""
    estate = with_new_secrets(run.estate)
    if estate is not run.estate:
        run.journal.learn(estate.opened().values())
    return replace(run, estate=estate)


def _give_host_back(run: Run) -> None:
    """What is recovered stays recovered: a lock that could not be removed is only told."""
    for host in run.watched:
        try:
            target_lock.release(run.estate, host, run.journal.run_id)
        except Error as error:
            run.journal.append("note", text=error.message, host=host.name)


def completed(events: Iterable[Event], stages: Sequence[Stage]) -> int:
    """How many leading stages are done. Pure. A stage begun again undoes what stood behind it."""
    names = [stage.name for stage in stages]
    done = 0
    for event in events:
        name = event.get("name")
        if event.event == "stage-started" and name in names:
            done = min(done, names.index(name))
        elif event.event == "stage-finished" and event.get("status") == "ok" and name == _at(names, done):
            done += 1
    return done


def _at(names: Sequence[str], index: int) -> str | None:
    return names[index] if index < len(names) else None


def resume_index(stages: Sequence[Stage], done: int, reach: Reach) -> int:
    """Where to go on. Pure: how many leading stages are done, and what answers now.

    A stage that needs a system which no longer answers (a power cut since) steps back to the stage that
    brings it up; everything after that is done again. A completed destructive stage is never repeated; so
    where a restored database may lead already, nothing steps back: the gates ask for the silent host.
    """
    names = [stage.name for stage in stages]
    may_lead = "lead" in names and done >= names.index("lead")
    if "boot" in names and done > names.index("boot") and reach is not Reach.SYSTEM and not may_lead:
        return names.index("boot")
    if "reinstall" in names and done == names.index("reinstall") and reach is not Reach.RESCUE:
        return names.index("fence")
    # The proof of an earlier session is not carried over: the users get what was proven now.
    return min(done, names.index(PROVING_STAGE))


def _remaining(run: Run) -> Sequence[Stage]:
    done = completed(read(run.journal.path), run.plan.stages)
    if done == 0:
        return run.plan.stages
    reach = together([seen.reach for seen in _observe(run)])
    return run.plan.stages[resume_index(run.plan.stages, done, reach) :]


def together(reaches: Sequence[Reach]) -> Reach:
    """How several hosts answer, where they answer alike; else unknown. Pure."""
    return reaches[0] if len(set(reaches)) == 1 else Reach.UNKNOWN


def _observe(run: Run) -> list[HostObservation]:
    with ThreadPoolExecutor(len(run.watched)) as pool:
        return list(pool.map(lambda host: observe_host(run.estate, host), run.watched))


def _look(run: Run, checks: Sequence[Check]) -> list[gates.Look]:
    """A fresh look at every host of the run, for the gate; takes the hosts' locks and the primary's."""
    found = list(zip(run.watched, _observe(run), strict=True))
    for host, seen in found:
        if seen.reach in (Reach.SYSTEM, Reach.RESCUE):
            break_lock = run.request.options.get("break_lock")
            target_lock.take(run.estate, host, run.journal.run_id, seen.reach, break_lock)
    held = run.keep_lock()
    pair = run.observe_pair()
    for _host, seen in found:
        run.journal.append(
            "observation", host=asdict(seen), pair=pair.verdict, primary=pair.primary, estate_lock=held
        )
    return [
        gates.Look(run.request, host.identity.machine if host.identity else "", seen, pair, checks)
        for host, seen in found
    ]


def stage_variables(request: Request, stage: Stage) -> dict[str, Any]:
    """What a stage's playbook is told of the request."""
    options = {key: request.options[key] for key in STAGE_VARIABLES if request.options.get(key)}
    # The reasons themselves are text, and Ansible trusts text as templates. `reinstall` keeps one, too.
    for reason in ("without_files", "skip_preserve", "unprotected"):
        if request.options.get(reason):
            options[reason] = True
    return {"target": stage.target or request.target, **options}


def _run_stage(run: Run, stage: Stage) -> Outcome:
    journal = run.journal
    journal.append(
        "stage-started", name=stage.name, budget_minutes=stage.budget_minutes, destructive=stage.destructive
    )
    return run_playbook(
        run.estate,
        stage.playbook,
        variables={
            **stage_variables(run.request, stage),
            "run_id": journal.run_id,
            "run_dir": str(journal.path),
        },
        on_event=journal.append,
        log=_log(run, stage),
        canceled=run.canceled,
        run_id=journal.run_id,
    )


def _prove(run: Run, stage: Stage) -> Sequence[Check]:
    checks = run.prove()
    for check in checks:
        run.journal.append(
            "check", stage=stage.name, name=check.name, passed=check.passed, detail=check.detail
        )
    return checks or (Check("checks-ran", False, _("no check ran")),)


def _finish_stage(run: Run, stage: Stage, outcome: Outcome, proven: Sequence[Check], seconds: float) -> None:
    """Record how the stage ended. Raises Interrupted, Refused or StageFailed unless it ended well."""
    failed = [check.name for check in proven if not check.passed]
    status = "failed" if failed else outcome.status
    if outcome.facts:
        run.journal.append("facts", hosts=outcome.facts)
    run.journal.append(
        "stage-finished", name=stage.name, status=status, seconds=round(seconds, 3), changed=outcome.changed
    )
    if status == "ok":
        return
    if status == "canceled":
        raise Interrupted(
            "interrupted",
            _("Stopped in the stage {stage}.").format(stage=stage.name),
            _("`rmc-dr resume` looks again and goes on."),
        )
    said = _why(outcome, failed).rstrip(".")
    if any(failure.refused for failure in outcome.failures):
        raise Refused(
            f"refused-{stage.name}",
            _("The stage {stage} was refused: {said}.").format(stage=stage.name, said=said),
            _("Look at machine, cabling and inventory first. `rmc-dr resume` asks again."),
        )
    raise StageFailed(
        "not-proven" if failed else "stage-failed",
        _("The stage {stage} failed: {said}.").format(stage=stage.name, said=said),
        _("Read {log}, mend the cause, then `rmc-dr resume`.").format(log=_log(run, stage)),
    )


def _why(outcome: Outcome, failed: Sequence[str]) -> str:
    if failed:
        return _("{count} checks of the new server did not pass ({checks}); users stay fenced off").format(
            count=len(failed), checks=", ".join(failed[:5])
        )
    if not outcome.failures:
        return _("Ansible ended without saying why")
    first = outcome.failures[0]
    return _("{task} on {host}: {message}").format(task=first.task, host=first.host, message=first.message)


def _log(run: Run, stage: Stage) -> Path:
    return run.journal.path / "stages" / f"{stage.name}.log"


def _changed_so_far(run: Run) -> str:
    events = read(run.journal.path)
    names = [str(event.get("name")) for event in events if event.event == "stage-started"]
    begun = [name for name in names if name not in CHANGES_NOTHING]
    if not begun:
        return _("Nothing was changed.")
    return _("Stages begun that change something: {stages}.").format(stages=", ".join(dict.fromkeys(begun)))
