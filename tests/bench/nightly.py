"""`rmc-dr backup verify --database` against a restore and a start alone, on the same host."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence

import page
from filling import Filled
from measure import Row, in_shell, on, run, say, timed
from side_restore import AS_POSTGRES, FOLDER, host, pgbackrest, quoted, restore, side_folder

SETTINGS = "/etc/rmc-dr/verification/postgresql.conf"
BINARIES = "/usr/lib/postgresql/17/bin"
PATIENCE_SECONDS = "7200"
ALONE = "restore + start up to the archive's end"
NOTE = """Beyond restoring and starting, a verification reads the whole chain and the archive once more,
checks every page, heap and index, dumps every database, asks the business checks and runs the applications
on the copy. Its stages, medians in seconds: {stages}."""


def start() -> None:
    """PostgreSQL on the restored files, with the settings of a verification, until it has left recovery."""
    fetch = quoted([*pgbackrest("archive-get"), "%f"]) + ' "%p"'
    settings = (
        f"include '{SETTINGS}'\ndata_directory = '{FOLDER}/data'\nunix_socket_directories = '{FOLDER}/run'\n"
        f"ssl = off\nrestore_command = '{fetch}'\n"
    )
    target = f"{FOLDER}/postgresql.conf"
    in_shell(host(), f"cat >{target} && chmod 0644 {target}", settings)
    # What pgBackRest and ALTER SYSTEM left there would win over the settings above.
    on(host(), "truncate", "--size=0", f"{FOLDER}/data/postgresql.auto.conf")
    words = (
        f"{BINARIES}/pg_ctl", f"--pgdata={FOLDER}/data", "--wait", f"--timeout={PATIENCE_SECONDS}",
        f"--log={FOLDER}/log/postgres.log", f"--options=-c config_file={FOLDER}/postgresql.conf", "start",
    )  # fmt: skip
    on(host(), *AS_POSTGRES, *words)


def stop() -> None:
    control = f"{BINARIES}/pg_ctl --pgdata={FOLDER}/data --wait --mode=immediate stop"
    in_shell(host(), f"runuser --user=postgres -- {control} || ! pgrep --exact postgres")


def restore_and_start(label: str) -> None:
    restore(label)
    start()


def alone(label: str) -> float:
    with side_folder():
        try:
            return timed(lambda: restore_and_start(label))
        finally:
            stop()


def verify() -> dict[str, float]:
    """Seconds of each stage of one verification. Ends the benchmark where it is red."""
    verdict = json.loads(run("rmc-dr", "backup", "verify", "--database", "--json"))
    return {name: float(seconds) for name, seconds in verdict["stages"].items()}


def bench(rounds: int, filled: Filled, stages: dict[int, list[dict[str, float]]]) -> Sequence[Row]:
    """``stages`` takes what each verification of this size was made of."""
    ours, theirs = [], []
    for number in range(rounds):
        say(f"verification, {filled.size} GiB, round {number + 1} of {rounds}")
        began = time.monotonic()
        parts = verify()
        ours.append(time.monotonic() - began)
        stages.setdefault(filled.size, []).append(parts)
        theirs.append(alone(filled.label))
    return [Row("backup verify --database", ALONE, ours, theirs, 1.3, filled.size)]


def section(rounds: int, rows: Sequence[Row], stages: dict[int, list[dict[str, float]]]) -> str:
    told = "; ".join(f"{size} GiB: {medians(parts)}" for size, parts in sorted(stages.items()))
    return page.section(rounds, rows, [NOTE.format(stages=told)])


def medians(rounds: Sequence[dict[str, float]]) -> str:
    """The median of each stage over the rounds, in the stages' own order. Pure."""
    names = dict.fromkeys(name for parts in rounds for name in parts)
    return ", ".join(
        f"{name} {statistics.median(parts.get(name, 0.0) for parts in rounds):.1f}" for name in names
    )
