"""A file's lock that only one process holds; the kernel lets go of it when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmc_dr.errors import Locked
from rmc_dr.i18n import _


@contextmanager
def only_one(path: Path, code: str, busy: str) -> Iterator[None]:
    """Hold the lock, or raise Locked ``code`` at once; ``busy`` says so and has room for {pid}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode() or "?"
            hint = _("Wait until it has ended, then try again.")
            raise Locked(code, busy.format(pid=holder), hint) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
