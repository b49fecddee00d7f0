"""What pgBackRest and restic say of a repository that they have read, and what it means. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

LINE = re.compile(r"P\d\d +(INFO|DETAIL|WARN|ERROR): (?:\[\d+\]: )?(.*)")
STATUS = re.compile(r"^\s*status: (ok|error)\s*$", re.MULTILINE)
BROKEN = re.compile(r"(file missing|invalid checksum|invalid size|invalid result) '?([^':]+)")
COPY = re.compile(r"backup '(?P<label>[^']+)' manifest\.copy does not match manifest")
FILE = re.compile(r"[\w./-]*?(?P<file>[\w-]*/?(?:backup\.manifest|backup\.info|archive\.info)(?:\.copy)?)\b")
# What pgBackRest says at this level when everything is well.
WELL = re.compile(
    r"verify command (begin|end)|stanza: |archiveId: |appears to be in progress|wal start|statistics: "
)
# Of a single backup pgBackRest reads no WAL from before it: a timeline that ended earlier has none for it.
NOT_ITS_OWN = re.compile(r"path '[^']+' does not contain any valid WAL to be processed")
SEALED = re.compile(r"unable to flush")
SEGMENT = re.compile(r"([0-9A-F]{24})-([0-9a-f]{40})(\.zst)?")
WAL_BYTES = 16 * 1024**2
PER_HIGH = 256
PACK = re.compile(r"\b[0-9a-f]{64}\b")
SHORT_ID = re.compile(r"\b(?:snapshot|index|pack|tree|blob) ([0-9a-f]{8})\b")
ADVICE = ("restic repair", "Damaged pack files", "The repository", "Fatal: repository contains errors")


def pgbackrest_findings(text: str, whole: bool = True) -> list[tuple[str, str]]:
    """What is wrong, and the object that it names ("" for none), each object once, in what `verify` printed
    of the whole repository or of a single backup.

    Damage that a second copy makes up for is only a detail to pgBackRest; here it counts.
    """
    found: dict[tuple[str, str], None] = {}
    for line in text.splitlines():
        match = LINE.search(line)
        if match is None or WELL.search(match[2]) or (NOT_ITS_OWN.match(match[2]) and not whole):
            continue
        if broken := BROKEN.search(match[2]):
            found[broken[1], broken[2].strip()] = None
        elif match[1] != "INFO":
            found[_cut(match[2]), _object(match[2])] = None
    status = STATUS.search(text)
    if status is None:
        found["pgBackRest did not end its reading", ""] = None
    elif status[1] == "error" and (not found or any(SEALED.match(said) for said, _name in found)):
        found[_after_status(text), ""] = None
    return list(found)


def _cut(text: str) -> str:
    return " ".join(text.split())[:300]


def _object(text: str) -> str:
    if match := COPY.search(text):
        return f"{match['label']}/backup.manifest.copy"
    if match := FILE.search(text):
        return match["file"].lstrip("/")
    return ""


def _after_status(text: str) -> str:
    rest = text[STATUS.search(text).end() :].splitlines()
    lines = [line.strip() for line in rest if line.strip() and not LINE.search(line)]
    return "; ".join(dict.fromkeys(lines)) or "pgBackRest found an error that it does not name"


def may_be_a_writer(findings: Iterable[tuple[str, str]]) -> bool:
    """Whether all that is wrong are lists of which a backup at work has just renewed one of two copies."""
    objects = [name for _said, name in findings]
    return bool(objects) and all(name.startswith(("backup.info", "archive.info")) for name in objects)


def segments(listing: str) -> list[tuple[str, str, str]]:
    """File, segment and SHA-1 of each WAL segment in what `repo-ls --output=json` printed."""
    names = sorted(json.loads(listing or "{}"))
    matches = ((name, SEGMENT.fullmatch(name)) for name in names)
    return [(name, match[1], match[2]) for name, match in matches if match]


def following(segment: str) -> str:
    """The name of the segment behind this one, on the same timeline."""
    number = int(segment[8:16], 16) * PER_HIGH + int(segment[16:], 16) + 1
    high, low = divmod(number, PER_HIGH)
    return f"{segment[:8]}{high:08X}{low:08X}"


def stopped_in(lsn: int, until: str) -> str | None:
    """The segment in which a recovery ended too early; None where it got to the end of ``until``.

    At a segment's very end the next one is missing; inside of one, that one is damaged or its successor is.
    """
    number = int(until[8:16], 16) * PER_HIGH + int(until[16:], 16)
    reached = (lsn - 1) // WAL_BYTES
    if reached >= number:
        return None
    high, low = divmod(lsn // WAL_BYTES, PER_HIGH)
    return f"{until[:8]}{high:08X}{low:08X}"


def restic_findings(text: str) -> tuple[bool, list[tuple[str, tuple[str, ...]]]]:
    """Whether restic has ended its check, and what is wrong with the objects that it names."""
    ended, found, broken = False, {}, []
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        message = " ".join(str(said.get("message", "")).split())
        if said.get("message_type") == "summary":
            ended = True
            broken += said.get("broken_packs") or ()
        elif said.get("message_type") in ("error", "exit_error") and not message.startswith(ADVICE):
            names = tuple(dict.fromkeys([*PACK.findall(message)[:1], *SHORT_ID.findall(message)]))
            found[message[:300]] = names
    named = {name for names in found.values() for name in names}
    found.update({f"pack {pack} is damaged": (pack,) for pack in broken if pack not in named})
    return ended, list(found.items())
