"""Both database hosts lost, until the users work: `rmc-dr rebuild pair` against a single host."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import page
from filling import Filled, sql, wait_for_archive
from measure import INVENTORY, Row, Stages, by_size, estate, run, say, timed

from rmc_dr.record import RunState, find, read

AGAINST = "a single host from the same store, without Patroni, etcd and standby"
NOTE = """Both begin with empty disks and end when the users are let in. The pair's is `rmc-dr rebuild pair`
as it is, with its gates, host checks and journeys, and ends with a replicating standby; the single host's
is `ansible-playbook tests/bench/single-host.yml`, the same roles with none of those. The pair's second host
is installed at the same time, on the same disk and cores, and copied before the users are let in. Nothing
is posted meanwhile. The pair's stages, between which rmc-dr looks and asks its gates, medians in seconds:
{stages}."""


def lose_pair() -> None:
    for host in estate().group("dbserver"):
        run("rmc-dr", "lab", "break", host.name, "--how", "blank")


def rebuild_pair() -> float:
    lose_pair()
    return timed(lambda: run("rmc-dr", "rebuild", "pair", "--yes"))


def single_host(label: str) -> float:
    """Leaves a database without a pair behind: a rebuild of the pair must follow."""
    lose_pair()
    given = ["-e", f"restore_set={label}", "-e", f"run_id=bench-{secrets.token_hex(4)}"]
    playbook = ["ansible-playbook", "-i", str(INVENTORY), *given, "tests/bench/single-host.yml"]
    return timed(lambda: run(*playbook))


def archive_everything() -> None:
    """What the disks hold is in the store as well, before they go."""
    sql("select pg_switch_wal()")
    wait_for_archive(most=0)


def stages_of_last() -> dict[str, float]:
    """Seconds of each stage of the newest run on this machine."""
    return {stage.name: stage.seconds for stage in RunState.of(read(find("last"))).stages}


def bench(rounds: int, filled: Filled, stages: Stages) -> Sequence[Row]:
    """``stages`` takes what each rebuild of this size was made of."""
    ours, theirs = [], []
    archive_everything()
    for number in range(rounds):
        say(f"pair, {filled.size} GiB, round {number + 1} of {rounds}")
        try:
            theirs.append(single_host(filled.label))
        finally:
            # Also where the single host failed: the lab has its pair again.
            ours.append(rebuild_pair())
        stages.setdefault(filled.size, []).append(stages_of_last())
        archive_everything()
    return [Row("rebuild pair", AGAINST, ours, theirs, 1.3, filled.size)]


def section(rounds: int, rows: Sequence[Row], stages: Stages) -> str:
    return page.section(rounds, rows, [NOTE.format(stages=by_size(stages))])
