"""The chain of custody: a signed line for each thing done with a collection, bound to the line before."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rmc_dr import __version__
from rmc_dr.estate import Estate
from rmc_dr.evidence import sign
from rmc_dr.evidence.folder import CUSTODY, Kept
from rmc_dr.files import append_line
from rmc_dr.untrusted import load

COLLECTED = "collected"
COPIED = "copied"
CUT_OFF = "sealed-after-cut"


@dataclass(frozen=True)
class Entry:
    """One line. ``good``: it is signed by the estate, and follows on the line before."""

    number: int
    said: Mapping[str, Any]
    good: bool


def who() -> dict[str, str]:
    """Who works here, on which machine, and with what."""
    known = {
        "operator": getpass.getuser(),
        "behind_sudo": os.environ.get("SUDO_USER", ""),
        "control": socket.gethostname(),
        "came_from": os.environ.get("SSH_CONNECTION", "").split(" ")[0],
        "tool_version": __version__,
    }
    return {key: value for key, value in known.items() if value}


def append(estate: Estate, kept: Kept, did: str, **about: Any) -> None:
    """Add a line; on the disk when this returns. Hold the collection meanwhile. Raises BadInput or Error."""
    lines = _whole_lines(kept)
    said = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "did": did,
        **who(),
        **about,
        "before": _digest(lines[-1]) if lines else "",
    }
    text = json.dumps(said, ensure_ascii=True, sort_keys=True)
    line = json.dumps({"said": text, "signature": sign.sign(estate, text.encode())})
    append_line(kept.path / CUSTODY, line)


def read(estate: Estate, kept: Kept) -> list[Entry]:
    """Every line in order, judged. Raises BadInput where nobody is known who may sign."""
    entries, before = [], ""
    for number, line in enumerate(_whole_lines(kept), 1):
        said, text, signature = _parse(line)
        good = said.get("before") == before and sign.check(estate, text.encode(), signature)
        entries.append(Entry(number, said, good))
        before = _digest(line)
    return entries


def tells(estate: Estate, kept: Kept, did: str) -> bool:
    """Whether a good line says this; no other is proven. Raises BadInput as ``read`` does."""
    before = ""
    for line in _whole_lines(kept):
        said, text, signature = _parse(line)
        fits = said.get("did") == did and said.get("before") == before
        if fits and sign.check(estate, text.encode(), signature):
            return True
        before = _digest(line)
    return False


def last(entries: list[Entry], did: str) -> Mapping[str, Any] | None:
    """The newest good line that says this."""
    return next(
        (entry.said for entry in reversed(entries) if entry.good and entry.said.get("did") == did), None
    )


def _whole_lines(kept: Kept) -> list[bytes]:
    path = kept.path / CUSTODY
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines


def _parse(line: bytes) -> tuple[dict[str, Any], str, str]:
    try:
        outer = load(line)
        text, signature = str(outer["said"]), str(outer["signature"])
        said = load(text)
    except (ValueError, TypeError, KeyError):
        return {}, "", ""
    return (said if isinstance(said, dict) else {}), text, signature


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
