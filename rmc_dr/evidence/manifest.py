"""The sealed list of one collection: what was had and what was not, from whom, by whom, with whose keys."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rmc_dr.estate import Estate
from rmc_dr.evidence import sign
from rmc_dr.evidence.collect import Piece
from rmc_dr.evidence.folder import COLLECTING, MANIFEST, Kept
from rmc_dr.evidence.line import Clock
from rmc_dr.evidence.sources import Task
from rmc_dr.files import read_json, write_atomically
from rmc_dr.i18n import _
from rmc_dr.kit.place import digest

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """``about`` is who, when, why and from where; ``interrupted``: it was ended in the middle."""

    id: str
    about: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    clocks: Mapping[str, Clock]
    silent: Mapping[str, str]
    interrupted: bool = False

    @property
    def had(self) -> tuple[Piece, ...]:
        return tuple(piece for piece in self.pieces if piece.file)

    @property
    def not_had(self) -> tuple[Piece, ...]:
        """Sources that gave less than all: nothing, or no more than a part."""
        return tuple(piece for piece in self.pieces if not piece.complete)

    @property
    def bytes(self) -> int:
        return sum(piece.bytes for piece in self.pieces)


def begin(estate: Estate, kept: Kept, about: Mapping[str, Any], tasks: Sequence[Task]) -> None:
    """Say whose it is before the first byte: what a kill leaves behind can still be sealed."""
    asked = [
        {"host": task.host, "source": task.label, "file": task.file, "patient": task.source.patient}
        for task in tasks
    ]
    whole = {**about, "estate": estate.name, "asked": asked}
    write_atomically(kept.path / COLLECTING, json.dumps(whole, ensure_ascii=False, indent=1))


def write(estate: Estate, kept: Kept, manifest: Manifest) -> None:
    """Write and sign it. Raises BadInput or Error."""
    document = {"format": FORMAT, **asdict(manifest)}
    write_atomically(kept.path / MANIFEST, json.dumps(document, ensure_ascii=False, indent=1))
    sign.sign_file(estate, kept.path / MANIFEST)


def read(kept: Kept) -> Manifest:
    """The manifest as it stands, believed or not. Raises ValueError."""
    return parse((kept.path / MANIFEST).read_bytes())


def parse(text: bytes) -> Manifest:
    """Raises ValueError for what is no manifest."""
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']}")
        return Manifest(
            id=str(raw["id"]),
            about=dict(raw["about"]),
            pieces=tuple(Piece(**piece) for piece in raw["pieces"]),
            clocks={name: Clock(**clock) for name, clock in raw["clocks"].items()},
            silent=dict(raw["silent"]),
            interrupted=bool(raw["interrupted"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a manifest: {error}") from None


def of_leftover(kept: Kept) -> Manifest:
    """What a kill left: the files as they lie, and what had been asked for and did not come."""
    about = read_json(kept.path / COLLECTING)
    asked = about.pop("asked", [])
    cut = Piece("", "", patient=True, why=_("the collection was cut off"))
    pieces = [
        replace(_as_it_lies(kept.path, str(one["file"]), cut), host=one["host"], source=one["source"],
                patient=bool(one["patient"]))
        for one in asked
    ]  # fmt: skip
    return Manifest(kept.id, about, tuple(pieces), {}, {}, interrupted=True)


def fingerprints(estate: Estate) -> dict[str, str]:
    """SHA-256 of each host key that is pinned: who answered was proven by it."""
    path = estate.private_dir / "known_hosts"
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        names, _kind, key = line.split()[:3]
        digest = hashlib.sha256(base64.b64decode(key)).digest()
        found[names.split(",")[0]] = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    return found


def _as_it_lies(folder: Path, name: str, piece: Piece) -> Piece:
    path = folder / name
    if path.is_symlink() or not path.is_file() or not path.stat().st_size:
        return piece
    return replace(piece, file=name, bytes=path.stat().st_size, sha256=digest(path))
