"""A restore into a side folder of the verification host: against the limit, and against the defaults."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import page
from filling import Filled, give_back
from limit import limit
from measure import Row, estate, on, say, timed

FOLDER = "/srv/bench"
AS_POSTGRES = ("runuser", "--user=postgres", "--")
LIMIT = "the same objects by boto3, decrypt, zstd -d, write, fsync"
DEFAULTS = "pgbackrest restore with its defaults (process-max 1)"
NOTE = """Restored is a full backup out of the store into an empty folder of `verify1`, by the pgBackRest
command that a restore gives, with `process-max` of all cores. The defaults lack only that, and read the
same repository (zst 1, AES, bundles, blocks): what the repository's own settings gain is not in the ratio.
The limit is not measured on that host, which has no boto3: the control machine reads `store1` over the same
bridge, in a process for each core, and writes beside the files that hold the lab's disks, without their
loop device and file system. It decrypts the objects' bytes and unpacks as much as was restored, of the same
sort, not the objects' own. Of the defaults the aim is to be 1.5 times as fast: 0.67x."""


def host() -> str:
    return estate().only("verifier").name


def pgbackrest(*words: str) -> list[str]:
    """pgBackRest on the verification host, with its own configuration, in the side folder.

    The environment wins over the configuration, and a command leaves alone what is not for it.
    """
    places = {"PG1_PATH": "data", "LOCK_PATH": "lock", "SPOOL_PATH": "spool"}
    given = [f"PGBACKREST_{name}={FOLDER}/{folder}" for name, folder in places.items()]
    return ["env", *given, "pgbackrest", f"--stanza={estate().config.database.cluster}", *words]


@contextmanager
def side_folder() -> Iterator[None]:
    """An empty folder for one restore, which is gone afterwards, and its room given back."""
    clear()
    below = [f"{FOLDER}/{name}" for name in ("data", "lock", "spool", "run", "log")]
    on(host(), "install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", FOLDER, *below)
    try:
        yield
    finally:
        clear()
        give_back(host())


def clear() -> None:
    on(host(), "rm", "-rf", FOLDER)


def restore(label: str, *tuned: str) -> None:
    """One whole restore of a backup, as the role `restore` begins it. pgBackRest syncs what it wrote."""
    words = pgbackrest(
        "--log-level-console=detail",
        "--delta",
        "--archive-mode=off",
        "--type=default",
        f"--set={label}",
        *tuned,
    )
    # --delta on an empty folder only warns.
    on(host(), *AS_POSTGRES, *words, "restore")


def restored_seconds(label: str, *tuned: str) -> tuple[float, int]:
    """Seconds of one restore, and how many bytes it brought back."""
    with side_folder():
        seconds = timed(lambda: restore(label, *tuned))
        return seconds, int(on(host(), "du", "--summarize", "--bytes", f"{FOLDER}/data").split()[0])


def bench(rounds: int, filled: Filled) -> Sequence[Row]:
    ours, defaults, limits = [], [], []
    for number in range(rounds):
        say(f"restore, {filled.size} GiB, round {number + 1} of {rounds}")
        seconds, size = restored_seconds(filled.label)
        ours.append(seconds)
        defaults.append(restored_seconds(filled.label, "--process-max=1")[0])
        limits.append(limit(filled.label, size))
    what = "database restore"
    return [
        Row(what, LIMIT, ours, limits, 1.3, filled.size),
        Row(what, DEFAULTS, ours, defaults, round(1 / 1.5, 2), filled.size),
    ]


def section(rounds: int, rows: Sequence[Row]) -> str:
    return page.section(rounds, rows, [NOTE])


def quoted(words: Sequence[str]) -> str:
    """Words as PostgreSQL's settings hold them: within single quotes, for a shell."""
    return shlex.join(words).replace("'", "''")
