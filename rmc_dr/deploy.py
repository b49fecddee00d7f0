"""Deploys a release of an application, proves it by its journey, and goes back where that fails."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE
from typing import Any

import yaml

from rmc_dr import content, journey
from rmc_dr.errors import BadInput, Error, Interrupted
from rmc_dr.estate import ESTATE_FILE, Application, Estate
from rmc_dr.exclusive import alone, canceled_by_signal
from rmc_dr.files import write_atomically
from rmc_dr.i18n import _
from rmc_dr.kit import verify as kit_verify
from rmc_dr.model import Check
from rmc_dr.record import append_entry
from rmc_dr.runner import Outcome, run_playbook

PLAYBOOK = "deploy.yml"
RECORD = "record.jsonl"
OnEvent = Callable[..., None]


@dataclass(frozen=True)
class Deployed:
    """What is current now, what was before it ("" at the first deploy), and the proof.

    ``pinned`` says whether estate.yml names the release now, so that a rebuild brings this one back.
    """

    application: str
    before: str
    release: str
    pinned: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class _Try:
    """One pass of the playbook and of the journeys."""

    outcome: Outcome
    checks: tuple[Check, ...]

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


def deploy(
    estate: Estate,
    name: str,
    release: str,
    on_event: OnEvent,
    accept_expired_kit: str | None = None,
    break_lock: str | None = None,
) -> Deployed:
    """Deploy a release from the kit. Raises BadInput or Refused before anything changes; Error afterwards,
    with the release before it back in its place where that was possible."""
    app = _application(estate, name)
    journey.read_steps(app)
    with alone(estate, f"deploy {name} {release}", break_lock):
        manifest = kit_verify.verify(estate, accept_expired_kit)
        _refuse_absent(app, release, manifest.files)
        accepted = None if manifest.in_date(datetime.now(UTC)) else accept_expired_kit
        with _recorded(
            estate, application=name, release=release, kit=manifest.sha256, accepted_expired_kit=accepted
        ):
            tried = _try(estate, app, on_event, deploy_release=release)
            if problem := tried.problem:
                raise _back_after(estate, app, release, problem, tried, on_event)
            return _deployed(estate, app, tried)


def roll_back(estate: Estate, name: str, on_event: OnEvent, break_lock: str | None = None) -> Deployed:
    """Go back to the release before the current one, from the host's own disk; the schema stays as it is."""
    app = _application(estate, name)
    journey.read_steps(app)
    with (
        alone(estate, f"rollback {name}", break_lock),
        _recorded(estate, application=name, release="rollback"),
    ):
        tried = _try(estate, app, on_event, deploy_from_host=True)
        if problem := tried.problem:
            raise Error(
                "rollback-failed",
                _("{app} could not go back: {problem}").format(app=name, problem=problem),
                _("Current is {release}; `rmc-dr verify appserver` shows what does not work.").format(
                    release=tried.fact("release" if tried.fact("switched") else "before") or "?"
                ),
            )
        return _deployed(estate, app, tried)


@contextmanager
def _recorded(estate: Estate, **what: str | None) -> Iterator[None]:
    """Two lines in the record of deploys: what begins, and how it ended (an error's code, or `deployed`)."""
    entry = {"operator": getpass.getuser(), "control": socket.gethostname(), "estate": estate.name, **what}
    path = content.STATE / "deploys" / RECORD
    append_entry(path, **entry, outcome="begun")
    try:
        yield
    except Error as error:
        append_entry(path, **entry, outcome=error.code)
        raise
    append_entry(path, **entry, outcome="deployed")


def _application(estate: Estate, name: str) -> Application:
    apps = {app.name: app for app in estate.config.applications.apps}
    if name not in apps:
        raise BadInput(
            "unknown-application",
            _("The estate {estate} has no application {app}.").format(estate=estate.name, app=name),
            _("Its applications are: {apps}.").format(apps=", ".join(sorted(apps))),
        )
    return apps[name]


def _refuse_absent(app: Application, release: str, files: Mapping[str, Any]) -> None:
    pattern = re.compile(rf"applications/{re.escape(app.name)}/([^/]+)/app\.war")
    held = sorted(found[1] for found in map(pattern.fullmatch, files) if found)
    if release not in held:
        raise BadInput(
            "release-absent",
            _("The kit holds no release {release} of {app}.").format(release=release, app=app.name),
            _("It holds: {releases}. Others come in with `rmc-dr kit build --releases FOLDER`.").format(
                releases=", ".join(held) or "-"
            ),
        )


def _try(estate: Estate, app: Application, on_event: OnEvent, **variables: Any) -> _Try:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with canceled_by_signal() as canceled:
        outcome = run_playbook(
            estate,
            PLAYBOOK,
            variables={"deploy_application": app.name, **variables},
            on_event=on_event,
            log=content.STATE / "deploys" / f"{stamp}-{app.name}.log",
            canceled=canceled,
        )
    if outcome.status == "canceled":
        raise Interrupted(
            "interrupted",
            _("Stopped in the middle: {app} may have been switched, and Liberty not restarted.").format(
                app=app.name
            ),
            _("Give the same command again: it sees what is done, and finishes."),
        )
    checks: Sequence[Check] = ()
    if outcome.status == "ok":
        hosts = estate.group("appserver")
        checks = [check for host in hosts for check in journey.travel(estate, host, app)]
    return _Try(outcome, tuple(checks))


def _back_after(
    estate: Estate, app: Application, release: str, problem: str, tried: _Try, on_event: OnEvent
) -> Error:
    """Undo a failed deploy; the error says where that led."""
    before = tried.fact("before")
    if not tried.fact("switched"):
        return Error(
            "deploy-failed",
            _("{release} of {app} was not deployed: {problem}").format(
                release=release, app=app.name, problem=problem
            ),
            _("The application runs on as before ({before}).").format(before=before or "-"),
        )
    if not before or before == release:
        return Error(
            "deploy-failed",
            _("{release} of {app} does not work: {problem}").format(
                release=release, app=app.name, problem=problem
            ),
            _("There is no other release to go back to; deploy one that works."),
        )
    back = _try(estate, app, on_event, deploy_release=before, deploy_from_host=True)
    if back.problem:
        return Error(
            "deploy-broken",
            _("{release} of {app} failed ({problem}), and so does {before} now: {now}").format(
                release=release, app=app.name, problem=problem, before=before, now=back.problem
            ),
            _("Look at the database with `rmc-dr db status` and at Liberty's log on the host."),
        )
    return Error(
        "deploy-rolled-back",
        _("{release} of {app} failed: {problem}").format(release=release, app=app.name, problem=problem),
        _("{before} is back and proven by its journey; estate.yml was not changed.").format(before=before),
    )


def _deployed(estate: Estate, app: Application, tried: _Try) -> Deployed:
    release = str(tried.fact("release"))
    pinned = pin_release(estate.inventory / ESTATE_FILE, app.name, release)
    return Deployed(app.name, str(tried.fact("before")), release, pinned, tried.checks)


def pin_release(path: Path, application: str, release: str) -> bool:
    """Write the release into estate.yml, so that a rebuild brings back what runs now. The rest stays.

    False where the file cannot be written.
    """
    text = path.read_text()
    node = _release_node(yaml.compose(text), application)
    changed = f'{text[: node.start_mark.index]}"{release}"{text[node.end_mark.index :]}'
    if node.value == release:
        return True
    try:
        write_atomically(path, changed, S_IMODE(path.stat().st_mode))
    except OSError:
        return False
    return True


def _release_node(document: Any, application: str) -> yaml.ScalarNode:
    node = document
    for key in ("estate", "applications", "list"):
        node = next(value for name, value in node.value if name.value == key)
    for item in node.value:
        keys = {name.value: value for name, value in item.value}
        if keys["name"].value == application:
            return keys["release"]  # type: ignore[no-any-return]
    raise BadInput(
        "unknown-application",
        _("estate.yml names no application {app}.").format(app=application),
        _("Name it under estate.applications.list."),
    )
