"""Where evidence lies on this machine, who is writing one, and which were left unfinished.

STATE/evidence/ESTATE/ID, for root alone: `collecting.json` says from the first moment on whose it is and what
was asked for; `manifest.json` and its signature seal it; `custody.jsonl` says what became of it since.
"""

from __future__ import annotations

import os
import secrets as random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rmc_dr import content, locks
from rmc_dr.errors import Locked
from rmc_dr.i18n import _
from rmc_dr.names import the_one

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
CUSTODY = "custody.jsonl"
COLLECTING = "collecting.json"
LOCK = ".lock"
STAMP = "%Y%m%dT%H%M%SZ"
OWN = frozenset({MANIFEST, SIGNATURE, CUSTODY, COLLECTING, LOCK})


@dataclass(frozen=True)
class Kept:
    """One collection on this machine. ``sealed``: its manifest and the signature are there."""

    id: str
    path: Path

    @property
    def sealed(self) -> bool:
        return (self.path / MANIFEST).is_file() and (self.path / SIGNATURE).is_file()

    @property
    def busy(self) -> bool:
        """Whether a process is still writing it."""
        return not locks.is_free(self.path / LOCK)

    @property
    def made(self) -> datetime:
        """When it was begun, at the end of the second that its name tells; the epoch for a foreign name."""
        try:
            begun = datetime.strptime(self.id.partition("-")[0], STAMP).replace(tzinfo=UTC)
        except ValueError:
            return datetime.fromtimestamp(0, UTC)
        return begun + timedelta(seconds=1)

    def hold(self) -> AbstractContextManager[str]:
        """Write to it alone. Raises Locked; the kernel lets go when the process dies."""
        return locks.hold(self.path / LOCK, str(os.getpid()), lambda pid: _busy(self.id, pid))


def root(estate: str) -> Path:
    return content.STATE / "evidence" / estate


def make(estate: str) -> Kept:
    """A new folder under a name that no other bears."""
    base = root(estate)
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    base.chmod(0o700)
    while True:
        name = f"{datetime.now(UTC):{STAMP}}-{random.token_hex(2)}"
        try:
            (base / name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        return Kept(name, base / name)


def all_of(estate: str) -> list[Kept]:
    """Every collection of the estate here, newest first."""
    base = root(estate)
    if not base.is_dir():
        return []
    folders = (path for path in base.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted((Kept(path.name, path) for path in folders), key=lambda kept: kept.id, reverse=True)


def find(estate: str, name: str) -> Kept:
    """One collection by its name, a unique part of it, or `last`. Raises BadInput."""
    everything = {kept.id: kept for kept in all_of(estate)}
    found = the_one(
        name,
        list(everything),
        "unknown-evidence",
        _("There is no evidence {name}."),
        _("{name} fits {count} collections."),
        _("`rmc-dr evidence list` names them; give a whole name, a unique part of one, or `last`."),
    )
    return everything[found]


def files(path: Path) -> Iterator[str]:
    """Every file of a collection but its own books, relative; links are named too, and never followed."""
    for where, folders, names in os.walk(path):
        linked = [name for name in folders if Path(where, name).is_symlink()]
        for name in (*names, *linked):
            relative = str(Path(where, name).relative_to(path))
            if relative not in OWN:
                yield relative


def _busy(name: str, pid: str) -> Locked:
    return Locked(
        "evidence-busy",
        _("Another process is writing the evidence {id} (process {pid}).").format(id=name, pid=pid or "?"),
        _("Wait until it has ended, then try again."),
    )
