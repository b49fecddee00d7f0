"""What was backed up, expired and verified from this machine: one JSON line each, append-only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rmc_dr import content
from rmc_dr.files import append_line, read_json, write_atomically
from rmc_dr.record import plain
from rmc_dr.untrusted import objects

WHOLE = ("night", "full")  # the scopes of a verification that leave nothing out
What = Literal["database", "files", "expire", "verify", "inspect", "table"]


@dataclass(frozen=True)
class Entry:
    """One deed. ``kind`` is full or diff for the database, the scope of a verification, and the moment of
    what was brought back; ``about`` holds labels, snapshots, reasons.
    """

    what: What
    started: datetime
    ended: datetime
    ok: bool
    kind: str = ""
    host: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list out of ``about``; empty where it holds none."""
        said = self.about.get(name)
        return tuple(map(str, said)) if isinstance(said, list | tuple) else ()


def folder() -> Path:
    return content.STATE / "backups"


def append(estate: str, entry: Entry) -> None:
    """Keep one entry, on the disk before this returns."""
    append_line(_path(estate), json.dumps(plain(asdict(entry)), ensure_ascii=False))


def entries(estate: str) -> Iterator[Entry]:
    """Every entry, oldest first; a line that a power cut tore is left out."""
    path = _path(estate)
    for raw in objects(path.read_bytes() if path.is_file() else b""):
        try:
            for key in ("started", "ended"):
                raw[key] = datetime.fromisoformat(raw[key]).astimezone(UTC)
            entry = Entry(**raw)
        except (ValueError, TypeError, KeyError, OverflowError):
            continue
        if isinstance(entry.about, dict) and all(isinstance(word, str) for word in (entry.what, entry.kind)):
            yield entry


def verified(estate: str) -> dict[str, datetime]:
    """Label of a backup or snapshot -> when it was last proven."""
    proven = (entry for entry in entries(estate) if entry.what == "verify" and entry.ok)
    return {label: entry.ended for entry in proven for label in entry.texts("labels")}


def last_read(estate: str) -> dict[str, datetime]:
    """What a verification reads by turns -> when it was last read to its last byte, and was sound."""
    done = (entry for entry in entries(estate) if entry.what == "verify")
    return {name: entry.ended for entry in done for name in entry.texts("read")}


def last_red(estate: str) -> tuple[str, ...]:
    """What the newest verification of each scope found wrong; empty where the newest are all green.

    A nightly one that is green takes back what any of them said before.
    """
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries(estate):
        if entry.what != "verify":
            continue
        if not entry.ok:
            found[entry.kind] = entry.texts("red") or ("?",)
        elif entry.kind in WHOLE:
            found.clear()
        else:
            found.pop(entry.kind, None)
    return tuple(text for texts in found.values() for text in texts)


def last_ended_well(estate: str, what: What, kinds: tuple[str, ...] = ()) -> datetime | None:
    """When the newest success of its sort ended."""
    ends = [
        entry.ended
        for entry in entries(estate)
        if entry.ok and entry.what == what and (not kinds or entry.kind in kinds)
    ]
    return max(ends, default=None)


def packs(estate: str) -> dict[str, str]:
    """The packs that a verification read whole and found sound: name -> the store's mark of what it read.

    Where this is lost, everything is read again.
    """
    return {name: str(mark) for name, mark in read_json(_packs(estate)).items()}


def keep_packs(estate: str, sound: Mapping[str, str]) -> None:
    """Replace what is known of the packs."""
    folder().mkdir(parents=True, mode=0o700, exist_ok=True)
    write_atomically(_packs(estate), json.dumps(dict(sound)) + "\n")


def forget(estate: str) -> None:
    """Remove the record of a store that is gone with all it held."""
    _path(estate).unlink(missing_ok=True)
    _packs(estate).unlink(missing_ok=True)


def _path(estate: str) -> Path:
    return folder() / f"{estate}.jsonl"


def _packs(estate: str) -> Path:
    return folder() / f"{estate}.packs.json"
