"""Hashes of every file below a folder: proof that the attachments are the same before and after."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Tree:
    """``entries`` maps each relative path to its SHA-256; ``size`` in bytes."""

    entries: dict[bytes, str]
    size: int

    @property
    def digest(self) -> str:
        """One hash over all of them, independent of the order they were read in."""
        return hashlib.sha256(self.lines()).hexdigest()

    def lines(self) -> bytes:
        """The list as `sha256sum` would write it, sorted by path; odd names are escaped."""
        return b"".join(
            digest.encode() + b"  " + _escape(path) + b"\n" for path, digest in sorted(self.entries.items())
        )


def _escape(path: bytes) -> bytes:
    return path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def _unescape(path: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: b"\n" if found[1] == b"n" else found[1], path)


def read_tree(folder: Path) -> Tree:
    """Hash every regular file and symbolic link. Raises OSError where one cannot be read."""
    entries: dict[bytes, str] = {}
    size = 0
    for path in _walk(folder):
        name = os.fsencode(path.relative_to(folder))
        if path.is_symlink():
            entries[name] = hashlib.sha256(b"link:" + os.fsencode(path.readlink())).hexdigest()
            continue
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        entries[name] = digest.hexdigest()
    return Tree(entries, size)


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as found:
        listing = sorted(found, key=lambda entry: entry.name)
    for entry in listing:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name)
        elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
            yield folder / entry.name


def parse_lines(raw: bytes) -> dict[bytes, str]:
    """Read back what ``Tree.lines`` wrote."""
    pairs = (line.split(b"  ", 1) for line in raw.split(b"\n") if line)
    return {_unescape(path): digest.decode() for digest, path in pairs}


def differences(before: dict[bytes, str], after: dict[bytes, str]) -> dict[str, list[str]]:
    """Paths that are missing, changed or new."""
    return {
        "missing": _names(before.keys() - after.keys()),
        "changed": _names(path for path in before.keys() & after.keys() if before[path] != after[path]),
        "new": _names(after.keys() - before.keys()),
    }


def _names(paths: Iterable[bytes]) -> list[str]:
    return sorted(os.fsdecode(path) for path in paths)
