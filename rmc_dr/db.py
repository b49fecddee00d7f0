"""The stories of `rmc-dr db switchover`, `reinit` and `failover`: all through Patroni, never behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice

from rmc_dr.command import Listener, Work, at_work, meanwhile, plan_of
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.gates import PRIMARY_EXISTS
from rmc_dr.i18n import _
from rmc_dr.model import Plan, Request
from rmc_dr.observe.dcs import observe_keys
from rmc_dr.observe.holdings import observe_bytes
from rmc_dr.observe.pair import observe_pair, tls_context
from rmc_dr.observe.postgres import database_bytes
from rmc_dr.observe.writes import Writes
from rmc_dr.pair import Health, Name, PairObservation, Role, moves, verdict
from rmc_dr.power import driver
from rmc_dr.record import read, runs

SETTLE_SECONDS = (
    45  # a dead leader's lock ends after Patroni's ttl, and its standby takes over in the next loop
)
WELL_SECONDS = 120
PROBE_SECONDS = 10
PROGRESS_SECONDS = 1.0
OLD_RUNS = 50


@dataclass(frozen=True)
class Switched:
    """``writes_down_seconds``: from the last small write that the old primary confirmed to this machine, to
    the first of the new one; None where that could not be measured."""

    run: str
    before: str
    primary: str
    writes_down_seconds: float | None
    verdict: str


@dataclass(frozen=True)
class Reinited:
    """``kept`` is where the old data lies, where it may be the only copy of something."""

    run: str
    host: str
    primary: str
    kept: str | None
    verdict: str


@dataclass(frozen=True)
class FailedOver:
    run: str
    primary: str
    before: str | None
    loss: moves.Loss
    verdict: str


def decide_switchover(estate: Estate, to: str | None) -> tuple[Plan, moves.Switchover]:
    """Look and decide; changes nothing. Raises Refused or BadInput."""
    _refuse_stranger(estate, to)
    move = moves.switchover(observe_pair(estate), observe_keys(estate, tls_context(estate)), to)
    return plan_of("db-switchover", move.candidate), move


def switchover(
    estate: Estate, to: str | None, listeners: Sequence[Listener], skip_preserve: str | None = None
) -> Switched:
    """Hand over to the standby and measure how long nobody took writes. Raises Refused, Locked or Error."""
    plan, move = decide_switchover(estate, to)
    with at_work(estate, plan, Request(plan.name, plan.target), listeners) as work:
        work.preserve(skip_preserve)
        seen = work.look()
        move = moves.switchover(seen, observe_keys(estate, tls_context(estate)), move.candidate)
        with Writes(estate) as writes:
            _soon(lambda: writes.last(move.leader) is not None)
            work.play("switchover", leader=move.leader, candidate=move.candidate)
            _soon(lambda: writes.gap(move.leader, move.candidate) is not None)
            gap = writes.gap(move.leader, move.candidate)
        after = work.wait_for(_goal(seen), WELL_SECONDS)
        if move.candidate not in [node.name for node in after.with_role(Role.PRIMARY)]:
            raise Error(
                "other-primary",
                _("Patroni chose another primary than {host}.").format(host=move.candidate),
                _("Look with `rmc-dr db status`; the applications run."),
            )
        down = None if gap is None else round(gap, 2)
        if down is not None:
            work.journal.append(
                "note", text=_("No write was confirmed for {seconds:.2f} s.").format(seconds=down)
            )
        return Switched(work.journal.run_id, move.leader, move.candidate, down, verdict(after).name)


def decide_reinit(estate: Estate, host: str) -> tuple[Plan, moves.Reinit]:
    """Look and decide; changes nothing. Raises Refused or BadInput."""
    _refuse_stranger(estate, host)
    move = moves.reinit(observe_pair(estate), host)
    destroys = (
        _("{host}: nothing; its data is put aside under another name")
        if move.keep
        else _("{host}: its copy of the database, which {leader} holds as well")
    ).format(host=host, leader=move.leader)
    return plan_of("db-reinit", host, (destroys,)), move


def reinit(
    estate: Estate, host: str, listeners: Sequence[Listener], skip_preserve: str | None = None
) -> Reinited:
    """Make a standby anew from the primary; returns once it receives. Raises Refused, Locked or Error."""
    plan, _move = decide_reinit(estate, host)
    with at_work(estate, plan, Request(plan.name, plan.target), listeners) as work:
        work.preserve(skip_preserve)
        seen = work.look()
        move = moves.reinit(seen, host)
        whole = database_bytes(estate, estate.host(move.leader))
        with meanwhile(partial(_tell_progress, work, host, whole), PROGRESS_SECONDS):
            outcome = work.play("reinit", target=host, keep=move.keep)
        after = work.wait_for(_goal(seen), WELL_SECONDS)
        kept = outcome.facts.get(host, {}).get("kept")
        return Reinited(work.journal.run_id, host, move.leader, kept, verdict(after).name)


def _tell_progress(work: Work, host: str, whole: int | None) -> None:
    """By what lies on the disk: a copy may come from the primary or from the backup."""
    done = observe_bytes(work.estate, work.estate.host(host))
    if done is not None:
        work.journal.append("progress", done=done, total=whole, what="copy of the primary")


def decide_failover(estate: Estate, to: str | None) -> tuple[Plan, moves.Failover]:
    """Look, wait until Patroni itself has nothing left to decide, and decide. Changes nothing.

    Raises Refused or BadInput.
    """
    _refuse_stranger(estate, to)
    move = _move_of(estate, _settled(estate), to)
    return plan_of("db-failover", move.candidate), move


def failover(
    estate: Estate,
    to: str | None,
    accept_loss: bool,
    listeners: Sequence[Listener],
    skip_preserve: str | None = None,
) -> FailedOver:
    """Promote a standby without its primary. Raises Refused, Locked or Error.

    What may still take writes is without power before.
    """
    plan, move = decide_failover(estate, to)
    moves.require_accepted(move, accept_loss)
    request = Request(plan.name, plan.target, {"accept_loss": True} if accept_loss else {})
    with at_work(estate, plan, request, listeners) as work:
        work.preserve(skip_preserve)
        move = _move_of(estate, work.look(), move.candidate)
        moves.require_accepted(move, accept_loss)
        work.journal.append("observation", loss=move.loss, old_primary=move.old)
        if move.isolate:
            work.play("isolate", isolate=",".join(move.isolate))
        work.play("failover", candidate=move.candidate, keep_lost=not move.loss.proven_none)
        after = work.wait_for(frozenset(Name(name) for name in PRIMARY_EXISTS), WELL_SECONDS)
        return FailedOver(work.journal.run_id, move.candidate, move.old, move.loss, verdict(after).name)


def _settled(estate: Estate) -> PairObservation:
    """The pair once a dead leader's lock has ended, or somebody leads."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        seen = observe_pair(estate)
        waits = not seen.with_role(Role.PRIMARY) and observe_keys(estate, tls_context(estate)).leader
        if not waits or time.monotonic() > deadline:
            return seen
        time.sleep(1)


def _move_of(estate: Estate, seen: PairObservation, to: str | None) -> moves.Failover:
    power = driver(estate)
    silent = [node.name for node in seen.with_role(Role.UNKNOWN)]
    off = [name for name in silent if power.state(estate.host(name)) in ("off", "rescue")]
    move = moves.failover(seen, observe_keys(estate, tls_context(estate)), off, to)
    return replace(move, loss=replace(move.loss, healthy_at=_last_seen_healthy(estate)))


def _last_seen_healthy(estate: Estate) -> datetime | None:
    """When a run record last saw the pair healthy: every acknowledged write stood on both nodes then."""
    for run in islice((run for run in runs() if run.state.estate == estate.name), OLD_RUNS):
        if run.damaged:
            continue
        seen = [
            event.time
            for event in read(run.path)
            if event.event == "observation" and event.get("pair") == Name.HEALTHY
        ]
        if seen:
            return seen[-1]
    return None


def _refuse_stranger(estate: Estate, name: str | None) -> None:
    if name is not None and "dbserver" not in estate.host(name).groups:
        raise BadInput(
            "not-a-dbserver",
            _("{host} is not a database host.").format(host=name),
            _("Database hosts of this estate: {hosts}.").format(
                hosts=", ".join(host.name for host in estate.group("dbserver"))
            ),
        )


def _goal(seen: PairObservation) -> frozenset[Name]:
    """How well the pair can be expected to be afterwards: a dead voter of etcd stays dead."""
    voters_well = all(member.health is Health.HEALTHY for member in seen.etcd)
    return frozenset({Name.HEALTHY}) if voters_well else moves.SERVES


def _soon(happened: Callable[[], bool]) -> None:
    """Wait a little for a measurement; without it the command goes on all the same."""
    deadline = time.monotonic() + PROBE_SECONDS
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)
