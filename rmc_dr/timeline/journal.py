"""systemd's journal, as `journalctl --output=json` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from rmc_dr.i18n import _
from rmc_dr.timeline import Happening, Kind, Read, Weight, What, told
from rmc_dr.timeline.rules import of_unit, recognised
from rmc_dr.timeline.text import clean, decoded, lines

BOOTED = "b07a249cd024414a82dd00cd181378ff"
GOES_DOWN = "98268866d1d54a499c4e98921d93bc40"
WORST_PRIORITY = 3  # syslog's "error"
NAME = re.compile(r"^[\w@.:-]{1,60}$", re.ASCII)


def read(chunks: Iterable[bytes], host: str, source: str, ahead: float) -> Read:
    """What happened. ``ahead``: seconds that the host's clock is before ours."""
    happenings, count, unreadable = [], 0, 0
    for count, line in enumerate(lines(chunks), 1):
        if line is not None and not line.strip():
            continue
        entry = _entry(line)
        at = _time(entry, ahead)
        if at is None:
            unreadable += 1
            continue
        text = _message(entry.get("MESSAGE"))
        if found := _judge(entry, text):
            happenings.append(Happening.judged(at, host, found, source, count, clean(text)))
    return Read(tuple(happenings), count, unreadable)


def _entry(line: bytes | None) -> dict[str, Any]:
    try:
        entry = json.loads(line or b"")
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _time(entry: dict[str, Any], ahead: float) -> datetime | None:
    try:
        stamp = datetime.fromtimestamp(int(str(entry.get("__REALTIME_TIMESTAMP"))) / 1e6, UTC)
        return stamp - timedelta(seconds=ahead)
    except (ValueError, OverflowError, OSError):
        return None


def _message(said: Any) -> str:
    """A text; of one that is no UTF-8 a list of bytes; of several the first."""
    if isinstance(said, list):
        if said and all(isinstance(byte, int) and 0 <= byte < 256 for byte in said):
            return decoded(bytes(said))
        return str(said[0]) if said else ""
    return said if isinstance(said, str) else ""


def _judge(entry: dict[str, Any], text: str) -> tuple[Kind, Weight, What] | None:
    if entry.get("MESSAGE_ID") == BOOTED:
        return Kind.RESTART, Weight.INFO, told(lambda _caught: _("the system has started"))
    if entry.get("MESSAGE_ID") == GOES_DOWN:
        return Kind.RESTART, Weight.INFO, told(lambda _caught: _("the system goes down"))
    program = _name(entry.get("SYSLOG_IDENTIFIER"))
    if program == "systemd" and (said := of_unit(_name(entry.get("UNIT")), text)):
        return said
    where = (
        ("kernel",) if entry.get("_TRANSPORT") == "kernel" else (program, _name(entry.get("_SYSTEMD_UNIT")))
    )
    if found := recognised(where, text):
        return found
    if _priority(entry) <= WORST_PRIORITY:
        return Kind.ERROR, Weight.ERROR, told(_reports, program=program or "?")
    return None


def _reports(caught: dict[str, str]) -> str:
    return _("{program} reports an error").format(**caught)


def _name(said: Any) -> str:
    return said if isinstance(said, str) and NAME.match(said) else ""


def _priority(entry: dict[str, Any]) -> int:
    said = entry.get("PRIORITY")
    return int(said) if isinstance(said, str) and said in ("0", "1", "2", "3") else 7
