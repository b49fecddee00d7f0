"""The story of `rmc-dr rebuild`: observe, plan, lock, run; and of `rmc-dr resume`."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from rmc_dr import content, engine
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.exclusive import canceled_by_signal, refuse_open_run
from rmc_dr.i18n import _
from rmc_dr.kit import verify as kit_verify
from rmc_dr.kit.manifest import Manifest
from rmc_dr.model import Check, HostObservation, PairState, Plan, Reach, Request, Stage
from rmc_dr.observe.backups import observe_lineage
from rmc_dr.observe.hosts import observe_host
from rmc_dr.observe.inspection import observe_inspection
from rmc_dr.observe.pair import observe_pair
from rmc_dr.observe.postgres import hold_estate_lock
from rmc_dr.observe.repository import observe_store
from rmc_dr.observe.room import observe_room
from rmc_dr.pair import Role, verdict
from rmc_dr.plans import (
    read_stages,
    rebuild_appserver,
    rebuild_dbserver,
    rebuild_estate,
    rebuild_verifier,
    restore_database,
    wanted,
    with_hosts,
)
from rmc_dr.plans.machine import member, refuse_shared_identity
from rmc_dr.plans.moment import LATEST
from rmc_dr.plans.restore_database import GivenUp
from rmc_dr.record import (
    Event,
    Journal,
    RunState,
    RunSummary,
    find,
    local_lock,
    new_run_id,
    newest_run,
    read,
    runs,
)
from rmc_dr.runner import end_leftovers
from rmc_dr.speed import database_speed
from rmc_dr.verify import verify

Listener = Callable[[Event], None]
RULES = {
    rebuild_appserver.NAME: (rebuild_appserver.GROUP, rebuild_appserver.decide),
    rebuild_dbserver.NAME: (rebuild_dbserver.GROUP, rebuild_dbserver.decide),
}
# What is asked of the estate, and of the verification host after it.
FOR_VERIFIER = ("accept_expired_kit", "skip_preserve", "break_lock", "replace_healthy")


def make_plan(estate: Estate, request: Request) -> Plan:
    """Observe and decide; changes nothing. Raises Refused or BadInput with the reason."""
    for name in str(request.options.get("replace_healthy") or "").split(","):
        if name:
            estate.host(name)
    if request.plan in rebuild_estate.GROUPS:
        return _plan_of_many(estate, request)
    if request.plan == rebuild_verifier.NAME:
        return _plan_of_verifier(estate, request)
    if request.plan == restore_database.NAME:
        return _plan_of_restore(estate, request)
    group, decide = RULES[request.plan]
    host = _target(estate, request, group)
    seen = observe_host(estate, host)
    return decide(estate, _stages(estate, request), request, seen, pair_state(estate))


def _plan_of_many(estate: Estate, request: Request) -> Plan:
    request = rebuild_estate.with_fixed(estate, request)
    hosts = rebuild_estate.hosts_of(estate, request.plan)
    for host in hosts:
        refuse_shared_identity(estate, host)
    with ThreadPoolExecutor(len(hosts) + 2) as pool:
        pair, stored = pool.submit(pair_state, estate), pool.submit(observe_store, estate)
        seen = dict(
            zip((host.name for host in hosts), pool.map(partial(observe_host, estate), hosts), strict=True)
        )
        return rebuild_estate.decide(
            estate, _stages(estate, request), request, seen, pair.result(), stored.result()
        )


def _target(estate: Estate, request: Request, group: str) -> Host:
    host = member(estate, request.target, group)
    refuse_shared_identity(estate, host)
    return host


def _plan_of_verifier(estate: Estate, request: Request) -> Plan:
    host = _target(estate, request, rebuild_verifier.GROUP)
    seen = observe_host(estate, host)
    return rebuild_verifier.decide(
        estate, _stages(estate, request), request, seen, copy_stands=_copy_stands(estate, seen)
    )


def _copy_stands(estate: Estate, seen: HostObservation) -> bool:
    """Whether a backup stands on the host to be looked into; of one that is dead nobody looks any more."""
    inspection = observe_inspection(estate) if seen.reach is Reach.SYSTEM else None
    return inspection is not None and inspection.state == "stands"


def plan_verifier(estate: Estate, before: Request) -> tuple[Plan, Request] | None:
    """The rebuild of the verification host that follows a rebuild of the whole estate. Raises as `make_plan`.

    None where ``before`` was of something else, where the estate has no such host, and where it lives.
    """
    hosts = estate.group(rebuild_verifier.GROUP)
    if before.plan != "rebuild-estate" or not hosts:
        return None
    options = {key: before.options[key] for key in FOR_VERIFIER if before.options.get(key)}
    request = Request(rebuild_verifier.NAME, hosts[0].name, options)
    try:
        return make_plan(estate, request), request
    except Refused as error:
        if error.code == "healthy-host":
            return None
        raise


def start_verifier(estate: Estate, before: Request, listeners: Sequence[Listener]) -> str | None:
    """Rebuild the verification host once the estate is; the run's id, or None as `plan_verifier`.

    A run of its own: the users work by then, and their recovery time has ended. Raises what `start` raises.
    """
    try:
        found = plan_verifier(estate, before)
        return None if found is None else start(estate, *found, listeners)
    except Error as error:
        error.add(_("The estate itself is recovered, and its users are let in."))
        raise


def request_of(run_id: str, given: Mapping[str, str]) -> Request:
    """What a run was asked for, and what was given when it went on."""
    return _request(RunState.of(read(find(run_id))), given)


def _plan_of_restore(estate: Estate, request: Request) -> Plan:
    host = _target(estate, request, restore_database.GROUP)
    hosts = estate.group(restore_database.GROUP)
    with ThreadPoolExecutor(len(hosts) + 4) as pool:
        seen, pair = pool.submit(observe_host, estate, host), pool.submit(pair_state, estate)
        stored, lineage = pool.submit(observe_store, estate), pool.submit(observe_lineage, estate)
        rooms = dict(
            zip((one.name for one in hosts), pool.map(partial(observe_room, estate), hosts), strict=True)
        )
        sources = restore_database.Sources(
            replace(stored.result(), lineage=lineage.result()), database_speed(estate.name), rooms
        )
        return restore_database.decide(
            estate, _stages(estate, request), request, seen.result(), pair.result(), sources
        )


def _stages(estate: Estate, request: Request) -> tuple[Stage, ...]:
    playbook = content.root() / "playbooks" / f"{request.plan}.yml"
    return with_hosts(
        wanted(read_stages(playbook), request), playbook, estate, partial(engine.stage_variables, request)
    )


def prove_kit(estate: Estate, request: Request) -> None:
    """Raises what `start` would raise for the kit: a plan that cannot be carried out says so."""
    try:
        kit_verify.verify(estate, request.options.get("accept_expired_kit"))
    except Error as error:
        error.add(_("The plan above would be refused."))
        raise


def start(estate: Estate, plan: Plan, request: Request, listeners: Sequence[Listener]) -> str:
    """Run a plan from its first stage; returns the run's id. Raises what engine.execute raises.

    Whoever is refused before the first stage leaves no run behind.
    """
    run_id = new_run_id(plan.name)
    request = replace(request, options={**request.options, **plan.options})
    with local_lock(estate.name, run_id), ExitStack() as held:
        refuse_open_run(estate)
        for old in islice((run for run in runs() if run.state.estate == estate.name), 1):
            end_leftovers(old.run_id)
        reason = request.options.get("accept_expired_kit")
        manifest = kit_verify.verify(estate, reason)
        keep_lock = held.enter_context(hold_estate_lock(estate, run_id, request.options.get("break_lock")))
        canceled = held.enter_context(canceled_by_signal())
        journal = held.enter_context(
            Journal.create(
                plan,
                request,
                run_id=run_id,
                estate=estate.name,
                operator=getpass.getuser(),
                secrets=estate.opened().values(),
                listeners=listeners,
                centre=estate.config.centre,
                rto_hours=estate.config.targets.rto_hours,
                language=estate.config.language,
                kit=manifest.sha256,
                restores=plan.restores,
                archived_at=plan.archived_at,
            )
        )
        _record_expired(journal, manifest, reason)
        _record_given_up(journal, request)
        _record_skipped(journal, request)
        _execute(estate, plan, request, journal, keep_lock, canceled)
    return run_id


def resume(
    estate: Estate,
    listeners: Sequence[Listener],
    break_lock: str | None = None,
    accept_expired_kit: str | None = None,
    without_files: str | None = None,
) -> str:
    """Go on with the estate's open run; returns its id. Raises BadInput where none is open, Refused where
    the kit is not the one that the run began with."""
    run = newest_run(estate.name)
    if run is not None and run.damaged:
        raise Error(
            "journal-damaged",
            _("The newest run cannot be gone on with. {damage}").format(damage=run.damaged),
            _("An older one is superseded by it. Start a new run, it observes the estate afresh."),
        )
    if run is None or not run.open:
        raise BadInput(
            "no-open-run",
            _("No run of the estate {estate} is open.").format(estate=estate.name),
            _("`rmc-dr runs` lists the runs that ended."),
        )
    with local_lock(estate.name, run.run_id), ExitStack() as held:
        given = {
            "break_lock": break_lock,
            "accept_expired_kit": accept_expired_kit,
            "without_files": without_files,
        }
        request = _request(run.state, {key: value for key, value in given.items() if value})
        reason = request.options.get("accept_expired_kit")
        manifest = kit_verify.verify(estate, reason)
        _refuse_other_kit(run, manifest)
        stages = wanted(read_stages(content.root() / "playbooks" / f"{run.state.plan}.yml"), request)
        plan = Plan(run.state.plan, run.state.target, stages)
        keep_lock = held.enter_context(
            hold_estate_lock(estate, run.run_id, request.options.get("break_lock"))
        )
        canceled = held.enter_context(canceled_by_signal())
        journal = held.enter_context(Journal.open(run.run_id, secrets=estate.opened().values()))
        for listener in listeners:
            journal.listen(listener)
        for event in read(run.path):
            for listener in listeners:
                listener(event)
        journal.append("run-resumed", ended_leftovers=end_leftovers(run.run_id))
        _record_expired(journal, manifest, reason)
        if without_files:
            _record_given_up(journal, request)
        _execute(estate, plan, request, journal, keep_lock, canceled)
    return run.run_id


def pair_state(estate: Estate) -> PairState:
    """The pair's verdict, `unknown` where it cannot be told, and who takes writes."""
    seen = observe_pair(estate)
    named = {role: tuple(node.name for node in seen.with_role(role)) for role in Role}
    primaries = named[Role.PRIMARY]
    return PairState(
        str(verdict(seen).name),
        primaries[0] if len(primaries) == 1 else None,
        running=(*primaries, *named[Role.STANDBY]),
        down=named[Role.DOWN],
    )


def given_up(estate: Estate) -> list[GivenUp]:
    """What the restores recorded on this machine have left behind."""
    return [
        GivenUp(run.run_id, datetime.fromisoformat(moment), until)
        for run in runs()
        if run.state.estate == estate.name
        and run.state.plan == restore_database.NAME
        and "lead" in run.state.completed
        and (moment := run.state.about.get("options", {}).get("restore_to", LATEST)) != LATEST
        and (until := restore_database.frozen_at(run.state))
    ]


def _execute(
    estate: Estate,
    plan: Plan,
    request: Request,
    journal: Journal,
    keep_lock: Callable[[], bool],
    canceled: Callable[[], bool],
) -> None:
    engine.execute(
        engine.Run(
            estate=estate,
            plan=plan,
            request=request,
            journal=journal,
            keep_lock=keep_lock,
            observe_pair=lambda: pair_state(estate),
            prove=lambda: _prove(estate, plan, journal),
            canceled=canceled,
            hosts=rebuild_estate.hosts_of(estate, plan.name) if plan.name in rebuild_estate.GROUPS else (),
        )
    )


def _prove(estate: Estate, plan: Plan, journal: Journal) -> Sequence[Check]:
    """The target is proven; after a restore the applications on it, for the pair becomes whole afterwards."""
    if plan.name in rebuild_estate.GROUPS:
        hosts = [*estate.group("appserver"), *estate.group("dbserver")]
    elif plan.name == restore_database.NAME:
        hosts = list(estate.group("appserver"))
    else:
        hosts = [estate.host(plan.target)]
    return verify(estate, hosts, journal.path / "verify.xml")


def _request(state: RunState, given: Mapping[str, str]) -> Request:
    """What was asked for when the run began, but for what is given anew."""
    return Request(state.plan, state.target, {**state.about.get("options", {}), **given})


def _refuse_other_kit(run: RunSummary, manifest: Manifest) -> None:
    """Half of a host from one kit and half from another is proven by neither."""
    began_with = run.state.about.get("kit")
    if began_with != manifest.sha256:
        raise Refused(
            "kit-changed",
            _("The run {run} began with the kit {began}, but this one is {now}.").format(
                run=run.run_id, began=str(began_with)[:12], now=manifest.sha256[:12]
            ),
            _(
                "Put that kit back to {path}; or close the run by `rmc-dr runs abandon {run} "
                '--reason "..."` and begin anew with this one.'
            ).format(path=manifest.root, run=run.run_id),
        )


def _record_given_up(journal: Journal, request: Request) -> None:
    """Attachments that users go on without are somebody's decision, and the report says whose reason."""
    if reason := request.options.get("without_files"):
        journal.append("files-given-up", reason=reason)


def _record_skipped(journal: Journal, request: Request) -> None:
    """A scene that nobody kept is somebody's decision, and the report says whose reason."""
    if reason := request.options.get("skip_preserve"):
        journal.append("preserve-skipped", reason=reason)


def _record_expired(journal: Journal, manifest: Manifest, reason: str | None) -> None:
    """The reason counts only where it decided something."""
    if reason and not manifest.in_date(datetime.now(UTC)):
        journal.append("kit-expired-accepted", reason=reason)
