"""The stories of `rmc-dr stop`, `start` and `restart`: in order, and gated on the database's health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rmc_dr import fence, journey
from rmc_dr.command import Listener, Work, at_work, plan_of
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.gate_passing import pass_gate
from rmc_dr.gates import PRIMARY_EXISTS, YES
from rmc_dr.i18n import _
from rmc_dr.model import Answer, Plan, Reach, Request
from rmc_dr.observe.holdings import observe_holdings
from rmc_dr.observe.hosts import observe_host
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import Holding, Name, PairObservation, apart, verdict
from rmc_dr.words import lsn

PRIMARY_SECONDS = 60
TORN = frozenset({Name.SPLIT_BRAIN, Name.DIVERGED})


@dataclass(frozen=True)
class Served:
    """How the estate stands after the command: the fence of each application server, and the pair."""

    run: str
    serving: dict[str, bool | None]
    users: dict[str, str]
    pair: str


def plan_stop(estate: Estate, *, writes: bool) -> Plan:
    """``writes``: only the applications; the databases stay up."""
    return plan_of("stop-writes" if writes else "stop", estate.name)


def plan_start(estate: Estate) -> Plan:
    """Raises Refused where both nodes of the pair hold writes that the other lacks."""
    _refuse_torn(estate, observe_pair(estate))
    return plan_of("start", estate.name)


def plan_restart(estate: Estate, *, writes: bool, reconfigure: bool = False) -> Plan:
    """What stop does, then what start does; between them Liberty's configuration anew, if it is asked for."""
    down, up = plan_stop(estate, writes=writes), plan_start(estate)
    between = plan_of("reconfigure", estate.name).stages if reconfigure else ()
    again = [stage for stage in up.stages if stage.name not in {known.name for known in down.stages}]
    return replace(down, name="restart", stages=(*down.stages, *between, *again))


def stop(
    estate: Estate, listeners: Sequence[Listener], *, writes: bool, skip_preserve: str | None = None
) -> Served:
    """Stop the applications and keep the users out; without ``writes`` the pair as well.

    ``skip_preserve`` is the operator's reason not to keep the scene first. Raises Refused, Locked or Error.
    """

    def story(work: Work) -> None:
        _stop(work, writes, skip_preserve)

    return _work(estate, plan_stop(estate, writes=writes), listeners, story)


def start(estate: Estate, listeners: Sequence[Listener]) -> Served:
    """Start what does not run, prove it, let the users in. Raises Refused, Locked or Error."""
    return _work(estate, plan_start(estate), listeners, _start)


def restart(
    estate: Estate,
    listeners: Sequence[Listener],
    *,
    writes: bool,
    skip_preserve: str | None = None,
    reconfigure: bool = False,
) -> Served:
    """Stop, then start; refused before anything is stopped where start would be. Raises the same.

    ``reconfigure``: meanwhile Liberty's configuration is written anew from the estate.
    """

    def story(work: Work) -> None:
        _stop(work, writes, skip_preserve)
        if reconfigure:
            work.play("reconfigure")
        _start(work)

    plan = plan_restart(estate, writes=writes, reconfigure=reconfigure)
    return _work(estate, plan, listeners, story)


def _work(estate: Estate, plan: Plan, listeners: Sequence[Listener], story: Callable[[Work], None]) -> Served:
    with at_work(estate, plan, Request(plan.name, plan.target), listeners) as work:
        story(work)
        hosts = estate.group("appserver")
        return Served(
            work.journal.run_id,
            {host.name: observe_host(estate, host).serving for host in hosts},
            {host.name: fence.status(estate, host).users for host in hosts},
            verdict(work.look()).name,
        )


def _stop(work: Work, writes: bool, skip_preserve: str | None) -> None:
    judged = verdict(work.look())
    if not writes:
        pass_gate(work.journal, "quiesce", _may_stop_the_pair(judged.name))
    work.preserve(skip_preserve)
    work.play("quiesce")
    work.play("close")
    if not writes:
        work.look()  # the applications write no more: what both nodes hold now stands in the record
        work.play("pair-down", pair=_names(_answering(work.estate, "dbserver")))


def _may_stop_the_pair(state: Name) -> Answer:
    if state not in TORN:
        return YES
    return Answer(
        False,
        _("the database pair is in the state {verdict}").format(verdict=state),
        _("`rmc-dr stop --writes` stops the applications alone; then follow `rmc-dr db status`."),
    )


def _start(work: Work) -> None:
    estate = work.estate
    seen = work.look()
    _refuse_torn(estate, seen)
    if verdict(seen).name not in PRIMARY_EXISTS or not _all_run(seen):
        work.play("voters", voters=_names(_answering(estate, "dbserver", "store")))
        work.play("pair-up", pair=_names(_answering(estate, "dbserver")))
        seen = work.wait_for(frozenset(Name(name) for name in PRIMARY_EXISTS), PRIMARY_SECONDS)
    pass_gate(work.journal, "start", _may_start(verdict(seen).name))
    hosts = estate.group("appserver")
    if not all(observe_host(estate, host).serving for host in hosts):
        work.play("close")
        work.play("start")
    work.prove("open", [check for host in hosts for check in journey.prove(estate, host)])
    work.play("open")


def _may_start(state: Name) -> Answer:
    if state in PRIMARY_EXISTS:
        return YES
    return Answer(
        False,
        _("no primary that can be trusted: the pair is {verdict}").format(verdict=state),
        _("Look with `rmc-dr db status`, which names the next step."),
    )


def _all_run(seen: PairObservation) -> bool:
    return all(view.answered for view in seen.patroni)


def _refuse_torn(estate: Estate, seen: PairObservation) -> None:
    """A node whose Patroni does not run is read from its disk: once started, it would be rewound.

    Where Patroni runs, it has decided already, by the synchronous state: what its node alone has was never
    acknowledged.
    """
    torn = verdict(seen).name in TORN
    if not torn and _all_run(seen):
        return
    holdings = observe_holdings(estate, estate.group("dbserver"))
    parted = [pair for pair in apart(holdings) if not all(node.managed for node in pair)]
    if not torn and not parted:
        return
    raise Refused(
        "both-hold-writes",
        _("The nodes of the pair hold writes that the other lacks. {facts}").format(
            facts="; ".join(_told(holding) for holding in holdings)
        ),
        _("Nothing was started. Decide which node goes on: docs/runbooks/pair-verdicts.md, diverged."),
    )


def _told(holding: Holding) -> str:
    return _(
        "{host}: timeline {timeline} since {fork}, last byte {last}, newest transaction {at} UTC at {commit}"
    ).format(
        host=holding.name,
        timeline=holding.timeline,
        fork=lsn(holding.fork_lsn or 0),
        last=lsn(holding.last_lsn),
        at=holding.commit_at or _("unknown"),
        commit=lsn(holding.commit_lsn),
    )


def _answering(estate: Estate, *groups: str) -> list[Host]:
    """Raises Refused where none does."""
    hosts = [host for group in groups for host in estate.group(group)]
    answering = [host for host in hosts if observe_host(estate, host).reach is Reach.SYSTEM]
    if not answering:
        raise Refused(
            "hosts-silent",
            _("None of these hosts answers: {hosts}.").format(hosts=_names(hosts)),
            _("Look at their power and their cables, then give the command again."),
        )
    return answering


def _names(hosts: Sequence[Host]) -> str:
    return ",".join(host.name for host in hosts)
