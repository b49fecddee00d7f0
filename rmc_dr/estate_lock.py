"""The lock that keeps commands on one estate apart on this machine."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rmc_dr import content, locks
from rmc_dr.errors import Locked
from rmc_dr.i18n import _


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, an estate's lock on this machine."""

    run_id: str
    pid: int
    host: str
    since: str


@contextmanager
def local_lock(estate: str, run_id: str) -> Iterator[Holder | None]:
    """Hold one estate on this machine. Raises Locked, naming the holder.

    The kernel lets go when the process dies, kill -9 included. Yields whoever died holding it, else None.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Holder(run_id, os.getpid(), socket.gethostname(), since)
    word = json.dumps(asdict(mine))
    with locks.hold(_lock_file(estate), word, lambda other: _held(estate, _holder(other))) as died:
        yield _holder(died)


def is_free(estate: str) -> bool:
    """Whether no process of this machine holds the estate."""
    return locks.is_free(_lock_file(estate))


def _lock_file(estate: str) -> Path:
    return content.STATE / "locks" / f"{estate}.lock"


def _holder(word: str) -> Holder | None:
    try:
        said = json.loads(word)
        return Holder(str(said["run_id"]), int(said["pid"]), str(said["host"]), str(said["since"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _held(estate: str, holder: Holder | None) -> Locked:
    if holder is None:
        message = _("Another process holds the estate {estate}.").format(estate=estate)
        return Locked("estate-locked", message, _("Wait until it has ended, then try again."))
    is_run = (content.STATE / "runs" / holder.run_id).is_dir()
    message = (
        _("The run {run} (process {pid} on {host}) has held the estate {estate} since {since}.")
        if is_run
        else _("The command {run} (process {pid} on {host}) has held the estate {estate} since {since}.")
    ).format(run=holder.run_id, pid=holder.pid, host=holder.host, estate=estate, since=holder.since)
    hint = (
        _("Follow it with `rmc-dr runs show {run}`, or end that process; the lock goes with it.")
        if is_run
        else _("Wait for it, or end the process {pid}; the lock goes with it.")
    ).format(run=holder.run_id, pid=holder.pid)
    return Locked("estate-locked", message, hint)
