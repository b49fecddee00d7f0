"""One command that changes the estate in a few stages, and its run record.

It is given again rather than resumed: each of its playbooks finds out itself what is left to do.
"""

from __future__ import annotations

import getpass
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rmc_dr import content
from rmc_dr.errors import Error, Interrupted
from rmc_dr.estate import Estate
from rmc_dr.exclusive import alone, canceled_by_signal
from rmc_dr.i18n import _
from rmc_dr.model import Check, Plan, Request
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import Name, PairObservation, verdict
from rmc_dr.plans import read_stages
from rmc_dr.record import Event, Journal, runs
from rmc_dr.runner import Outcome, end_leftovers, run_playbook

Listener = Callable[[Event], None]
LOOK_SECONDS = 1.0


def plan_of(name: str, target: str, destroys: Sequence[str] = ()) -> Plan:
    """The plan that ``playbooks/NAME.yml`` is."""
    return Plan(name, target, read_stages(content.root() / "playbooks" / f"{name}.yml"), tuple(destroys))


@dataclass(frozen=True)
class Work:
    """A command at work: it holds the estate, and everything it does goes into its record."""

    estate: Estate
    plan: Plan
    journal: Journal
    keep_lock: Callable[[], bool]
    canceled: Callable[[], bool]

    def look(self) -> PairObservation:
        """Look at the pair, make sure of the primary's lock, and record both."""
        seen = observe_pair(self.estate)
        judged = verdict(seen)
        held = self.keep_lock()
        lsns = {node.name: node.lsn for node in seen.nodes}
        self.journal.append(
            "observation", pair=judged.name, reasons=judged.reasons, lsns=lsns, estate_lock=held
        )
        return seen

    def wait_for(self, wanted: frozenset[Name], seconds: float) -> PairObservation:
        """Look until the verdict is one of these. Raises Error with the last verdict."""
        deadline = time.monotonic() + seconds
        while (judged := verdict(observe_pair(self.estate))).name not in wanted:
            if time.monotonic() > deadline:
                self.look()
                raise Error(
                    "pair-not-well",
                    _("The pair is {verdict} {seconds:.0f} s afterwards: {reason}").format(
                        verdict=judged.name, seconds=seconds, reason=" ".join(judged.reasons)
                    ),
                    _("Look with `rmc-dr db status`, which names the next step."),
                )
            time.sleep(LOOK_SECONDS)
        return self.look()

    def prove(self, stage: str, checks: Sequence[Check]) -> None:
        """Record what was proven. Raises Error where something was not."""
        for check in checks:
            self.journal.append(
                "check", stage=stage, name=check.name, passed=check.passed, detail=check.detail
            )
        failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
        if failed or not checks:
            raise Error(
                "not-proven",
                _("The applications are not proven ({checks}); users stay kept out.").format(
                    checks="; ".join(failed) or _("no check ran")
                ),
                _("`rmc-dr verify appserver` shows what does not work; then `rmc-dr start` again."),
            )

    def attempt(self, name: str, **variables: Any) -> Outcome:
        """Run one stage of the plan and record it, however it ends."""
        stage = next(stage for stage in self.plan.stages if stage.name == name)
        self.journal.append(
            "stage-started", name=name, budget_minutes=stage.budget_minutes, destructive=stage.destructive
        )
        outcome = run_playbook(
            self.estate,
            stage.playbook,
            variables={"run_id": self.journal.run_id, **variables},
            on_event=self.journal.append,
            log=self.log_of(name),
            canceled=self.canceled,
            run_id=self.journal.run_id,
        )
        if outcome.facts:
            self.journal.append("facts", hosts=outcome.facts)
        self.journal.append(
            "stage-finished",
            name=name,
            status=outcome.status,
            seconds=round(outcome.seconds, 3),
            changed=outcome.changed,
        )
        return outcome

    def log_of(self, name: str) -> Path:
        """What Ansible printed in a stage."""
        return self.journal.path / "stages" / f"{name}.log"

    def play(self, name: str, **variables: Any) -> Outcome:
        """Run one stage of the plan. Raises Error or Interrupted unless it ends well."""
        outcome = self.attempt(name, **variables)
        if outcome.status == "canceled":
            raise Interrupted(
                "interrupted",
                _("Stopped in the stage {stage}; what it has done is not undone.").format(stage=name),
                _("Look with `rmc-dr`, then give the command again."),
            )
        if outcome.status != "ok":
            said = outcome.failures[0] if outcome.failures else None
            raise Error(
                "stage-failed",
                _("The stage {stage} failed: {said}").format(
                    stage=name, said=f"{said.host}: {said.message}" if said else outcome.status
                ),
                _("Read {log}, mend the cause, then give the command again.").format(log=self.log_of(name)),
            )
        return outcome


@contextmanager
def at_work(
    estate: Estate,
    plan: Plan,
    request: Request,
    listeners: Sequence[Listener],
    break_lock: str | None = None,
    **about: Any,
) -> Iterator[Work]:
    """Hold the estate, keep a record, and say in it how the command ends; ``about`` is kept at its begin.

    Raises Locked while another command is at work and Refused while a run is not finished.
    """
    name = f"{plan.name} {plan.target}"
    with alone(estate, name, break_lock) as keep_lock, canceled_by_signal() as canceled:
        for old in islice((run for run in runs() if run.state.estate == estate.name), 1):
            end_leftovers(old.run_id)
        journal = Journal.create(
            plan,
            request,
            estate=estate.name,
            operator=getpass.getuser(),
            secrets=estate.opened().values(),
            listeners=listeners,
            centre=estate.config.centre,
            language=estate.config.language,
            resumable=False,
            **about,
        )
        with journal:
            try:
                yield Work(estate, plan, journal, keep_lock, canceled)
            except Error as error:
                journal.append(
                    "run-finished",
                    outcome=error.outcome,
                    reason=error.message,
                    hint=error.hint,
                    code=error.code,
                )
                raise
            journal.append("run-finished", outcome="done")


@contextmanager
def meanwhile(look: Callable[[], None], every_seconds: float) -> Iterator[None]:
    """Call ``look`` again and again while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every_seconds):
            look()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
