"""`rmc-dr backup verify --database` against a restore and a start alone, on the same host."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence

import page
from filling import Filled
from measure import ENV, Row, Stages, by_size, in_shell, say, timed
from side_restore import AS_POSTGRES, FOLDER, host, pgbackrest, quoted, restore, side_folder

SETTINGS = "/etc/rmc-dr/verification/postgresql.conf"
BINARIES = "/usr/lib/postgresql/17/bin"
PATIENCE_SECONDS = "7200"
ALONE = "restore + start up to the archive's end"
NOTE = """Beyond restoring and starting, a verification reads the whole chain and the archive once more,
checks every page, heap and index, dumps every database, asks the business checks and runs the applications
on the copy. Its stages, medians in seconds: {stages}."""


def prepare() -> None:
    """The settings of a verification, for the side folder."""
    fetch = quoted([*pgbackrest("archive-get"), "%f"]) + ' "%p"'
    settings = (
        f"include '{SETTINGS}'\ndata_directory = '{FOLDER}/data'\nunix_socket_directories = '{FOLDER}/run'\n"
        f"ssl = off\nrestore_command = '{fetch}'\n"
    )
    target = f"{FOLDER}/postgresql.conf"
    in_shell(host(), f"cat >{target} && chmod 0644 {target}", settings)


def start() -> None:
    """PostgreSQL on the restored files, until it has left recovery."""
    # What pgBackRest and ALTER SYSTEM left there would win over the settings above.
    clear = f"truncate --size=0 {FOLDER}/data/postgresql.auto.conf"
    words = [
        *AS_POSTGRES, f"{BINARIES}/pg_ctl", f"--pgdata={FOLDER}/data", "--wait",
        f"--timeout={PATIENCE_SECONDS}",
        f"--log={FOLDER}/log/postgres.log", f"--options=-c config_file={FOLDER}/postgresql.conf", "start",
    ]  # fmt: skip
    in_shell(host(), f"{clear} && {shlex.join(words)}")


def stop() -> None:
    control = f"{BINARIES}/pg_ctl --pgdata={FOLDER}/data --wait --mode=immediate stop"
    in_shell(host(), f"runuser --user=postgres -- {control} || ! pgrep --exact postgres")


def restore_and_start(label: str) -> None:
    restore(label)
    start()


def alone(label: str) -> float:
    """Seconds of a restore and a start, of which nothing stays."""
    with side_folder():
        prepare()
        try:
            return timed(lambda: restore_and_start(label))
        finally:
            stop()


def verify() -> dict[str, float]:
    """Seconds of each stage of one verification. Ends the benchmark where it is red."""
    words = ["rmc-dr", "backup", "verify", "--database", "--json"]
    done = subprocess.run(words, env=ENV, capture_output=True, text=True, check=False)
    verdict = json.loads(done.stdout or "{}")
    red = [f"{one['name']}: {one['detail']}" for one in verdict.get("proofs", ()) if not one["green"]]
    if done.returncode or red:
        sys.exit(f"The verification is not green: {'; '.join(red) or done.stderr.strip()[-500:]}")
    return {name: float(seconds) for name, seconds in verdict["stages"].items()}


def bench(rounds: int, filled: Filled, stages: Stages) -> Sequence[Row]:
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


def section(rounds: int, rows: Sequence[Row], stages: Stages) -> str:
    return page.section(rounds, rows, [NOTE.format(stages=by_size(stages))])
