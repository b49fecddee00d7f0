"""A database `bench` of a wanted size in the lab's pair, and a full backup of it; dropped at the end.

Half of it shrinks like notes and forms, about threefold by zstd, and half not at all, like scans. Backup and
WAL of the filling stay in the store until its lock ends.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from measure import estate, in_shell, on, run, say

from rmc_dr import content, ssh
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import Role
from rmc_dr.store.client import client

GIB, MIB = 1024**3, 1024**2
DATABASE = "bench"
PSQL = "runuser -u postgres -- psql -X -A -t -q -v ON_ERROR_STOP=1"
# Four such rows fill a page of 8 KiB, and none is long enough to be compressed by PostgreSQL.
PAYLOAD_BYTES, ROW_BYTES = 1920, 2048
TABLE_BYTES = 256 * MIB
STRETCH = MIB // ROW_BYTES  # rows of one sort in a row
WORDS, VOCABULARY = 1_200_000, 2000
# More segments than this waiting for the archive, and the filling waits too: a full queue would drop them.
MOST_WAITING, ARCHIVE_SECONDS = 32, 1800
STORED_SHARE = 1.5  # of a database's size: its WAL and one full backup, compressed, and a margin
ROOM_SHARE = 1.2


@dataclass(frozen=True)
class Filled:
    """The pair with a database of ``size`` GiB, and the label of a full backup that holds it."""

    size: int
    label: str


def prose(seed: int = 1) -> bytes:
    """Words at random; the same for the same seed."""
    source = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(source.choices(letters, k=source.randint(3, 10))) for _ in range(VOCABULARY)]
    return " ".join(source.choices(words, k=WORDS)).encode()


def payloads(count: int, text: bytes, seed: int) -> Iterator[bytes]:
    """What the rows hold: a MiB of prose, a MiB of random bytes, and so on."""
    source = random.Random(seed)
    for number in range(count):
        if number // STRETCH % 2:
            yield os.urandom(PAYLOAD_BYTES)
        else:
            at = source.randrange(len(text) - PAYLOAD_BYTES)
            yield text[at : at + PAYLOAD_BYTES]


def copied(rows: Iterator[bytes]) -> Iterator[bytes]:
    """The rows as PostgreSQL's COPY reads them in its binary form, with a number before each."""
    yield b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    for number, payload in enumerate(rows):
        yield struct.pack("!hiqi", 2, 8, number, len(payload)) + payload
    yield struct.pack("!h", -1)


def primary() -> str:
    seen = observe_pair(estate()).with_role(Role.PRIMARY)
    if len(seen) != 1:
        sys.exit("The pair has no single primary; look with `rmc-dr db status`.")
    return seen[0].name


def sql(statement: str, database: str = "postgres") -> str:
    return in_shell(primary(), f"{PSQL} -d {database}", statement).strip()


@contextmanager
def bench_database() -> Iterator[None]:
    """Whatever is filled meanwhile is dropped at the end, and the newest backup is a small one again."""
    try:
        yield
    except BaseException as problem:
        say(f"not finished: {problem}")  # what follows may fail as well, and would hide it
        raise
    finally:
        if exists():
            drop()


def exists() -> bool:
    return DATABASE in sql("select datname from pg_database").split()


def drop() -> None:
    say("dropping the database bench, and taking a small full backup")
    sql(f"drop database {DATABASE} with (force)")
    sql("checkpoint")
    run("rmc-dr", "backup", "run", "--database", "--full")
    for host in estate().group("dbserver"):
        give_back(host.name)


def give_back(host: str) -> None:
    """Let this machine have the room that was freed on a host's disk; a disk that cannot just keeps it."""
    in_shell(host, "fstrim /srv || true")


def grow_to(size: int) -> Filled:
    """Fill up to so many GiB, and take a full backup. Ends the benchmark where there is no room for it."""
    if not exists():
        sql(f"create database {DATABASE}")
    there = int(
        sql("select count(*) from pg_class where relname like 'fill\\_%' and relkind = 'r'", DATABASE)
    )
    wanted = size * GIB // TABLE_BYTES
    if wanted < there:
        sys.exit("The database bench is larger than that already; begin with the smallest size.")
    make_sure_of_room(size, (wanted - there) * TABLE_BYTES)
    text = prose()
    for number in range(there, wanted):
        say(f"filling the database bench: {(number + 1) * TABLE_BYTES / GIB:g} of {size} GiB")
        fill(f"fill_{number:04}", text, seed=number)
        wait_for_archive()
    sql("checkpoint")
    say("taking a full backup of it")
    done = json.loads(run("rmc-dr", "backup", "run", "--database", "--full", "--json"))
    return Filled(size, done["label"])


def fill(table: str, text: bytes, seed: int) -> None:
    """Make one table of 256 MiB, through SSH and COPY, in one transaction.

    Frozen at once and left alone by autovacuum: a page that is written again would go to the archive again.
    """
    lab = estate()
    columns = "(id bigint primary key, payload bytea not null)"
    make = f"create table {table} {columns} with (autovacuum_enabled = off)"
    copy = f"copy {table} from stdin (format binary, freeze)"
    remote = f"{PSQL} -d {DATABASE} -1 -c {shlex.quote(make)} -c {shlex.quote(copy)}"
    command = [*ssh.command(lab, lab.host(primary())), remote]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as psql:
        assert psql.stdin is not None
        assert psql.stderr is not None
        try:
            for piece in copied(payloads(TABLE_BYTES // ROW_BYTES, text, seed)):
                psql.stdin.write(piece)
            psql.stdin.close()
        except BrokenPipeError:
            pass  # what it says on its standard error is the reason
        said = psql.stderr.read().decode(errors="replace")
    if psql.returncode:
        sys.exit(f"The table {table} could not be filled: {said.strip()[-500:]}")


def wait_for_archive(most: int = MOST_WAITING) -> None:
    """Until no more segments than that wait to be archived."""
    waiting = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"
    deadline = time.monotonic() + ARCHIVE_SECONDS
    while int(sql(waiting)) > most:
        if time.monotonic() > deadline:
            sys.exit("The archive does not keep up; look with `rmc-dr backup status`.")
        time.sleep(1)


def make_sure_of_room(size: int, more: int) -> None:
    """Ends the benchmark, before anything is filled, where a host, the store or this machine lacks room.

    ``more`` is what the pair does not hold yet, in bytes.
    """
    lab = estate()
    lacks = []
    needs = {
        **{host.name: round(more * ROOM_SHARE) + 2 * GIB for host in lab.group("dbserver")},
        **{host.name: round(size * GIB * ROOM_SHARE) + 2 * GIB for host in lab.group("verifier")},
    }
    for host, need in needs.items():
        free = int(on(host, "df", "--output=avail", "--block-size=1", "/srv").split()[-1])
        lacks += [f"{host} has {free / GIB:.1f} GiB free, {need / GIB:.1f} are needed"] * (free < need)
    left, need = store_left(), round(more * STORED_SHARE) + GIB
    if left is not None and left < need:
        lacks.append(f"the store may take {left / GIB:.1f} GiB more, {need / GIB:.1f} are needed")
    # Both database hosts, the store, and in turns the verification host and the limit's file.
    need = round(more * (2.1 + STORED_SHARE) + size * GIB * 1.1)
    free = shutil.disk_usage(content.STATE).free
    if free < need:
        lacks.append(f"this machine has {free / GIB:.1f} GiB free, {need / GIB:.1f} are needed")
    if lacks:
        sys.exit(
            f"There is no room for {size} GiB: {'; '.join(lacks)}. A smaller size: --sizes 1. Where "
            "the lab's disks are older, or its store still protects what an earlier run wrote: "
            "`rmc-dr lab up --fresh`."
        )


def store_left() -> int | None:
    """Bytes up to the store's quota; None where the store does not tell."""
    lab = estate()
    said = {}
    for key in ("verifier", "owner"):
        answer = client(lab, key).head_bucket(Bucket=lab.config.s3.bucket)
        said.update(answer["ResponseMetadata"]["HTTPHeaders"])
    quotas = [int(said.get(f"x-rgw-quota-{scope}-size", -1)) for scope in ("user", "bucket")]
    quota = min((limit for limit in quotas if limit > 0), default=None)
    used = said.get("x-rgw-bytes-used")
    return None if quota is None or used is None else quota - int(used)
