"""The verdict on the pair: total, honest about what is unknown, and never kinder than what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rmc_dr.pair import (
    EtcdMember,
    Health,
    Limits,
    Name,
    Node,
    PairObservation,
    PatroniView,
    Replica,
    Role,
    lag,
    verdict,
)

LIMITS = Limits(lag_bytes=16 << 20, lag_seconds=30)
NAMES = ("db1", "db2")
LSN = 5 << 24

maybe_bool = st.sampled_from([None, False, True])
timelines = st.none() | st.integers(1, 4)
positions = st.none() | st.integers(1, 1 << 28)
forks = st.none() | st.lists(st.integers(1, 1 << 28), max_size=3).map(
    lambda ends: tuple(enumerate(sorted(ends), start=1))
)
replicas = st.lists(
    st.builds(
        Replica,
        name=st.sampled_from([*NAMES, "other"]),
        address=st.just(""),
        state=st.sampled_from(["streaming", "catchup", "startup", ""]),
        sync_state=st.sampled_from(["sync", "quorum", "async", "potential", ""]),
        lag_bytes=st.none() | st.integers(0, 1 << 30),
        lag_seconds=st.none() | st.floats(0, 1e6),
    ),
    max_size=2,
).map(tuple)


def nodes(name: str) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        name=st.just(name),
        role=st.sampled_from(Role),
        system_identifier=st.sampled_from([None, "7", "7", "8"]),
        timeline=timelines,
        forks=forks,
        current_lsn=positions,
        received_lsn=positions,
        replayed_lsn=positions,
        streaming=maybe_bool,
        replay_paused=maybe_bool,
        replay_age_seconds=st.none() | st.floats(0, 1e6),
        replicas=replicas,
        checksums=maybe_bool,
    )


def views(name: str) -> st.SearchStrategy[PatroniView]:
    return st.builds(
        PatroniView,
        name=st.just(name),
        answered=st.booleans(),
        role=st.sampled_from([None, "primary", "replica", "uninitialized"]),
        cluster_seen=st.booleans(),
        leader=st.sampled_from([None, *NAMES]),
        paused=st.booleans(),
    )


etcd = st.tuples(*(st.builds(EtcdMember, st.just(name), st.sampled_from(Health)) for name in (*NAMES, "s1")))
anything = st.builds(
    PairObservation,
    nodes=st.tuples(*map(nodes, NAMES)),
    patroni=st.tuples(*map(views, NAMES)),
    etcd=etcd,
    limits=st.just(LIMITS),
)


def well() -> PairObservation:
    """A healthy pair: db1 leads, db2 follows synchronously."""
    common = {"system_identifier": "7", "timeline": 3, "forks": ((1, 100), (2, 200)), "checksums": True}
    replica = Replica("db2", "", "streaming", "sync", 0, None)
    first = Node("db1", Role.PRIMARY, current_lsn=LSN, replicas=(replica,), **common)
    second = Node(
        "db2",
        Role.STANDBY,
        received_lsn=LSN,
        replayed_lsn=LSN,
        streaming=True,
        replay_paused=False,
        replay_age_seconds=0.0,
        **common,
    )
    says = [PatroniView(n, True, role=r, cluster_seen=True, leader="db1") for n, r in
            (("db1", "primary"), ("db2", "replica"))]  # fmt: skip
    voters = tuple(EtcdMember(name, Health.HEALTHY) for name in (*NAMES, "s1"))
    return PairObservation((first, second), tuple(says), voters, LIMITS)


def with_node(seen: PairObservation, index: int, **changes: object) -> PairObservation:
    changed = list(seen.nodes)
    changed[index] = replace(changed[index], **changes)
    return replace(seen, nodes=tuple(changed))


def with_view(seen: PairObservation, index: int, **changes: object) -> PairObservation:
    changed = list(seen.patroni)
    changed[index] = replace(changed[index], **changes)
    return replace(seen, patroni=tuple(changed))


def with_etcd(seen: PairObservation, *healths: Health) -> PairObservation:
    members = tuple(replace(member, health=health) for member, health in zip(seen.etcd, healths, strict=True))
    return replace(seen, etcd=members)


def with_replica(seen: PairObservation, **changes: object) -> PairObservation:
    return with_node(seen, 0, replicas=(replace(seen.nodes[0].replicas[0], **changes),))


def silent(index: int) -> dict[str, object]:
    return {"role": Role.UNKNOWN, "system_identifier": None, "timeline": None, "checksums": None}


@settings(max_examples=300)
@given(anything)
def test_always_one_of_the_set_and_never_without_a_reason(seen: PairObservation):
    found = verdict(seen)
    assert found.name in Name
    assert bool(found.reasons) is (found.name is not Name.HEALTHY)
    assert all(reason and "{" not in reason for reason in found.reasons)


@settings(max_examples=300)
@given(anything)
def test_the_order_of_looking_does_not_matter(seen: PairObservation):
    turned = PairObservation(seen.nodes[::-1], seen.patroni[::-1], seen.etcd[::-1], seen.limits)
    assert verdict(turned).name is verdict(seen).name


@settings(max_examples=300)
@given(anything)
def test_split_brain_exactly_where_two_take_writes(seen: PairObservation):
    both = all(node.role is Role.PRIMARY for node in seen.nodes)
    assert (verdict(seen).name is Name.SPLIT_BRAIN) is both


@settings(max_examples=300)
@given(anything)
def test_no_verdict_names_a_primary_that_nobody_saw(seen: PairObservation):
    """The gates let a run go on with these four; each needs exactly one primary that was seen."""
    primaries = [node for node in seen.nodes if node.role is Role.PRIMARY]
    if verdict(seen).name in (Name.HEALTHY, Name.UNPROTECTED, Name.STANDBY_LAGGING, Name.STANDBY_DOWN):
        assert len(primaries) == 1
        assert not any(view.cluster_seen and view.leader != primaries[0].name for view in seen.patroni)


near_misses = st.sampled_from([
    lambda seen: with_node(seen, 0, role=Role.UNKNOWN),
    lambda seen: with_node(seen, 0, role=Role.DOWN),
    lambda seen: with_node(seen, 0, role=Role.STANDBY),
    lambda seen: with_node(seen, 0, checksums=None),
    lambda seen: with_node(seen, 0, checksums=False),
    lambda seen: with_node(seen, 0, replicas=()),
    lambda seen: with_node(seen, 1, role=Role.UNKNOWN),
    lambda seen: with_node(seen, 1, role=Role.DOWN),
    lambda seen: with_node(seen, 1, role=Role.PRIMARY),
    lambda seen: with_node(seen, 1, system_identifier="8"),
    lambda seen: with_node(seen, 1, system_identifier=None),
    lambda seen: with_node(seen, 1, timeline=None),
    lambda seen: with_node(seen, 0, timeline=None),
    lambda seen: with_node(seen, 1, forks=((1, 100), (2, 150))),
    lambda seen: with_node(seen, 1, checksums=None),
    lambda seen: with_node(seen, 1, streaming=None),
    lambda seen: with_node(seen, 1, streaming=False),
    lambda seen: with_node(seen, 1, replay_paused=True),
    lambda seen: with_node(seen, 1, replay_paused=None),
    lambda seen: with_view(seen, 0, answered=False),
    lambda seen: with_view(seen, 0, cluster_seen=False),
    lambda seen: with_view(seen, 1, paused=True),
    lambda seen: with_view(seen, 1, leader=None),
    lambda seen: with_view(seen, 1, leader="db2"),
    lambda seen: with_view(seen, 0, role="replica"),
    lambda seen: with_view(seen, 0, role=None),
    lambda seen: with_replica(seen, state="catchup"),
    lambda seen: with_replica(seen, sync_state="async"),
    lambda seen: with_replica(seen, lag_bytes=LIMITS.lag_bytes + 1),
    lambda seen: with_replica(seen, lag_bytes=1, lag_seconds=LIMITS.lag_seconds + 1),
    lambda seen: with_etcd(seen, Health.HEALTHY, Health.UNKNOWN, Health.HEALTHY),
    lambda seen: with_etcd(seen, Health.HEALTHY, Health.HEALTHY, Health.DOWN),
    lambda seen: replace(seen, etcd=()),
    lambda seen: replace(seen, patroni=()),
    lambda seen: replace(seen, nodes=seen.nodes[:1]),
])  # fmt: skip


def test_a_healthy_pair_is_healthy():
    assert verdict(well()).name is Name.HEALTHY


@settings(max_examples=300)
@given(near_misses)
def test_one_thing_wrong_or_unknown_is_enough(spoil: Callable[[PairObservation], PairObservation]):
    assert verdict(spoil(well())).name is not Name.HEALTHY


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])  # most of anything is ill
@given(anything, st.lists(st.sampled_from(range(5)), unique=True))
def test_healthy_needs_every_part(seen: PairObservation, kept: list[int]):
    """From a healthy pair, any parts replaced by anything: if it is still healthy, nothing in it is wrong."""
    good = well()
    mixed = PairObservation(
        (good.nodes[0] if 0 in kept else seen.nodes[0], good.nodes[1] if 1 in kept else seen.nodes[1]),
        (
            good.patroni[0] if 2 in kept else seen.patroni[0],
            good.patroni[1] if 3 in kept else seen.patroni[1],
        ),
        good.etcd if 4 in kept else seen.etcd,
        LIMITS,
    )
    assume(verdict(mixed).name is Name.HEALTHY)
    assert sorted(node.role for node in mixed.nodes) == [Role.PRIMARY, Role.STANDBY]
    assert len({(node.system_identifier, node.timeline) for node in mixed.nodes}) == 1
    assert all(node.system_identifier and node.timeline and node.checksums for node in mixed.nodes)
    assert all(view.answered and view.cluster_seen and not view.paused for view in mixed.patroni)
    assert len({view.leader for view in mixed.patroni}) == 1
    assert all(member.health is Health.HEALTHY for member in mixed.etcd)


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (with_node(well(), 1, role=Role.PRIMARY), Name.SPLIT_BRAIN),
        (with_node(well(), 1, role=Role.DOWN), Name.STANDBY_DOWN),
        (with_node(well(), 1, **silent(1)), Name.STANDBY_DOWN),
        (with_view(with_node(well(), 1, **silent(1)), 0, cluster_seen=False, leader=None), Name.STANDBY_DOWN),
        (with_etcd(with_node(well(), 1, **silent(1)), *[Health.UNKNOWN] * 3), Name.UNKNOWN),
        (with_node(with_node(well(), 0, **silent(0)), 1, **silent(1)), Name.UNKNOWN),
        (with_node(well(), 0, **silent(0)), Name.UNKNOWN),
        (with_node(well(), 0, role=Role.DOWN), Name.NO_PRIMARY),
        (with_node(well(), 0, role=Role.STANDBY), Name.BOTH_STANDBY),
        (with_etcd(well(), Health.UNHEALTHY, Health.DOWN, Health.DOWN), Name.NO_QUORUM),
        (with_etcd(well(), Health.UNKNOWN, Health.DOWN, Health.DOWN), Name.NO_QUORUM),
        (with_etcd(well(), Health.UNKNOWN, Health.UNKNOWN, Health.DOWN), Name.UNPROTECTED),
        (with_etcd(well(), Health.HEALTHY, Health.DOWN, Health.DOWN), Name.UNPROTECTED),
        (with_view(well(), 1, leader="db2"), Name.DISAGREEMENT),
        (with_view(well(), 1, role="primary"), Name.DISAGREEMENT),
        (with_node(well(), 1, replay_paused=True), Name.STANDBY_LAGGING),
        (with_replica(well(), lag_bytes=LIMITS.lag_bytes + 1), Name.STANDBY_LAGGING),
        (with_replica(well(), sync_state="async"), Name.UNPROTECTED),
        (with_replica(well(), state="catchup"), Name.STANDBY_DOWN),
        (with_node(well(), 1, system_identifier="8"), Name.DIVERGED),
        (with_node(well(), 1, forks=((1, 100), (2, 150))), Name.DIVERGED),
        (with_node(well(), 1, timeline=4, streaming=False), Name.DIVERGED),
        (with_node(well(), 1, timeline=2, forks=((1, 100),), streaming=False), Name.DIVERGED),
        (with_node(well(), 1, received_lsn=LSN + 1, streaming=False), Name.DIVERGED),
    ],
)
def test_each_state_by_its_name(seen: PairObservation, name: Name):
    assert verdict(seen).name is name


def test_a_standby_that_is_behind_the_fork_has_not_diverged():
    behind = with_node(
        well(), 1, timeline=2, forks=((1, 100),), received_lsn=150, replayed_lsn=150, streaming=False
    )
    assert verdict(with_node(behind, 0, replicas=())).name is Name.STANDBY_DOWN


def test_a_receiving_standby_seen_a_moment_later_has_not_diverged():
    assert verdict(with_node(well(), 1, received_lsn=LSN + 4096)).name is Name.HEALTHY


def test_lag_of_an_idle_pair_is_zero_and_of_a_silent_one_unknown():
    first, second = well().nodes
    assert lag(first, second) == (0, 0.0)
    assert lag(None, replace(second, replay_age_seconds=None)) == (None, None)
