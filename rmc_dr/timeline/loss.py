"""What may be lost: WAL that no archive holds yet, attachments without a row, rows without one. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rmc_dr.backups.archive import position
from rmc_dr.timeline.text import lines

LSN = re.compile(r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$")
SEGMENT = re.compile(r"^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$")
CONTROL = re.compile(
    rb"^(?:Latest checkpoint location|Minimum recovery ending location):\s+([0-9A-F]+/[0-9A-F]+)"
)
SEGMENT_BYTES = 16 << 20
FRESH_SECONDS = 120  # what is being written while the two lists are made


@dataclass(frozen=True)
class Standing:
    """One database host: the last byte of WAL that it holds, and the end of what it knows to be archived.

    ``least``: out of its control file alone, so it may hold more. None is unknown.
    """

    host: str
    primary: bool | None
    lsn: int | None
    archived: int | None
    least: bool = False


@dataclass(frozen=True)
class Unarchived:
    """``bytes`` of WAL stand after the last archived position; None where that cannot be told."""

    newest: int | None
    holder: str
    archived: int | None
    bytes: int | None
    least: bool


@dataclass(frozen=True)
class Attachments:
    """One application. None: that list could not be had."""

    application: str
    rows: int | None
    files: int | None
    rows_without_file: int | None
    files_without_row: int | None


def standing(host: str, replication: bytes | None, control: bytes | None) -> Standing:
    """Out of what a database host said; whatever cannot be read is unknown."""
    said = _document(replication)
    if (at := _position(said.get("lsn"))) is not None:
        archiver = said.get("archiver")
        wal = archiver.get("last_archived_wal") if isinstance(archiver, Mapping) else None
        return Standing(host, said.get("standby") is False, at, segment_end(wal, said.get("segment_bytes")))
    found = [CONTROL.match(line) for line in (control or b"").splitlines()]
    places = [_position(match[1].decode()) for match in found if match]
    known = [place for place in places if place]
    return Standing(host, None, max(known, default=None), None, least=bool(known))


def unarchived(standings: Iterable[Standing]) -> Unarchived:
    """The newest position against the last archived one."""
    known = [one for one in standings if one.lsn is not None]
    if not known:
        return Unarchived(None, "", None, None, least=False)
    newest = max(known, key=lambda one: (one.lsn or 0, one.primary is True))
    archived = max((one.archived for one in known if one.archived is not None), default=None)
    behind = None if archived is None or newest.lsn is None else max(0, newest.lsn - archived)
    return Unarchived(newest.lsn, newest.host, archived, behind, newest.least)


def _position(said: Any) -> int | None:
    return position(said) if isinstance(said, str) and LSN.match(said) else None


def segment_end(name: Any, size: Any = None) -> int | None:
    """Where a WAL segment ends."""
    found = SEGMENT.match(name[:24]) if isinstance(name, str) else None
    step = size if isinstance(size, int) and size > 0 else SEGMENT_BYTES
    return (int(found[2], 16) << 32) + (int(found[3], 16) + 1) * step if found else None


def rows(chunks: Iterable[bytes]) -> dict[str, float]:
    """Path of each attachment that a database lists -> when it was made, in seconds of the epoch."""
    found: dict[str, float] = {}
    for line in lines(chunks):
        entry = _pair(line)
        if entry:
            found[entry[0]] = entry[1]
    return found


def files(chunks: Iterable[bytes]) -> dict[str, float]:
    """Path of each file -> when it was written. One that begins with a dot is being written."""
    found: dict[str, float] = {}
    for raw in b"".join(chunks).split(b"\0"):
        stamp, _space, name = raw.partition(b" ")
        path = name.decode("utf-8", "surrogateescape")
        try:
            moment = float(stamp)
        except ValueError:
            continue
        if path and not path.rpartition("/")[2].startswith("."):
            found[path] = moment
    return found


def compared(
    application: str,
    known: Mapping[str, float] | None,
    there: Mapping[str, float] | None,
    listed_at: float,
) -> Attachments:
    """Both lists against each other, but for what is younger than they are; ``listed_at``: epoch seconds."""
    count = None if known is None else len(known), None if there is None else len(there)
    if known is None or there is None:
        return Attachments(application, *count, None, None)
    settled = listed_at - FRESH_SECONDS
    missing = sum(made < settled for name, made in known.items() if name not in there)
    orphaned = sum(made < settled for name, made in there.items() if name not in known)
    return Attachments(application, *count, missing, orphaned)


def _document(said: bytes | None) -> dict[str, Any]:
    try:
        raw = json.loads(said or b"")
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _pair(line: bytes | None) -> tuple[str, float] | None:
    try:
        raw = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    if isinstance(raw, list) and len(raw) == 2 and isinstance(raw[0], str):
        try:
            return raw[0], float(raw[1])
        except (ValueError, TypeError, OverflowError):
            return raw[0], 0.0
    return None
