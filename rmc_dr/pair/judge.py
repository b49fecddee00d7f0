"""One verdict on the pair out of a closed set. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from rmc_dr.i18n import _
from rmc_dr.pair.seen import EtcdMember, Health, Node, PairObservation, Role, lag, replica_of


class Name(StrEnum):
    """The closed set of verdicts; docs/runbooks/pair-verdicts.md has one section for each."""

    HEALTHY = "healthy"
    UNPROTECTED = "unprotected"
    STANDBY_LAGGING = "standby-lagging"
    STANDBY_DOWN = "standby-down"
    NO_PRIMARY = "no-primary"
    SPLIT_BRAIN = "split-brain"
    BOTH_STANDBY = "both-standby"
    DIVERGED = "diverged"
    NO_QUORUM = "no-quorum"
    DISAGREEMENT = "disagreement"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """One of the closed set, and why, in the operator's language."""

    name: Name
    reasons: tuple[str, ...] = ()


def verdict(seen: PairObservation) -> Verdict:
    """Judge one look. The worst that is proven comes first; healthy is what is left when nothing is wrong."""
    for judge in (_split_brain, _diverged, _no_quorum, _without_primary):
        if found := judge(seen):
            return found
    primary = seen.with_role(Role.PRIMARY)[0]
    others = [node for node in seen.nodes if node is not primary]
    for judge_standby in (_disagreement, _standby_down, _standby_lagging, _half_seen, _unprotected):
        if found := judge_standby(seen, primary, others):
            return found
    return Verdict(Name.HEALTHY)


def _split_brain(seen: PairObservation) -> Verdict | None:
    primaries = seen.with_role(Role.PRIMARY)
    if len(primaries) < 2:
        return None
    return Verdict(
        Name.SPLIT_BRAIN,
        (_("{nodes} all take writes.").format(nodes=_names(primaries)),),
    )


def _diverged(seen: PairObservation) -> Verdict | None:
    identifiers = {node.name: node.system_identifier for node in seen.nodes if node.system_identifier}
    if len(set(identifiers.values())) > 1:
        text = ", ".join(f"{name} {identifier}" for name, identifier in identifiers.items())
        return Verdict(
            Name.DIVERGED,
            (_("The nodes are different databases (system identifiers: {nodes}).").format(nodes=text),),
        )
    running = [*seen.with_role(Role.PRIMARY), *seen.with_role(Role.STANDBY)]
    strangers = [
        (one, other)
        for one, other in combinations(running, 2)
        if follows(other, one) is False and (one.role is Role.PRIMARY or follows(one, other) is False)
    ]
    return Verdict(Name.DIVERGED, tuple(_apart(*pair) for pair in strangers)) if strangers else None


def _apart(one: Node, other: Node) -> str:
    return _(
        "{other} (timeline {theirs}) holds WAL that is not in the history of {one} (timeline {ours})."
    ).format(other=other.name, theirs=other.timeline, one=one.name, ours=one.timeline)


def follows(node: Node, other: Node) -> bool | None:
    """Whether all WAL of ``node`` lies on the history of ``other``; None where that cannot be told.

    Two nodes promoted apart may give their timelines the same number: only the forks tell them apart.
    """
    if node.timeline is None or other.timeline is None:
        return None
    if node.timeline > other.timeline:
        return False
    if node.forks is not None and other.forks is not None and node.forks != other.forks[: len(node.forks)]:
        return False
    if node.timeline == other.timeline:
        if node.forks is not None and other.forks is not None and node.forks != other.forks:
            return False
        # Two looks a moment apart: a standby that receives may be seen ahead of the primary.
        ahead = node.lsn is not None and other.lsn is not None and node.lsn > other.lsn
        return not (ahead and other.role is Role.PRIMARY and not node.streaming)
    if other.forks is None:
        return None
    end = dict(other.forks).get(node.timeline)
    if end is None:
        return False
    return None if node.lsn is None else node.lsn <= end


def _no_quorum(seen: PairObservation) -> Verdict | None:
    if seen.quorum is not False:
        return None
    return Verdict(
        Name.NO_QUORUM,
        (_("No etcd voter that answers has a quorum: {voters}.").format(voters=_voters(seen.etcd)),),
    )


def _without_primary(seen: PairObservation) -> Verdict | None:
    if seen.with_role(Role.PRIMARY):
        return None
    standbys, unseen = seen.with_role(Role.STANDBY), seen.with_role(Role.UNKNOWN)
    if len(standbys) > 1 and not unseen:
        return Verdict(
            Name.BOTH_STANDBY,
            (_("{nodes} are standbys, and none takes writes.").format(nodes=_names(standbys)),),
        )
    if not unseen:
        return Verdict(Name.NO_PRIMARY, (*_troubles(seen.nodes), _("No node takes writes.")))
    if len(unseen) < len(seen.nodes) and seen.quorum and seen.leaders == {None}:
        return Verdict(
            Name.NO_PRIMARY,
            (*_troubles(unseen), _("No node that answers takes writes, and Patroni has no leader.")),
        )
    leaders = sorted(leader for leader in seen.leaders if leader)
    told = (_("Patroni says that {nodes} leads.").format(nodes=", ".join(leaders)),) if leaders else ()
    return Verdict(Name.UNKNOWN, (*_troubles(unseen), *told, _("Whether any node takes writes is unknown.")))


def _disagreement(seen: PairObservation, primary: Node, others: Sequence[Node]) -> Verdict | None:
    reasons = []
    for view in seen.patroni:
        if view.cluster_seen and view.leader != primary.name:
            reasons.append(
                _("{primary} takes writes, but Patroni on {host} says that {leader} leads.").format(
                    primary=primary.name, host=view.name, leader=view.leader or _("nobody")
                )
            )
        node = next((node for node in (primary, *others) if node.name == view.name), None)
        if node and view.role and _contradicts(view.role, node.role):
            reasons.append(
                _("Patroni on {host} calls it {said}, PostgreSQL there is {role}.").format(
                    host=view.name, said=view.role, role=node.role
                )
            )
    return Verdict(Name.DISAGREEMENT, tuple(reasons)) if reasons else None


def _contradicts(said: str, role: Role) -> bool:
    primary = said in ("primary", "master", "leader", "standby_leader")
    return (role is Role.PRIMARY and not primary) or (role is Role.STANDBY and primary)


def _standby_down(seen: PairObservation, primary: Node, others: Sequence[Node]) -> Verdict | None:
    unseen = [node for node in others if node.role is Role.UNKNOWN]
    if unseen and not (seen.quorum and seen.leaders == {primary.name}):
        return Verdict(
            Name.UNKNOWN,
            (
                *_troubles(unseen),
                _("{primary} takes writes; whether another node does as well is unknown.").format(
                    primary=primary.name
                ),
            ),
        )
    reasons = [*_troubles(node for node in others if node.role in (Role.UNKNOWN, Role.DOWN))]
    for node in others:
        if node.role is not Role.STANDBY:
            continue
        replica = replica_of(primary, node)
        if replica is None or node.streaming is False:
            reasons.append(
                _("{standby} runs but receives nothing from {primary}.").format(
                    standby=node.name, primary=primary.name
                )
            )
        elif replica.state != "streaming":
            reasons.append(
                _("{standby} is catching up with {primary} (state: {state}).").format(
                    standby=node.name, primary=primary.name, state=replica.state
                )
            )
        elif None not in (node.timeline, primary.timeline) and node.timeline != primary.timeline:
            reasons.append(
                _("{standby} is still on timeline {theirs}, {primary} on {ours}.").format(
                    standby=node.name, theirs=node.timeline, primary=primary.name, ours=primary.timeline
                )
            )
    if not others:
        reasons.append(_("The pair has only one node."))
    return Verdict(Name.STANDBY_DOWN, tuple(reasons)) if reasons else None


def _standby_lagging(seen: PairObservation, primary: Node, others: Sequence[Node]) -> Verdict | None:
    reasons, unknown = [], []
    for node in others:
        size, seconds = lag(primary, node)
        if node.replay_paused:
            reasons.append(_("{standby} has its replay paused.").format(standby=node.name))
        if (size or 0) > seen.limits.lag_bytes or (seconds or 0) > seen.limits.lag_seconds:
            reasons.append(
                _("{standby} is {bytes} bytes and {seconds} seconds behind.").format(
                    standby=node.name,
                    bytes="?" if size is None else size,
                    seconds="?" if seconds is None else round(seconds, 1),
                )
            )
        elif size is None or seconds is None:
            unknown.append(_("How far {standby} is behind is unknown.").format(standby=node.name))
    if reasons:
        return Verdict(Name.STANDBY_LAGGING, tuple(reasons))
    return Verdict(Name.UNKNOWN, tuple(unknown)) if unknown else None


def _half_seen(seen: PairObservation, primary: Node, others: Sequence[Node]) -> Verdict | None:
    """A node or a Patroni that answered, but left out what the verdict stands on."""
    hosts = [node.name for node in (primary, *others) if None in (node.system_identifier, node.timeline)]
    hosts += [node.name for node in others if None in (node.streaming, node.replay_paused)]
    hosts += [view.name for view in seen.patroni if view.answered and view.role is None]
    reasons = [_("{host} told only half of its state.").format(host=host) for host in sorted(set(hosts))]
    return Verdict(Name.UNKNOWN, tuple(reasons)) if reasons else None


def _unprotected(seen: PairObservation, primary: Node, others: Sequence[Node]) -> Verdict | None:
    """The pair serves, but one more loss would cost acknowledged writes or the service."""
    reasons = []
    replicas = [replica for node in others if (replica := replica_of(primary, node))]
    if not any(replica.sync_state in ("sync", "quorum") for replica in replicas):
        reasons.append(
            _("No standby is synchronous: the last writes may stand on {primary} alone.").format(
                primary=primary.name
            )
        )
    for view in seen.patroni:
        if not view.answered:
            reasons.append(
                _("Patroni on {host} does not answer ({error}): nothing takes over by itself.").format(
                    host=view.name, error=view.error
                )
            )
        elif not view.cluster_seen:
            reasons.append(_("Patroni on {host} does not see the cluster.").format(host=view.name))
        elif view.paused:
            reasons.append(_("Patroni is paused: nothing takes over by itself."))
    if sick := [member for member in seen.etcd if member.health is not Health.HEALTHY]:
        reasons.append(_("Not every etcd voter is well: {voters}.").format(voters=_voters(sick)))
    if not seen.etcd or not seen.patroni:
        reasons.append(_("Patroni or etcd was not looked at."))
    reasons.extend(
        _("{host} is not known to have data checksums.").format(host=node.name)
        for node in (primary, *others)
        if node.checksums is not True
    )
    return Verdict(Name.UNPROTECTED, tuple(dict.fromkeys(reasons))) if reasons else None


def _troubles(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(
        _("{host} is {role}: {error}.").format(host=node.name, role=node.role, error=node.error or "?")
        for node in nodes
        if node.role in (Role.DOWN, Role.UNKNOWN)
    )


def _names(nodes: Sequence[Node]) -> str:
    return ", ".join(sorted(node.name for node in nodes))


def _voters(members: Sequence[EtcdMember]) -> str:
    return ", ".join(f"{member.name} {member.health}" for member in sorted(members, key=lambda m: m.name))
