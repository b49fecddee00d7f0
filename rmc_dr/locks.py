"""A file's lock that only one process holds; the kernel lets go of it when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmc_dr.errors import Locked
from rmc_dr.i18n import _

LONGEST_WORD = 4096


@contextmanager
def hold(path: Path, word: str, locked: Callable[[str], Locked]) -> Iterator[str]:
    """Hold the lock and leave ``word`` in its file meanwhile, or raise at once what ``locked`` makes of its
    holder's word.

    Yields the word of a holder that died, else "".
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(handle):
            raise locked(_read(handle))
        died = _read(handle)
        _write(handle, word)
        try:
            yield died
        finally:
            _write(handle, "")
    finally:
        os.close(handle)


@contextmanager
def only_one(path: Path, code: str, busy: str) -> Iterator[None]:
    """One command at a time: raises Locked ``code``; ``busy`` says so and has room for {pid}."""

    def locked(pid: str) -> Locked:
        return Locked(code, busy.format(pid=pid or "?"), _("Wait until it has ended, then try again."))

    with hold(path, str(os.getpid()), locked):
        yield


def is_free(path: Path) -> bool:
    """Whether no process holds the lock; also where its file was never made."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _taken(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(handle: int) -> str:
    return os.pread(handle, LONGEST_WORD, 0).decode(errors="replace")


def _write(handle: int, word: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, word.encode(), 0)
    os.fsync(handle)
