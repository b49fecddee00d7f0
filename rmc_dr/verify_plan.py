"""What a verification of the backups reads, decided by one look and by what was read when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rmc_dr import backup_record
from rmc_dr.backups import BackupsObservation, DatabaseBackup
from rmc_dr.backups.archive import place
from rmc_dr.backups.forecast import ROOM_BYTES, room_for
from rmc_dr.backups.rotation import due, overdue
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _

Scope = Literal["night", "database", "files", "full"]
PARTS = 28  # restic sorts its packs into so many parts by their names
FOLDER = 16  # digits of a segment's name that are the folder's
LABEL = re.compile(r"[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?")
ARCHIVE = re.compile(r"[0-9.]+-[0-9]+")
WAL, PACKS = "wal ", "packs "


@dataclass(frozen=True)
class Reading:
    """``label`` is restored; ``sets`` are read by pgBackRest with all that they need, ``whole``: everything.

    ``folders`` of the archive and ``packs`` (as 3/28, or all) of the files are read as well. ``items`` are
    the names under which the record keeps what is read by turns. ``until`` is the newest archived segment.
    ``late`` were not read for longer than is promised.
    """

    host: str
    scope: Scope
    label: str = ""
    chain: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    whole: bool = False
    folders: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    until: str = ""
    room_bytes: int = ROOM_BYTES
    late: tuple[str, ...] = ()

    @property
    def database(self) -> bool:
        return self.scope != "files"

    @property
    def files(self) -> bool:
        return self.scope != "database"


def make_plan(estate: Estate, scope: Scope, seen: BackupsObservation) -> Reading:
    """Raises BadInput without a verification host, Error where nobody can say which backups there are."""
    host = estate.only("verifier").name
    newest = seen.newest
    if scope != "files" and newest is None:
        raise Error(
            "no-backup",
            _("No sound backup of the database was seen: {said}.").format(
                said=seen.errors.get("pgbackrest") or _("there is none")
            ),
            _("Look with `rmc-dr backup status`; take one with `rmc-dr backup run`."),
        )
    last = backup_record.last_read(estate.name)
    known = _unread_since(seen, last)
    wanted = {
        name: since
        for name, since in known.items()
        if name.startswith(PACKS) is (scope == "files") or scope in ("night", "full")
    }
    late = overdue(wanted, seen.at) if last else ()  # nobody has promised anything before the first one
    chain = _chain(newest) if newest and scope != "files" else ()
    if scope == "full":
        chosen = tuple(wanted)
    else:
        turns = {name: since for name, since in wanted.items() if name not in chain}
        chosen = tuple(name for kind in _kinds(turns) for name in due(kind, seen.at))
    sets = _sets(seen, chain, chosen)
    return Reading(
        host=host,
        scope=scope,
        label=chain[0] if chain else "",
        chain=chain,
        sets=sets,
        whole=scope == "full",
        folders=() if scope == "full" else tuple(_named(chosen, WAL)),
        packs=("all",) if scope == "full" else tuple(_named(chosen, PACKS)),
        items=tuple(sorted({*chosen, *chain})),
        until=_newest_segment(seen, newest) if chain and newest else "",
        room_bytes=room_for(newest.size if chain and newest else 0),
        late=late,
    )


def _chain(backup: DatabaseBackup) -> tuple[str, ...]:
    return (backup.label, *backup.needs)


def _unread_since(seen: BackupsObservation, last: Mapping[str, datetime]) -> dict[str, datetime]:
    """Everything that is read by turns and leads to the primary, and when it was last read, or came to be."""
    backups = [one for one in seen.database or () if LABEL.fullmatch(one.label) and not seen.strays(one)]
    oldest = min((backup.started for backup in backups), default=seen.at)
    found = {backup.label: backup.stopped for backup in backups}
    for part, names in (seen.archived or {}).items():
        if ARCHIVE.fullmatch(part):
            found.update({f"{WAL}{part}/{name[:FOLDER]}": oldest for name in names})
    if seen.files:
        first = min(snapshot.taken for snapshot in seen.files)
        found.update({f"{PACKS}{number}/{PARTS}": first for number in range(1, PARTS + 1)})
    return {name: max(since, last.get(name, since)) for name, since in found.items()}


def _kinds(known: Mapping[str, datetime]) -> Iterator[dict[str, datetime]]:
    """Backups, folders of WAL and packs take turns among themselves."""
    for kind in (WAL, PACKS):
        yield {name: since for name, since in known.items() if name.startswith(kind)}
    yield {name: since for name, since in known.items() if not name.startswith((WAL, PACKS))}


def _named(chosen: tuple[str, ...], kind: str) -> Iterator[str]:
    return (name.removeprefix(kind) for name in chosen if name.startswith(kind))


def _sets(seen: BackupsObservation, chain: tuple[str, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The backups that pgBackRest is given: each brings what it needs, so that nothing is read twice."""
    labels = {backup.label: backup for backup in seen.database or ()}
    wanted = [*chain[:1], *(name for name in chosen if name in labels and name not in chain)]
    brought = {need for label in wanted for need in labels[label].needs}
    return tuple(label for label in wanted if label not in brought)


def _newest_segment(seen: BackupsObservation, newest: DatabaseBackup) -> str:
    return max((seen.archived or {}).get(newest.archive, ()), key=place, default="")
