"""Small files, written whole or not at all, and records that only grow."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from rmc_dr.errors import Error
from rmc_dr.i18n import _
from rmc_dr.untrusted import load


def write_atomically(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    """Write a small file whole or not at all; a file that already holds the text is left alone.

    On the disk when this returns: after a power cut the file holds the old text or the new one.
    """
    data = text.encode() if isinstance(text, str) else text
    if path.is_file() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """A small document; empty where it is missing, torn, or no dictionary."""
    try:
        document = load(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_line(path: Path, line: str) -> None:
    """Add one line to a record that root alone reads; on the disk when this returns.

    What a power cut left behind the last newline was never said: it is cut off. Raises Error.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # for a moment: whoever writes holds it for one line
        _cut_torn_tail(handle)
        begun = os.fstat(handle).st_size == 0
        append_whole(handle, path, f"{line}\n".encode(errors="backslashreplace"))
        if begun:
            sync(path.parent)
    finally:
        os.close(handle)


def append_whole(descriptor: int, path: Path, data: bytes) -> None:
    """Add to a record that is open and held; on the disk when this returns.

    Raises Error `journal-unwritable` where the disk refuses; nothing is left half written then.
    """
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # a full disk takes part of it, and refuses the rest with an error
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, size)
        raise Error(
            "journal-unwritable",
            _("The record {path} cannot be written: {error}.").format(
                path=path, error=error.strerror or error
            ),
            _("Make room on the disk that holds it; a run goes on with `rmc-dr resume`."),
        ) from error


def _cut_torn_tail(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)
