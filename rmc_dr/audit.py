"""The story of `rmc-dr audit`: what all hosts saw in a window, in order; the first error; what may be lost.

Either out of evidence that was kept, once every file of it is proven to be what was sealed, or by a fresh
look that keeps nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rmc_dr import scratch
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.evidence import folder, manifest, sign
from rmc_dr.evidence.check import check_files
from rmc_dr.evidence.collect import Job, Piece, Room, collect
from rmc_dr.evidence.folder import MANIFEST, SIGNATURE
from rmc_dr.evidence.line import Clock
from rmc_dr.evidence.sources import Window, tasks
from rmc_dr.i18n import _
from rmc_dr.incident import attach
from rmc_dr.preserve import room_for
from rmc_dr.timeline import Happening, Read, journal, liberty, loss
from rmc_dr.timeline.merge import first_error, merged

CHUNK = 1 << 20
SLACK_SECONDS = 3600  # a host's clock may be off: more is read, and the window cut by corrected time


@dataclass(frozen=True)
class Assessment:
    """What may be lost: WAL after the last archived position, and attachments that do not fit their rows."""

    unarchived: loss.Unarchived
    standings: tuple[loss.Standing, ...]
    attachments: tuple[loss.Attachments, ...]


@dataclass(frozen=True)
class Audit:
    """One window. ``not_had`` are sources that gave less than all; ``unreadable`` lines per source."""

    since: datetime | None
    until: datetime | None
    evidence: str
    timeline: tuple[Happening, ...]
    first_error: Happening | None
    assessment: Assessment
    clocks: Mapping[str, Clock]
    lines: int
    unreadable: Mapping[str, int]
    not_had: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """Files to be read, what they are, and the clocks that they were written by."""

    root: Path
    pieces: tuple[Piece, ...]
    clocks: Mapping[str, Clock]
    collected_at: float

    def chunks(self, piece: Piece) -> Iterator[bytes]:
        with (self.root / piece.file).open("rb") as stream:
            yield from iter(lambda: stream.read(CHUNK), b"")

    def ahead(self, host: str) -> float:
        return self.clocks[host].ahead if host in self.clocks else 0.0

    def named(self, source: str) -> list[Piece]:
        return [piece for piece in self.pieces if piece.source == source and piece.file]


def live(estate: Estate, since: datetime, until: datetime) -> Audit:
    """Look now. Raises Refused without room, and Error where no host answers."""
    window = Window(since.timestamp() - SLACK_SECONDS, until.timestamp() + SLACK_SECONDS)
    hosts = [host for host in estate.hosts.values() if "builder" not in host.groups]
    with scratch.folder() as work:
        job = Job(estate, work, Room(room_for(estate, work)))
        began = time.time()
        found = collect(job, tasks(estate, hosts, window, audit=True))
        if len(found.silent) == len(hosts):
            raise Error(
                "hosts-silent",
                _("None of the hosts answers."),
                _("`rmc-dr audit --evidence last` reads what was kept before."),
            )
        return _audit(estate, Material(work, found.pieces, found.clocks, began), since, until)


def of_evidence(estate: Estate, name: str, since: datetime | None, until: datetime | None) -> Audit:
    """Read what was kept. Raises BadInput for an unknown one, Refused where a byte of it was changed."""
    kept = folder.find(estate.name, name)
    text = (kept.path / MANIFEST).read_bytes() if kept.sealed else b""
    if not text or sign.check_file(estate, text, kept.path / SIGNATURE) != "good":
        raise _not_proven(kept.id, MANIFEST)
    sealed = manifest.parse(text)
    wrong = [one.name for one in check_files(kept, sealed) if not one.passed]
    if wrong:
        raise _not_proven(kept.id, ", ".join(wrong[:5]))
    began = datetime.fromisoformat(str(sealed.about["began"])).timestamp()
    material = Material(kept.path, sealed.pieces, sealed.clocks, began)
    return replace(_audit(estate, material, since, until), evidence=kept.id)


def attach_to_incident(estate: Estate, found: Audit) -> None:
    """What the open incident's report tells of it: the first error and the loss, without a log's words."""
    first, wal = found.first_error, found.assessment.unarchived
    attach.attach(
        estate.name,
        "audit",
        evidence=found.evidence,
        entries=len(found.timeline),
        first_error=_first(first) if first else None,
        first_error_at=first.at if first else None,
        wal=asdict(wal),
        attachments=[asdict(one) for one in found.assessment.attachments],
    )


def _first(error: Happening) -> dict[str, Any]:
    """In no language but the catalogue's own: who reads the incident is told in his."""
    return {"host": error.host, "kind": error.kind, "what": error.template, "caught": dict(error.caught)}


def _not_proven(name: str, what: str) -> Refused:
    return Refused(
        "evidence-changed",
        _("The evidence {id} is not what was sealed: {what}.").format(id=name, what=what),
        _("`rmc-dr evidence verify {id}` names every byte that differs; the store may hold a copy.").format(
            id=name
        ),
    )


def _audit(estate: Estate, material: Material, since: datetime | None, until: datetime | None) -> Audit:
    read = dict(_read(estate, material))
    timeline = merged((one for found in read.values() for one in found.happenings), since, until)
    asked = [piece for piece in material.pieces if not piece.complete]
    return Audit(
        since=since,
        until=until,
        evidence="",
        timeline=tuple(timeline),
        first_error=first_error(timeline),
        assessment=_assess(estate, material),
        clocks=material.clocks,
        lines=sum(found.lines for found in read.values()),
        unreadable={name: found.unreadable for name, found in read.items() if found.unreadable},
        not_had=tuple(f"{piece.host} {piece.source}: {piece.why}" for piece in asked),
    )


def _read(estate: Estate, material: Material) -> Iterator[tuple[str, Read]]:
    zone = ZoneInfo(estate.config.timezone)
    for piece in (*material.named("journal"), *material.named("disk-journal")):
        ahead = material.ahead(piece.host)
        yield piece.file, journal.read(material.chunks(piece), piece.host, piece.file, ahead)
    for piece in material.named("liberty"):
        ahead = material.ahead(piece.host)
        yield piece.file, liberty.read(material.chunks(piece), piece.host, piece.file, ahead, zone)


def _assess(estate: Estate, material: Material) -> Assessment:
    standings = tuple(
        loss.standing(
            host.name, _bytes(material, "replication", host.name), _bytes(material, "controldata", host.name)
        )
        for host in estate.group("dbserver")
    )
    order = [one.host for one in sorted(standings, key=lambda one: one.primary is not True)]
    return Assessment(
        loss.unarchived(standings),
        standings,
        tuple(_attachments(material, entry.application, order) for entry in estate.config.backup.attachments),
    )


def _attachments(material: Material, application: str, databases: list[str]) -> loss.Attachments:
    """The primary's list before a standby's; every file of every application server."""
    listed = {
        piece.host: piece for piece in material.named(f"attachment-rows-{application}") if piece.complete
    }
    host = next((name for name in databases if name in listed), None)
    known = loss.rows(material.chunks(listed[host])) if host else None
    stored = material.named(f"attachment-files-{application}")
    there: dict[str, float] | None = {} if any(piece.complete for piece in stored) else None
    for piece in stored:
        if there is not None and piece.complete:
            ahead = material.ahead(piece.host)
            there |= {name: at - ahead for name, at in loss.files(material.chunks(piece)).items()}
    return loss.compared(application, known, there, material.collected_at)


def _bytes(material: Material, source: str, host: str) -> bytes | None:
    piece = next((piece for piece in material.named(source) if piece.host == host), None)
    return b"".join(material.chunks(piece)) if piece else None
