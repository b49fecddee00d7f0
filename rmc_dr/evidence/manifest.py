"""The sealed list of one collection: what was had and what was not, from whom, by whom, with whose keys."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rmc_dr.estate import Estate
from rmc_dr.evidence import sign
from rmc_dr.evidence.collect import Piece
from rmc_dr.evidence.folder import COLLECTING, MANIFEST, Kept
from rmc_dr.evidence.line import Clock
from rmc_dr.evidence.sources import Task
from rmc_dr.files import read_json, write_atomically
from rmc_dr.i18n import _
from rmc_dr.kit.place import digest
from rmc_dr.untrusted import load

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


_MANIFEST = TypeAdapter(Manifest)


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
    """The manifest as it stands, believed or not. Raises ValueError, OSError."""
    return parse((kept.path / MANIFEST).read_bytes())


def parse(text: bytes) -> Manifest:
    """Raises ValueError for what is no manifest."""
    raw = load(text)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ValueError("not a manifest")
    manifest = _MANIFEST.validate_python(raw)
    if not _hosts_are_told(manifest.about):
        raise ValueError("not a manifest: about.hosts")
    return manifest


def of_leftover(kept: Kept) -> Manifest:
    """What a kill left: the files as they lie, and what had been asked for and did not come."""
    about = read_json(kept.path / COLLECTING)
    asked = _whole(about.pop("asked", []))
    if not _hosts_are_told(about):
        del about["hosts"]
    cut = Piece("", "", patient=True, why=_("the collection was cut off"))
    pieces = [
        replace(_as_it_lies(kept.path, str(one["file"]), cut), host=one["host"], source=one["source"],
                patient=bool(one.get("patient", True)))
        for one in asked
    ]  # fmt: skip
    return Manifest(kept.id, about, tuple(pieces), {}, {}, interrupted=True)


def fingerprints(estate: Estate) -> dict[str, str]:
    """SHA-256 of each host key that is pinned: who answered was proven by it."""
    path = estate.private_dir / "known_hosts"
    found = {}
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        words = line.split()
        if len(words) < 3 or words[0].startswith(("#", "@")):
            continue  # ssh passes over what is blank or a remark as well; a mark names no host's own key
        with suppress(ValueError):
            raw = hashlib.sha256(base64.b64decode(words[2], validate=True)).digest()
            found[words[0].split(",")[0]] = "SHA256:" + base64.b64encode(raw).decode().rstrip("=")
    return found


def _whole(asked: Any) -> list[Mapping[str, Any]]:
    """What had been asked for, as far as it can be read."""
    names = ("host", "source", "file")
    return [
        one
        for one in (asked if isinstance(asked, list) else ())
        if isinstance(one, dict) and all(isinstance(one.get(name), str) for name in names)
    ]


def _hosts_are_told(about: Mapping[str, Any]) -> bool:
    hosts = about.get("hosts", {})
    return isinstance(hosts, dict) and all(isinstance(said, dict) for said in hosts.values())


def _as_it_lies(folder: Path, name: str, piece: Piece) -> Piece:
    path = folder / name
    if path.is_symlink() or not path.is_file() or not path.stat().st_size:
        return piece
    return replace(piece, file=name, bytes=path.stat().st_size, sha256=digest(path))
