"""Who may lead next: never beside a living primary, and never claiming that nothing is lost without proof."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_pair import LSN, NAMES, anything, silent, well, with_etcd, with_node, with_replica, with_view

from rmc_dr.errors import Refused
from rmc_dr.pair import ClusterKeys, Health, Holding, Name, PairObservation, Role, apart, moves, verdict
from rmc_dr.pair.holdings import parting

IN_STEP = ClusterKeys(
    seen=True, leader="db1", sync_leader="db1", sync_standbys=("db2",), synchronous=True, leader_lsn=LSN
)
LEADERLESS = replace(IN_STEP, leader=None)
ALONE = replace(LEADERLESS, sync_standbys=())

names = st.none() | st.sampled_from(NAMES)
keys = st.builds(
    ClusterKeys,
    seen=st.booleans(),
    leader=names,
    sync_leader=names,
    sync_standbys=st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
    synchronous=st.booleans(),
    paused=st.booleans(),
    leader_lsn=st.none() | st.integers(0, 1 << 28),
)


def dead_primary() -> PairObservation:
    """db1 is silent, Patroni has no leader any more, db2 runs."""
    seen = with_node(well(), 0, **silent(0), current_lsn=None, replicas=())
    seen = with_view(seen, 0, answered=False, cluster_seen=False, role=None)
    return with_view(seen, 1, leader=None)


def code(refused: pytest.ExceptionInfo[Refused]) -> str:
    assert refused.value.message
    assert "{" not in refused.value.message + refused.value.hint
    return refused.value.code


# --- switchover ---------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(anything, keys, names)
def test_a_switchover_goes_only_to_a_standby_that_both_call_synchronous(
    seen: PairObservation, held: ClusterKeys, to: str | None
):
    try:
        move = moves.switchover(seen, held, to)
    except Refused:
        return
    primary = next(node for node in seen.nodes if node.role is Role.PRIMARY)
    assert move.leader == primary.name == held.sync_leader
    assert move.candidate in held.sync_standbys
    assert to in (None, move.candidate)
    assert verdict(seen).name in (Name.HEALTHY, Name.UNPROTECTED)
    assert any(replica.sync_state in ("sync", "quorum") for replica in primary.replicas)
    assert not any(view.paused for view in seen.patroni)


def test_a_healthy_pair_hands_over():
    assert moves.switchover(well(), IN_STEP, None) == moves.Switchover("db1", "db2")
    assert moves.switchover(well(), IN_STEP, "db2") == moves.Switchover("db1", "db2")


@pytest.mark.parametrize(
    ("seen", "held", "to", "expected"),
    [
        (well(), IN_STEP, "db1", "already-primary"),
        (well(), replace(IN_STEP, sync_standbys=()), None, "no-sync-standby"),
        (well(), ClusterKeys(seen=False), None, "no-sync-standby"),
        (with_replica(well(), sync_state="async"), IN_STEP, None, "no-sync-standby"),
        (with_view(well(), 1, paused=True), IN_STEP, None, "patroni-not-ready"),
        (with_view(well(), 1, answered=False), IN_STEP, None, "patroni-not-ready"),
        (with_node(well(), 1, replay_paused=True), IN_STEP, None, "pair-not-healthy"),
        (dead_primary(), LEADERLESS, None, "pair-not-healthy"),
    ],
)
def test_a_switchover_that_could_lose_writes_is_refused(seen, held, to, expected):
    with pytest.raises(Refused) as refused:
        moves.switchover(seen, held, to)
    assert code(refused) == expected


def test_a_dead_voter_does_not_stop_a_switchover():
    seen = with_etcd(well(), Health.HEALTHY, Health.HEALTHY, Health.DOWN)
    assert moves.switchover(seen, IN_STEP, None).candidate == "db2"


# --- failover -----------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(anything, keys, st.sets(st.sampled_from(NAMES)), names)
def test_a_failover_never_stands_beside_a_primary_and_claims_zero_only_where_it_is_proven(
    seen: PairObservation, held: ClusterKeys, off: set[str], to: str | None
):
    try:
        move = moves.failover(seen, held, off, to)
    except Refused:
        return
    assert not seen.with_role(Role.PRIMARY)
    assert held.seen
    assert held.leader is None
    assert seen.quorum
    roles = {node.name: node.role for node in seen.nodes}
    assert roles[move.candidate] is Role.STANDBY
    assert to in (None, move.candidate)
    # Whoever is not known to take no writes loses its power first.
    harmless = {move.candidate, *off, *(name for name, role in roles.items() if role is not Role.UNKNOWN)}
    assert set(move.isolate) == set(roles) - harmless
    holds_all = move.candidate == held.sync_leader or move.candidate in held.sync_standbys
    assert move.loss.proven_none is bool(held.synchronous and held.sync_leader and holds_all)


def test_the_synchronous_standby_of_a_dead_primary_lacks_nothing():
    move = moves.failover(dead_primary(), LEADERLESS, [], None)
    assert (move.candidate, move.old, move.isolate) == ("db2", "db1", ("db1",))
    assert (move.loss.proven_none, move.loss.missing_bytes) == (True, 0)
    moves.require_accepted(move, accept_loss=False)


def test_a_host_without_power_need_not_be_isolated():
    assert moves.failover(dead_primary(), LEADERLESS, ["db1"], None).isolate == ()


def test_a_standby_that_was_away_may_lack_writes_and_nobody_claims_zero():
    behind = with_node(dead_primary(), 1, received_lsn=LSN - 5000, replayed_lsn=LSN - 6000, streaming=False)
    move = moves.failover(behind, ALONE, ["db1"], None)
    assert (move.loss.proven_none, move.loss.missing_bytes) == (False, 5000)
    with pytest.raises(Refused) as refused:
        moves.require_accepted(move, accept_loss=False)
    assert code(refused) == "loss-not-accepted"
    assert "5000" in refused.value.message
    assert "db1" in refused.value.hint
    moves.require_accepted(move, accept_loss=True)


def test_what_the_primary_last_said_is_only_the_least_that_is_missing():
    """Standby and last report agree: still nothing is proven, for the primary wrote on after its report."""
    move = moves.failover(dead_primary(), ALONE, ["db1"], None)
    assert (move.loss.proven_none, move.loss.missing_bytes) == (False, 0)
    unsaid = moves.failover(dead_primary(), replace(ALONE, leader_lsn=None), ["db1"], None)
    assert unsaid.loss.missing_bytes is None


def test_of_two_standbys_the_one_that_holds_everything_is_chosen():
    both = with_node(dead_primary(), 0, role=Role.STANDBY, received_lsn=LSN - 1, timeline=3)
    both = with_view(both, 0, answered=True, cluster_seen=True, leader=None)
    assert moves.failover(both, ALONE, [], None).candidate == "db1"
    assert moves.failover(both, ALONE, [], "db2").loss.proven_none is False


@pytest.mark.parametrize(
    ("seen", "held", "expected"),
    [
        (well(), IN_STEP, "primary-lives"),
        (with_node(well(), 1, role=Role.PRIMARY), IN_STEP, "split-brain"),
        (dead_primary(), IN_STEP, "leader-lives"),
        (dead_primary(), ClusterKeys(seen=False), "no-quorum"),
        (with_etcd(dead_primary(), Health.DOWN, Health.UNHEALTHY, Health.DOWN), LEADERLESS, "no-quorum"),
        (with_view(dead_primary(), 1, answered=False), LEADERLESS, "no-candidate"),
        (with_node(dead_primary(), 1, role=Role.DOWN), LEADERLESS, "no-candidate"),
    ],
)
def test_a_failover_that_could_make_it_worse_is_refused(seen, held, expected):
    with pytest.raises(Refused) as refused:
        moves.failover(seen, held, [], None)
    assert code(refused) == expected


# --- reinit -------------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(anything, st.sampled_from(NAMES))
def test_only_what_a_certain_primary_holds_as_well_is_replaced(seen: PairObservation, host: str):
    try:
        move = moves.reinit(seen, host)
    except Refused:
        return
    assert [node.name for node in seen.nodes if node.role is Role.PRIMARY] == [move.leader]
    assert move.leader != host
    assert seen.leaders == {move.leader}
    node = next(node for node in seen.nodes if node.name == host)
    if not move.keep:
        assert node.role is Role.STANDBY
        assert verdict(seen).name is not Name.DIVERGED


def test_a_follower_is_replaced_and_a_stranger_is_kept():
    assert moves.reinit(well(), "db2") == moves.Reinit("db2", "db1", keep=False)
    diverged = with_node(well(), 1, timeline=4, streaming=False)
    assert moves.reinit(diverged, "db2").keep
    assert moves.reinit(with_node(well(), 1, role=Role.DOWN), "db2").keep
    assert moves.reinit(with_node(well(), 1, **silent(1)), "db2").keep


@pytest.mark.parametrize(
    ("seen", "host", "expected"),
    [
        (well(), "db1", "is-primary"),
        (dead_primary(), "db2", "no-healthy-primary"),
        (with_node(well(), 0, role=Role.DOWN), "db2", "no-healthy-primary"),
        (with_view(well(), 0, leader="db2"), "db2", "no-healthy-primary"),
        (with_view(well(), 1, answered=False), "db2", "patroni-not-ready"),
    ],
)
def test_a_reinit_that_could_erase_the_only_copy_is_refused(seen, host, expected):
    with pytest.raises(Refused) as refused:
        moves.reinit(seen, host)
    assert code(refused) == expected


# --- what etcd holds ----------------------------------------------------------------------------------------


def test_patronis_keys_are_read():
    held = ClusterKeys.of(
        {
            "leader": "db2",
            "sync": '{"leader":"db2","sync_standby":"db1","quorum":0}',
            "status": '{"optime":83886080,"slots":{"db1":83886080}}',
            "config": '{"synchronous_mode":true,"pause":false}',
            "history": '[[1,25000000,"no target","2026-11-22T10:00:00+00:00","db2"],[2,9]]',
        }
    )
    assert held == ClusterKeys(
        seen=True, leader="db2", sync_leader="db2", sync_standbys=("db1",), synchronous=True,
        leader_lsn=83886080, history=((1, 25000000, "2026-11-22T10:00:00+00:00"), (2, 9, "")),
    )  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["leader", "sync", "status", "config", "history"]),
        st.sampled_from(["", "{", "7", "null", "[[1]]", "[3]", '{"sync_standby": null}', '"text"']),
    )
)
def test_what_cannot_be_read_is_unknown(values: dict[str, str]):
    held = ClusterKeys.of(values)
    assert held.seen
    assert not held.synchronous
    assert held.sync_standbys == ()


# --- what each node's data holds ----------------------------------------------------------------------------


def holding(
    name: str, timeline: int, forks: tuple[tuple[int, int], ...], commit: int | None, **more
) -> Holding:
    about = {"state": "shut down", "system_identifier": "7", "last_lsn": commit, "commit_at": None, **more}
    return Holding(name=name, timeline=timeline, forks=forks, commit_lsn=commit, **about)


@pytest.mark.parametrize(
    ("one", "other", "at", "torn"),
    [
        (holding("db1", 1, (), 100), holding("db2", 1, (), 80), None, False),
        (holding("db1", 1, (), 80), holding("db2", 2, ((1, 90),), 200), 90, False),
        (holding("db1", 1, (), 95), holding("db2", 2, ((1, 90),), 200), 90, True),
        (holding("db1", 1, (), 95), holding("db2", 2, ((1, 90),), 70), 90, False),
        (holding("db1", 2, ((1, 90),), 200), holding("db2", 2, ((1, 85),), 200), 85, True),
        (holding("db1", 2, ((1, 90),), 200), holding("db2", 3, ((1, 90),), 200), 90, True),
        (holding("db1", 2, ((1, 90),), 150), holding("db2", 3, ((1, 90), (2, 200)), 300), 200, False),
        (holding("db1", 1, (), None, last_lsn=95), holding("db2", 2, ((1, 90),), 200), 90, True),
        (holding("db1", 1, (), None, last_lsn=None), holding("db2", 2, ((1, 90),), 200), 90, True),
        (holding("db1", 1, (), 5), holding("db2", 1, (), 5, system_identifier="8"), 0, True),
    ],
)
def test_two_histories_are_apart_only_where_both_wrote(
    one: Holding, other: Holding, at: int | None, torn: bool
):
    assert parting(one, other) == parting(other, one) == at
    assert bool(apart([one, other])) is bool(apart([other, one])) is torn


history = st.lists(st.integers(1, 1000), max_size=3).map(lambda ends: tuple(enumerate(sorted(ends), start=1)))


@given(history, st.integers(1, 5), st.integers(0, 2000), st.integers(0, 2000))
def test_the_beginning_of_a_history_is_never_apart_from_it(
    forks: tuple[tuple[int, int], ...], more: int, commit: int, later: int
):
    """A node that stands still while the other goes on and is promoted lacks, but adds nothing."""
    end = max([commit, *(fork[1] for fork in forks)]) + more
    assume(forks or commit)
    one = holding("db1", len(forks) + 1, forks, commit)
    other = holding("db2", len(forks) + 2, (*forks, (len(forks) + 1, end)), end + later)
    assert apart([one, other]) == ()
