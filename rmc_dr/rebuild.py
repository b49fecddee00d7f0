"""The story of `rmc-dr rebuild appserver`: observe, plan, lock, run; and of `rmc-dr resume`."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice

from rmc_dr import content, engine
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.exclusive import canceled_by_signal, refuse_open_run
from rmc_dr.i18n import _
from rmc_dr.kit import verify as kit_verify
from rmc_dr.model import Check, Plan, Request
from rmc_dr.observe.hosts import observe_host
from rmc_dr.observe.pair import observe_pair
from rmc_dr.observe.postgres import hold_estate_lock
from rmc_dr.pair import verdict
from rmc_dr.plans import read_stages, rebuild_appserver
from rmc_dr.record import Event, Journal, RunSummary, local_lock, open_run, read, runs
from rmc_dr.runner import end_leftovers
from rmc_dr.verify import verify

Listener = Callable[[Event], None]


def make_plan(estate: Estate, request: Request) -> Plan:
    """Observe and decide; changes nothing. Raises Refused or BadInput with the reason."""
    host = estate.host(request.target)
    if "appserver" not in host.groups:
        raise BadInput(
            "not-an-appserver",
            _("{host} is not an application server.").format(host=host.name),
            _("Application servers of this estate: {hosts}.").format(
                hosts=", ".join(member.name for member in estate.group("appserver"))
            ),
        )
    stages = read_stages(content.root() / "playbooks" / f"{rebuild_appserver.NAME}.yml")
    seen = observe_host(estate, host)
    return rebuild_appserver.decide(estate, stages, request, seen, pair_verdict(estate))


def start(estate: Estate, plan: Plan, request: Request, listeners: Sequence[Listener]) -> str:
    """Run a plan from its first stage; returns the run's id. Raises what engine.execute raises."""
    with local_lock(estate.name, f"{plan.name} {plan.target}"):
        refuse_open_run(estate)
        for old in islice((run for run in runs() if run.state.estate == estate.name), 1):
            end_leftovers(old.run_id)
        manifest = kit_verify.verify(estate, request.options.get("accept_expired_kit"))
        journal = Journal.create(
            plan,
            request,
            estate=estate.name,
            operator=getpass.getuser(),
            secrets=estate.opened().values(),
            listeners=listeners,
            centre=estate.config.centre,
            rto_hours=estate.config.targets.rto_hours,
            language=estate.config.language,
            kit=manifest.sha256,
        )
        with journal:
            if reason := request.options.get("accept_expired_kit"):
                journal.append("kit-expired-accepted", reason=reason)
            _execute(estate, plan, request, journal)
        return journal.run_id


def resume(estate: Estate, listeners: Sequence[Listener], break_lock: str | None = None) -> str:
    """Go on with the estate's open run; returns its id. Raises BadInput where none is open."""
    run = open_run(estate.name)
    if run is None:
        raise BadInput(
            "no-open-run",
            _("No run of the estate {estate} is open.").format(estate=estate.name),
            _("`rmc-dr runs` lists the runs that ended."),
        )
    with local_lock(estate.name, run.run_id):
        request = _request(run, break_lock)
        kit_verify.verify(estate, request.options.get("accept_expired_kit"))
        stages = read_stages(content.root() / "playbooks" / f"{run.state.plan}.yml")
        plan = Plan(run.state.plan, run.state.target, stages)
        with Journal.open(run.run_id, secrets=estate.opened().values()) as journal:
            for listener in listeners:
                journal.listen(listener)
            for event in read(run.path):
                for listener in listeners:
                    listener(event)
            journal.append("run-resumed", ended_leftovers=end_leftovers(run.run_id))
            _execute(estate, plan, request, journal)
        return journal.run_id


def pair_verdict(estate: Estate) -> str:
    """The name of the pair's verdict; `unknown` where it cannot be told."""
    return verdict(observe_pair(estate)).name


def _execute(estate: Estate, plan: Plan, request: Request, journal: Journal) -> None:
    with ExitStack() as held, canceled_by_signal() as canceled:
        break_lock = request.options.get("break_lock")
        keep_lock = held.enter_context(hold_estate_lock(estate, journal.run_id, break_lock))
        engine.execute(
            engine.Run(
                estate=estate,
                plan=plan,
                request=request,
                journal=journal,
                keep_lock=keep_lock,
                observe_verdict=lambda: pair_verdict(estate),
                prove=lambda: _prove(estate, plan, journal),
                canceled=canceled,
            )
        )


def _prove(estate: Estate, plan: Plan, journal: Journal) -> Sequence[Check]:
    return verify(estate, [estate.host(plan.target)], journal.path / "verify.xml")


def _request(run: RunSummary, break_lock: str | None) -> Request:
    options = dict(run.state.about.get("options", {}))
    if break_lock:
        options["break_lock"] = break_lock
    return Request(run.state.plan, run.state.target, options)
