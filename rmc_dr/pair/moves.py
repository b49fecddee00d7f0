"""Who may lead next, who may be made anew, and what it may cost: seen -> a move, or a refusal. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from rmc_dr.errors import Refused
from rmc_dr.i18n import _
from rmc_dr.pair.judge import Name, follows, verdict
from rmc_dr.pair.keys import ClusterKeys
from rmc_dr.pair.seen import Node, PairObservation, Role, replica_of

SERVES = frozenset({Name.HEALTHY, Name.UNPROTECTED})


@dataclass(frozen=True)
class Switchover:
    """A living primary hands over to its synchronous standby."""

    leader: str
    candidate: str


@dataclass(frozen=True)
class Reinit:
    """``host`` becomes a new copy of ``leader``. ``keep``: its own data may be the only copy of something."""

    host: str
    leader: str
    keep: bool


@dataclass(frozen=True)
class Loss:
    """What is known of acknowledged writes that the candidate may lack. None is unknown.

    ``proven_none``: the synchronous state proves that it lacks none. ``in_step_lsn`` is its last byte and
    ``in_step_at`` the commit time of its newest transaction: up to there it holds everything. ``leader_lsn``
    is how far the old primary had come when it last said so; ``missing_bytes`` of WAL are missing at least.
    ``healthy_at`` is when a run record last saw the pair in step.
    """

    proven_none: bool
    in_step_lsn: int | None
    in_step_at: datetime | None
    leader_lsn: int | None
    missing_bytes: int | None
    healthy_at: datetime | None = None


@dataclass(frozen=True)
class Failover:
    """``candidate`` is to lead after ``old``; before that, ``isolate`` are proven to be without power."""

    candidate: str
    old: str | None
    isolate: tuple[str, ...]
    loss: Loss


def switchover(seen: PairObservation, keys: ClusterKeys, to: str | None) -> Switchover:
    """The handover that loses nothing. Raises Refused."""
    judged = verdict(seen)
    if judged.name not in SERVES:
        raise Refused(
            "pair-not-healthy",
            _("The pair is {verdict}: {reason}").format(verdict=judged.name, reason=" ".join(judged.reasons)),
            _("Look with `rmc-dr db status`. A dead primary is replaced by `rmc-dr db failover`."),
        )
    primary = seen.with_role(Role.PRIMARY)[0]
    if to == primary.name:
        raise Refused(
            "already-primary",
            _("{host} is the primary already.").format(host=primary.name),
            _("Nothing needs to be done."),
        )
    fit = [node.name for node in seen.nodes if to in (None, node.name) and _in_step(primary, node, keys)]
    if not fit:
        raise Refused(
            "no-sync-standby",
            _("No standby is proven to hold every acknowledged write of {primary}.").format(
                primary=primary.name
            ),
            _("Wait until `rmc-dr db status` says sync; a switchover now could lose writes."),
        )
    _refuse_silent_patroni(seen, [primary.name, fit[0]])
    return Switchover(primary.name, fit[0])


def _in_step(primary: Node, node: Node, keys: ClusterKeys) -> bool:
    """By PostgreSQL's own word and by Patroni's."""
    if node is primary or node.role is not Role.STANDBY:
        return False
    replica = replica_of(primary, node)
    said = keys.sync_leader == primary.name and node.name in keys.sync_standbys
    return said and replica is not None and replica.sync_state in ("sync", "quorum")


def _refuse_silent_patroni(seen: PairObservation, names: Sequence[str]) -> None:
    for name in names:
        view = seen.view(name)
        if view is None or not (view.answered and view.cluster_seen) or view.paused:
            raise Refused(
                "patroni-not-ready",
                _("Patroni on {host} does not answer, is paused, or does not see the cluster.").format(
                    host=name
                ),
                _("Start it there: `systemctl start patroni`; then look with `rmc-dr db status`."),
            )


def reinit(seen: PairObservation, host: str) -> Reinit:
    """A node made anew from the primary. Raises Refused."""
    primaries = seen.with_role(Role.PRIMARY)
    if host in [node.name for node in primaries]:
        raise Refused(
            "is-primary",
            _("{host} takes writes: it is the primary.").format(host=host),
            _("Only a standby is made anew. `rmc-dr db switchover` hands over first."),
        )
    if len(primaries) != 1 or not seen.quorum or seen.leaders != {primaries[0].name}:
        judged = verdict(seen)
        raise Refused(
            "no-healthy-primary",
            _("There is no primary to copy from that is certain: the pair is {verdict}.").format(
                verdict=judged.name
            ),
            _("{host} may hold the only copy of the data. Look with `rmc-dr db status`.").format(host=host),
        )
    primary = primaries[0]
    node = next(node for node in seen.nodes if node.name == host)
    known = node.role is Role.STANDBY and verdict(seen).name is not Name.DIVERGED
    keep = not (known and follows(node, primary))
    if not keep:
        _refuse_silent_patroni(seen, [host])
    return Reinit(host, primary.name, keep)


def failover(seen: PairObservation, keys: ClusterKeys, off: Collection[str], to: str | None) -> Failover:
    """The promotion of a standby without its primary. ``off``: hosts proven to be without power.

    Raises Refused where a primary may live or Patroni could not decide. Whether the loss is accepted is
    asked by ``require_accepted``.
    """
    _refuse_living_primary(seen)
    if not seen.quorum or not keys.seen:
        raise Refused(
            "no-quorum",
            _("etcd has no quorum that can be seen, so Patroni can promote nobody."),
            _("Start etcd on two of its three voters; `rmc-dr db status` names them."),
        )
    if keys.leader:
        raise Refused(
            "leader-lives",
            _("{host} still holds Patroni's leader lock, though it shows no primary from here.").format(
                host=keys.leader
            ),
            _("It may take writes. Look with `rmc-dr db status`; the lock ends by itself when it is dead."),
        )
    node = _candidate(seen, keys, to)
    isolate = tuple(
        other.name
        for other in seen.nodes
        if other is not node and other.role is Role.UNKNOWN and other.name not in off
    )
    return Failover(node.name, keys.sync_leader, isolate, _loss(node, keys))


def _refuse_living_primary(seen: PairObservation) -> None:
    primaries = [node.name for node in seen.with_role(Role.PRIMARY)]
    if len(primaries) > 1:
        raise Refused(
            "split-brain",
            _("{nodes} all take writes.").format(nodes=", ".join(sorted(primaries))),
            _("Nothing is promoted into that. Follow `rmc-dr db status`."),
        )
    if primaries:
        raise Refused(
            "primary-lives",
            _("{host} takes writes: nobody has to be promoted.").format(host=primaries[0]),
            _("`rmc-dr db switchover` hands over without losing a write."),
        )


def _candidate(seen: PairObservation, keys: ClusterKeys, to: str | None) -> Node:
    fit = []
    for node in seen.with_role(Role.STANDBY):
        view = seen.view(node.name)
        if to in (None, node.name) and view and view.answered and view.cluster_seen:
            fit.append(node)
    if not fit:
        raise Refused(
            "no-candidate",
            _("No standby that could lead runs together with its Patroni."),
            _("Start PostgreSQL there: `systemctl start patroni`; then try again."),
        )
    return max(fit, key=lambda node: (_holds_all(node, keys), node.timeline or 0, node.lsn or 0))


def _holds_all(node: Node, keys: ClusterKeys) -> bool:
    if not (keys.seen and keys.synchronous and keys.sync_leader):
        return False
    return node.name == keys.sync_leader or node.name in keys.sync_standbys


def _loss(node: Node, keys: ClusterKeys) -> Loss:
    proven = _holds_all(node, keys)
    missing = None
    if keys.leader_lsn is not None and node.lsn is not None:
        missing = max(0, keys.leader_lsn - node.lsn)
    return Loss(proven, node.lsn, node.replayed_until, keys.leader_lsn, 0 if proven else missing)


def require_accepted(move: Failover, accept_loss: bool) -> None:
    """Raises Refused where acknowledged writes may be lost and nobody has accepted that."""
    if move.loss.proven_none or accept_loss:
        return
    missing = _("unknown") if move.loss.missing_bytes is None else move.loss.missing_bytes
    raise Refused(
        "loss-not-accepted",
        _("{host} may lack acknowledged writes: how many is unknown; bytes of WAL at least: {bytes}.").format(
            host=move.candidate, bytes=missing
        ),
        _("Bring {old} back: it holds them all. If it is lost for good, add --accept-loss.").format(
            old=move.old or _("the old primary")
        ),
    )
