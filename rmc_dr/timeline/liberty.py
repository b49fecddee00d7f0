"""Liberty's messages.log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo

from rmc_dr.i18n import _
from rmc_dr.timeline import Happening, Kind, Read, Weight, What, told
from rmc_dr.timeline.text import clean, decoded, lines

HEAD = re.compile(
    r"^\[(?P<time>[^\]]{10,40})\] [0-9a-f]{8} \S{1,120}\s+(?P<level>[A-Z]) (?P<rest>.*)$", re.DOTALL
)
CODE = re.compile(r"\b(?P<code>[A-Z]{4,5}\d{4}[EWIA])\b", re.ASCII)
AMERICAN = re.compile(
    r"^(\d{1,2})/(\d{1,2})/(\d{2}),? (\d{1,2}):(\d{2}):(\d{2}):(\d{3})(?:\s([AP])M)? [A-Z]{1,5}$", re.ASCII
)
CONNECTION = re.compile(
    r"StaleConnection|SQLException|PSQLException|DSRA\d{4}E|J2CA\d{4}E|Connection refused|connect timed out"
    r"|UnknownHostException|SocketTimeoutException"
)
LONGEST_MATCHED = 4000
STARTS = {"CWWKF0011I", "CWWKE0001I", "CWWKZ0001I", "CWWKE0036I", "CWWKZ0009I", "CWWKE0055I"}
BAD = ("E", "F")


def read(chunks: Iterable[bytes], host: str, source: str, ahead: float, zone: tzinfo) -> Read:
    """What happened; a line that begins with no time belongs to the one before. ``zone``: the host's."""
    happenings, count, unreadable = [], 0, 0
    for count, line in enumerate(lines(chunks), 1):
        text = decoded(line[:LONGEST_MATCHED]) if line else ""
        head = HEAD.match(text)
        if head is None:
            unreadable += line is None
            continue
        at = _time(head["time"], zone)
        if at is None:
            unreadable += 1
            continue
        if found := _judge(head["level"], head["rest"]):
            at -= timedelta(seconds=ahead)
            happenings.append(Happening.judged(at, host, found, source, count, clean(text)))
    return Read(tuple(happenings), count, unreadable)


def _time(said: str, zone: tzinfo) -> datetime | None:
    """ISO 8601, which the estate's Liberty writes, or the American form that an older one does."""
    try:
        stamp = datetime.fromisoformat(said)
    except ValueError:
        return _american(said.replace("\u202f", " "), zone)
    return _utc(stamp if stamp.tzinfo else stamp.replace(tzinfo=zone))


def _utc(stamp: datetime) -> datetime | None:
    """None where the calendar has no such moment, or none a day off it either."""
    try:
        return stamp.astimezone(UTC) if 1 < stamp.year < 9999 else None
    except OverflowError:
        return None


def _american(said: str, zone: tzinfo) -> datetime | None:
    found = AMERICAN.match(said)
    if found is None:
        return None
    month, day, year, hour, minute, second, milli = (int(word) for word in found.groups()[:7])
    if found[8]:
        hour = hour % 12 + (12 if found[8] == "P" else 0)
    try:
        stamp = datetime(2000 + year, month, day, hour, minute, second, milli * 1000, tzinfo=zone)
    except ValueError:
        return None
    return _utc(stamp)


def _judge(level: str, rest: str) -> tuple[Kind, Weight, What] | None:
    found = CODE.search(rest[:200])
    code = found["code"] if found else ""
    if code in STARTS:
        return Kind.RESTART, Weight.INFO, told(_starts, code=code)
    if level not in (*BAD, "W"):
        return None
    weight = Weight.ERROR if level in BAD else Weight.WARNING
    if CONNECTION.search(rest):
        return Kind.CONNECTION, weight, told(_unreached, code=code or "-")
    return Kind.ERROR, weight, told(_reports, code=code) if code else told(_reports_no_code)


def _starts(caught: dict[str, str]) -> str:
    return _("Liberty starts or stops something ({code})").format(**caught)


def _unreached(caught: dict[str, str]) -> str:
    return _("an application does not reach what it needs ({code})").format(**caught)


def _reports(caught: dict[str, str]) -> str:
    return _("Liberty reports {code}").format(**caught)


def _reports_no_code(_caught: dict[str, str]) -> str:
    return _("Liberty reports an error without a code")
