"""Deploys a release of an application, proves it by the journeys, and goes back where that fails."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rmc_dr import content, deployed, journey, migrations, releases
from rmc_dr.backups import BackupsObservation
from rmc_dr.command import Listener, Work, at_work, plan_of
from rmc_dr.deploy_pass import Pass, keep_failure, play, sick_ones, tell
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Application, Estate, Host
from rmc_dr.gate_passing import pass_gate
from rmc_dr.gates import PRIMARY_EXISTS, YES
from rmc_dr.i18n import _
from rmc_dr.kit import verify as kit_verify
from rmc_dr.migrations import Migration
from rmc_dr.model import Answer, Check, Plan, Request
from rmc_dr.observe.backups import observe_backups
from rmc_dr.observe.migrations import observe_migrations
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import PairObservation, Role, verdict
from rmc_dr.plans import with_hosts
from rmc_dr.release_terms import Terms
from rmc_dr.releases import BACK, DEPLOY, Window


@dataclass(frozen=True)
class Prepared:
    """What a deploy would do, by a look that changed nothing.

    ``accepted_expired_kit`` is the reason with which an expired kit is used. ``backup`` says whether the
    backups are young enough for the migrations.
    """

    plan: Plan
    application: str
    release: str
    before: str
    kit: str
    accepted_expired_kit: str | None
    migrations: tuple[Migration, ...]
    backup: Answer
    window: Window | None


@dataclass(frozen=True)
class Deployed:
    """What is current now, what was before it ("" at the first deploy), and the proof.

    ``pinned`` says whether deployed.yml names the release now, so that a rebuild brings this one back.
    ``users_out_seconds`` is None where it could not be measured.
    """

    run: str
    application: str
    before: str
    release: str
    pinned: bool
    migrated: tuple[str, ...]
    users_out_seconds: float | None
    checks: tuple[Check, ...]


def prepare(estate: Estate, name: str, release: str, accept_expired_kit: str | None = None) -> Prepared:
    """Look at kit, database and backups, and decide. Changes nothing. Raises BadInput, Refused or Error."""
    app = _application(estate, name)
    manifest = kit_verify.verify(estate, accept_expired_kit)
    digests = {file: known.sha256 for file, known in manifest.files.items()}
    _refuse_absent(app, release, digests)
    todo = _pending(estate, app, migrations.of_release(digests, name, release), observe_pair(estate))
    backup = young_enough(observe_backups(estate, {}), estate.config.backup.migration_hours) if todo else YES
    return Prepared(
        _placed(estate, plan_of(DEPLOY, name)),
        name,
        release,
        app.release,
        manifest.sha256,
        None if manifest.in_date(datetime.now(UTC)) else accept_expired_kit,
        todo,
        backup,
        releases.window(releases.history(estate.name)),
    )


def refuse_old_backup(prepared: Prepared, accept_no_backup: str | None) -> None:
    """Raises Refused where a migration would run, and no young backup could undo it."""
    if not prepared.backup.yes and not accept_no_backup:
        raise Refused(
            "no-young-backup",
            _("No migration is run: {reason}.").format(reason=prepared.backup.reason),
            prepared.backup.hint,
        )


def young_enough(seen: BackupsObservation, hours: float) -> Answer:
    """Whether the newest backup of the database is not older than so many hours. Pure."""
    hint = _("`rmc-dr backup run` takes one; in an emergency --accept-no-backup REASON.")
    if seen.database is None:
        said = "; ".join(f"{part}: {error}" for part, error in sorted(seen.errors.items()))
        return Answer(False, _("nobody says which backups there are ({said})").format(said=said), hint)
    if seen.newest is None:
        return Answer(False, _("there is no backup of the database"), hint)
    age = seen.at - seen.newest.stopped
    if age <= timedelta(hours=hours):
        return YES
    return Answer(
        False,
        _("the newest backup, {label}, is {age:.1f} h old, and at most {hours:g} h are allowed").format(
            label=seen.newest.label, age=age / timedelta(hours=1), hours=hours
        ),
        hint,
    )


def deploy(
    estate: Estate,
    prepared: Prepared,
    terms: Terms,
    listeners: Sequence[Listener],
    accept_no_backup: str | None = None,
    break_lock: str | None = None,
    skip_preserve: str | None = None,
) -> Deployed:
    """Deploy what was prepared. The scene is kept before it, and again before the way back.

    ``skip_preserve`` is the operator's reason to keep neither. Raises Locked or Refused before anything
    changes; Interrupted or Error afterwards, with the release before it back in its place where that was
    possible.
    """
    refuse_old_backup(prepared, accept_no_backup)
    app = _application(estate, prepared.application)
    options = {"release": prepared.release, "before": prepared.before, **terms.record()}
    request = Request(DEPLOY, app.name, options)
    with at_work(estate, prepared.plan, request, listeners, break_lock, kit=prepared.kit) as work:
        _note_exceptions(work, prepared, terms, accept_no_backup)
        pass_gate(work.journal, DEPLOY, _may_deploy(work, app, prepared))
        work.preserve(skip_preserve)
        sick = sick_ones(work, app)
        tried = play(work, app, DEPLOY, sick, deploy_release=prepared.release)
        if tried.problem:
            raise _back_after(work, app, prepared, tried, sick, skip_preserve)
        return _well(work, app, tried)


def roll_back(
    estate: Estate,
    plan: Plan,
    terms: Terms,
    listeners: Sequence[Listener],
    break_lock: str | None = None,
    skip_preserve: str | None = None,
) -> Deployed:
    """Go back to the release before the current one, from the host's own disk; the database stays as it is.

    Of the terms everything may be left out: going back is what an emergency needs. Raises Locked or Refused
    before anything changes; Interrupted or Error afterwards.
    """
    app = _application(estate, plan.target)
    request = Request(BACK, app.name, {} if terms == Terms() else terms.record())
    with at_work(estate, plan, request, listeners, break_lock) as work:
        work.preserve(skip_preserve)
        sick = sick_ones(work, app)
        tried = play(work, app, "back", sick, deploy_from_host=True)
        if problem := tried.problem:
            tell(work, tried, "broken" if tried.fact("switched") else "not-deployed")
            raise Error(
                "rollback-failed",
                _("{app} could not go back: {problem}").format(app=app.name, problem=problem),
                _("Current is {release}; `rmc-dr verify appserver` shows what does not work.").format(
                    release=tried.fact("release" if tried.fact("switched") else "before") or "?"
                ),
            )
        return _well(work, app, tried)


def plan_back(estate: Estate, name: str) -> Plan:
    """Going back by hand leaves the database alone. Raises BadInput for an unknown application."""
    plan = plan_of(BACK, _application(estate, name).name)
    return _placed(
        estate, replace(plan, stages=tuple(stage for stage in plan.stages if stage.name != "undo"))
    )


def _placed(estate: Estate, plan: Plan) -> Plan:
    """The plan with the hosts that each stage works on."""
    playbook = content.root() / "playbooks" / f"{plan.name}.yml"
    return replace(plan, stages=with_hosts(plan.stages, playbook, estate, lambda _stage: {}))


def named(estate: Estate, name: str) -> Application:
    """Raises BadInput `unknown-application`."""
    apps = {app.name: app for app in estate.config.applications.apps}
    if name not in apps:
        raise BadInput(
            "unknown-application",
            _("The estate {estate} has no application {app}.").format(estate=estate.name, app=name),
            _("Its applications are: {apps}.").format(apps=", ".join(sorted(apps))),
        )
    return apps[name]


def _application(estate: Estate, name: str) -> Application:
    """Raises BadInput for an unknown one, and for a journey of any that is none."""
    for app in estate.config.applications.apps:
        journey.read_steps(app)
    return named(estate, name)


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


def _pending(
    estate: Estate, app: Application, brought: Sequence[Migration], seen: PairObservation
) -> tuple[Migration, ...]:
    if not brought:
        return ()
    primary = _primary(estate, seen)
    if primary is None:
        raise Refused(
            "no-primary",
            _(
                "The release brings migrations, and no single host of the pair takes writes: it is {verdict}."
            ).format(verdict=verdict(seen).name),
            _("Look with `rmc-dr db status`, which names the next step."),
        )
    return migrations.pending(brought, observe_migrations(estate, primary, app))


def _primary(estate: Estate, seen: PairObservation) -> Host | None:
    leaders = seen.with_role(Role.PRIMARY)
    return estate.host(leaders[0].name) if len(leaders) == 1 else None


def _note_exceptions(work: Work, prepared: Prepared, terms: Terms, accept_no_backup: str | None) -> None:
    if prepared.accepted_expired_kit:
        work.journal.append("kit-expired-accepted", reason=prepared.accepted_expired_kit)
    if terms.without_consent:
        work.journal.append("consent-not-asked", reason=terms.without_consent)
    if accept_no_backup and not prepared.backup.yes:
        work.journal.append("no-backup-accepted", reason=accept_no_backup, known=prepared.backup.reason)


def _may_deploy(work: Work, app: Application, prepared: Prepared) -> Answer:
    """Under the locks: a primary that can be trusted, and a database that is still as it was looked at."""
    seen = work.look()
    judged = verdict(seen)
    if judged.name not in PRIMARY_EXISTS:
        return Answer(
            False,
            _("no primary that can be trusted: the pair is {verdict}").format(verdict=judged.name),
            _("Look with `rmc-dr db status`, which names the next step."),
        )
    if prepared.migrations and _pending(work.estate, app, prepared.migrations, seen) != prepared.migrations:
        return Answer(
            False,
            _("somebody has migrated the database of {app} since it was looked at").format(app=app.name),
            _("Give the command again: it looks anew."),
        )
    return YES


def _well(work: Work, app: Application, tried: Pass) -> Deployed:
    release = str(tried.fact("release"))
    pinned = deployed.note(work.estate.inventory, app.name, release)
    tell(work, tried, "deployed", pinned=pinned)
    return Deployed(
        work.journal.run_id,
        app.name,
        str(tried.fact("before")),
        release,
        pinned,
        tried.migrated,
        tried.users_out_seconds,
        tried.checks,
    )


def _back_after(
    work: Work,
    app: Application,
    prepared: Prepared,
    tried: Pass,
    sick: frozenset[str],
    skip_preserve: str | None,
) -> Error:
    """Undo a failed deploy; the error says where that led. Raises Interrupted."""
    release, before, problem = prepared.release, str(tried.fact("before")), tried.problem
    if not tried.fact("switched"):
        tell(work, tried, "not-deployed")
        return Error(
            "deploy-failed",
            _("{release} of {app} was not deployed: {problem}").format(
                release=release, app=app.name, problem=problem
            ),
            " ".join(
                [
                    _("The application runs on as before ({before}).").format(before=before or "-"),
                    *_database_after(work, app, prepared),
                ]
            ),
        )
    if not before or before == release:
        tell(work, tried, "broken")
        return Error(
            "deploy-failed",
            _("{release} of {app} does not work: {problem}").format(
                release=release, app=app.name, problem=problem
            ),
            _("There is no other release to go back to; deploy one that works."),
        )
    work = replace(work, plan=plan_of(BACK, app.name))
    keep_failure(work, app, release, skip_preserve)
    undone, sentences = _undo(work, app, prepared, tried)
    back = play(work, app, "back", sick, deploy_release=before, deploy_from_host=True)
    tell(work, tried, "broken" if back.problem else "rolled-back", undone=undone)
    if back.problem:
        return Error(
            "deploy-broken",
            _("{release} of {app} failed ({problem}), and so does {before} now: {now}").format(
                release=release, app=app.name, problem=problem, before=before, now=back.problem
            ),
            " ".join([*sentences, _how_to_mend(tried, undone)]),
        )
    return Error(
        "deploy-rolled-back",
        _("{release} of {app} failed: {problem}").format(release=release, app=app.name, problem=problem),
        " ".join([_("{before} is back and proven by its journey.").format(before=before), *sentences]),
    )


def _undo(work: Work, app: Application, prepared: Prepared, tried: Pass) -> tuple[bool, list[str]]:
    """Take back the migrations that this deploy ran, all or none; whether none is left, and what to say."""
    if not tried.migrated:
        return True, []
    names = ", ".join(tried.migrated)
    known = {one.name: one for one in prepared.migrations}
    if not all(name in known and known[name].undo for name in tried.migrated):
        return False, [_("Its migrations stay, for they cannot be taken back: {names}.").format(names=names)]
    outcome = work.attempt(
        "undo",
        deploy_application=app.name,
        deploy_undo=",".join(tried.migrated),
        deploy_undo_release=prepared.release,
    )
    if outcome.status == "ok":
        return True, [_("Its migrations were taken back: {names}.").format(names=names)]
    said = outcome.said
    return False, [
        _("Its migrations could not be taken back ({said}): {names}.").format(said=said, names=names)
    ]


def _database_after(work: Work, app: Application, prepared: Prepared) -> list[str]:
    """What a pass that ended before the switch has left in the database; a cut connection does not say."""
    if not prepared.migrations:
        return []
    try:
        left = _pending(work.estate, app, prepared.migrations, observe_pair(work.estate))
    except Error as error:
        return [_("Whether its migrations ran is unknown: {said}").format(said=error.message)]
    if left == prepared.migrations:
        return [_("None of its migrations has run.")]
    names = ", ".join(one.name for one in prepared.migrations if one not in left)
    return [_("Its migrations have run all the same: {names}.").format(names=names)]


def _how_to_mend(tried: Pass, undone: bool) -> str:
    if undone:
        return _("Look at the database with `rmc-dr db status` and at Liberty's log on the host.")
    return _(
        "`rmc-dr restore database --to {moment}` brings back the database from before; later writes are lost."
    ).format(moment=tried.began.isoformat(timespec="seconds"))
