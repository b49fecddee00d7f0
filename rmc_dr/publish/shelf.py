"""The reports on this machine: STATE/reports/ESTATE holds each one's files, and an index that only grows.

A line of the index is `made`, or `archived` once the store holds a locked copy. Its schema: docs/reports.md.
"""

from __future__ import annotations

import json
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rmc_dr import content
from rmc_dr.files import append_line
from rmc_dr.i18n import _
from rmc_dr.journal import plain
from rmc_dr.names import the_one
from rmc_dr.untrusted import objects

INDEX = "index.jsonl"


@dataclass(frozen=True)
class File:
    """One form of a report, and what it must be to the byte."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Stored:
    """Where the store has one form: the version that is locked until then ("" where nothing locks it)."""

    name: str
    key: str
    version: str
    locked_until: str


@dataclass(frozen=True)
class Entry:
    """One report. ``objects`` is empty until it is archived; ``incident`` names the one that it tells of."""

    id: str
    kind: str
    about: str
    title: str
    language: str
    made: str
    operator: str
    control: str
    files: tuple[File, ...]
    incident: str = ""
    objects: tuple[Stored, ...] = ()

    @property
    def archived(self) -> bool:
        return bool(self.objects)

    @property
    def locked_until(self) -> str:
        """The earliest end of a lock; "" where one of them has none."""
        return min((one.locked_until for one in self.objects), default="")

    def file(self, name: str) -> File | None:
        return next((one for one in self.files if one.name == name), None)


_ENTRY, _STORED = TypeAdapter(Entry), TypeAdapter(tuple[Stored, ...])


def folder(estate: str) -> Path:
    return content.STATE / "reports" / estate


def new_id(kind: str) -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{kind}-{random.token_hex(2)}"


def add(estate: str, entry: Entry) -> None:
    _append(estate, "made", entry=entry)


def say_archived(estate: str, entry: Entry) -> None:
    _append(estate, "archived", id=entry.id, objects=entry.objects)


def entries(estate: str) -> dict[str, Entry]:
    """Every report of the estate that was made here, the newest last; a line that is none is left out."""
    path = folder(estate) / INDEX
    found: dict[str, Entry] = {}
    for said in objects(path.read_bytes() if path.is_file() else b""):
        try:
            if said.get("event") == "made":
                entry = parse(said["entry"])
                found[entry.id] = entry
            elif said.get("event") == "archived" and said["id"] in found:
                found[said["id"]] = replace(
                    found[said["id"]], objects=_STORED.validate_python(said["objects"])
                )
        except (KeyError, TypeError, ValueError):
            continue
    return found


def parse(raw: Mapping[str, Any]) -> Entry:
    """Raises KeyError, TypeError or ValueError for what is no entry."""
    entry = _ENTRY.validate_python({**raw, "objects": raw.get("objects") or ()})
    if any(Path(name).name != name or name.startswith(".") for name in [entry.id, *_names(entry)]):
        raise ValueError(f"no name: {entry.id}")
    return entry


def find(name: str, known: Mapping[str, Entry]) -> Entry:
    """One report by its name, a unique part of it, or `last`. Raises BadInput."""
    found = the_one(
        name,
        sorted(known, reverse=True),
        "unknown-report",
        _("There is no report {name}."),
        _("{name} fits {count} reports."),
        _("`rmc-dr report list` names them; give a whole name, a unique part of one, or `last`."),
    )
    return known[found]


def _names(entry: Entry) -> list[str]:
    return [one.name for one in entry.files]


def _append(estate: str, event: str, **fields: Any) -> None:
    said = {"event": event, "time": datetime.now(UTC), **fields}
    append_line(folder(estate) / INDEX, json.dumps(plain(said), ensure_ascii=False))
