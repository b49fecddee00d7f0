"""One pass of a deploy: the stage, how long users were out, and the journeys that judge it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rmc_dr import journey
from rmc_dr.command import Work
from rmc_dr.errors import Error, Interrupted
from rmc_dr.estate import Application
from rmc_dr.i18n import _
from rmc_dr.model import Check
from rmc_dr.observe.pulse import Pulse
from rmc_dr.runner import Outcome

BEAT_SECONDS = 10


@dataclass(frozen=True)
class Pass:
    """One pass of the playbook and of the journeys; it began at ``began``."""

    outcome: Outcome
    checks: tuple[Check, ...]
    users_out_seconds: float | None
    began: datetime

    @property
    def problem(self) -> str:
        """Why it is no success; empty if it is."""
        if self.outcome.status != "ok":
            failures = [f"{failure.host}: {failure.message}" for failure in self.outcome.failures]
            return failures[0] if failures else _("the playbook was ended in the middle")
        failed = next((check for check in self.checks if not check.passed), None)
        return f"{failed.name}: {failed.detail}" if failed else ""

    def fact(self, name: str) -> Any:
        """What the hosts say; with several, the first that says it."""
        said = (facts.get(name) for facts in self.outcome.facts.values() if isinstance(facts, Mapping))
        return next((value for value in said if value), "")

    @property
    def migrated(self) -> tuple[str, ...]:
        return tuple(map(str, self.fact("migrated") or ()))


def sick_ones(work: Work, app: Application) -> frozenset[str]:
    """The other applications that fail their journey before anything is done: a deploy does not heal them."""
    others = [other for other in work.estate.config.applications.apps if other.name != app.name]
    sick = frozenset(
        other.name
        for other in others
        for host in work.estate.group("appserver")
        if not all(check.passed for check in journey.travel(work.estate, host, other))
    )
    for name in sorted(sick):
        text = _("{app} fails its journey already; this deploy is not judged by it.").format(app=name)
        work.journal.append("note", text=text)
    return sick


def play(work: Work, app: Application, stage: str, sick: frozenset[str], **variables: Any) -> Pass:
    """Play the stage, then travel: the application itself, and every other that was well."""
    began = datetime.now(UTC)
    with Pulse(work.estate) as pulse:
        _wait_for_beat(pulse, 0.0)
        since = time.monotonic()
        outcome = work.attempt(stage, deploy_application=app.name, **variables)
        checks: tuple[Check, ...] = ()
        if outcome.status == "ok":
            _wait_for_beat(pulse, time.monotonic())
            checks = _travel(work, app, stage, sick)
        out = pulse.out_seconds(since)
    if outcome.status == "canceled":
        raise Interrupted(
            "interrupted",
            _("Stopped in the middle: {app} may have been switched, and Liberty not restarted.").format(
                app=app.name
            ),
            _("Give the same command again: it sees what is done, and finishes."),
        )
    return Pass(outcome, checks, None if out is None else round(out, 1), began)


def _wait_for_beat(pulse: Pulse, after: float) -> None:
    """Wait a little until the servers were seen ready after that; a deploy goes on without it as well."""
    deadline = time.monotonic() + BEAT_SECONDS
    while not pulse.beats(after) and time.monotonic() < deadline:
        time.sleep(0.05)


def _travel(work: Work, app: Application, stage: str, sick: frozenset[str]) -> tuple[Check, ...]:
    estate = work.estate
    others = [one for one in estate.config.applications.apps if one.name not in sick | {app.name}]
    checks = tuple(
        check
        for one in (app, *others)
        for host in estate.group("appserver")
        for check in journey.travel(estate, host, one)
    )
    for check in checks:
        work.journal.append("check", stage=stage, name=check.name, passed=check.passed, detail=check.detail)
    return checks


def keep_failure(work: Work, app: Application, release: str, skip_preserve: str | None) -> None:
    """Keep what the failed release did before it is gone; what cannot be kept holds up no way back.

    Raises Interrupted.
    """
    try:
        work.preserve(skip_preserve)
    except Interrupted as error:
        error.add(
            _(
                "{release} of {app} is switched, and failed: `rmc-dr deploy {app} --rollback` goes back."
            ).format(release=release, app=app.name)
        )
        raise
    except Error as error:
        work.journal.append("note", text=error.message)


def tell(work: Work, tried: Pass, state: str, **more: Any) -> None:
    """What came of the release, for `rmc-dr releases` and every report."""
    work.journal.append(
        "deployed",
        state=state,
        release=tried.fact("release") or None,
        before=tried.fact("before") or None,
        migrated=tried.migrated,
        users_out_seconds=tried.users_out_seconds,
        **more,
    )
