"""Carries what an incident's journal holds as news to its receivers, again and again until each has it.

One process an estate does it. Each receiver goes its own way: one that is dead holds up no other.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from rmc_dr import content, locks, notify
from rmc_dr.errors import Locked
from rmc_dr.history import Event
from rmc_dr.i18n import _
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.record import STALE, append, incidents

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)
GROWTH = 4
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 1.0
LOCK = "notify-{estate}.lock"


@dataclass(frozen=True)
class Parcel:
    """One piece of news on its way to one receiver, not to be tried before ``at``."""

    incident: str
    notice: Event
    to: str
    attempt: int
    at: datetime


def waiting(state: IncidentState, receivers: Iterable[str], now: datetime) -> list[Parcel]:
    """What has not reached whom yet, in order, and when it is tried next. Pure."""
    parcels = []
    for to in receivers:
        for notice in state.notices:
            if now - notice.time > STALE:
                continue
            mine = [
                one for one in state.deliveries if one.get("to") == to and one.get("notice") == notice.seq
            ]
            if any(one.event == "notice-sent" for one in mine):
                continue
            at = mine[-1].time + wait(len(mine)) if mine else notice.time
            parcels.append(Parcel(state.incident, notice, to, len(mine) + 1, at))
    return parcels


def wait(failures: int) -> timedelta:
    """How long after so many failures: 10 s, 40 s ... at most an hour."""
    times: int = GROWTH ** min(failures - 1, 10)
    return min(LONGEST_WAIT, FIRST_WAIT * times)


def deliver(estate: str, addresses: Sequence[str], patience: float = PATIENCE_SECONDS) -> None:
    """Carry all that waits, and what comes meanwhile; return once nothing is due within ``patience`` seconds.

    Returns at once where another process is at it: that one looks again before it ends. Raises Error where
    the outcome cannot be recorded.
    """
    known = notify.labels(addresses)
    while _due(estate, known, patience):
        try:
            busy = _("Process {pid} carries the news of this estate.")
            with locks.only_one(content.STATE / "locks" / LOCK.format(estate=estate), "news-locked", busy):
                while parcels := _due(estate, known, patience):
                    _round([parcel for parcel in parcels if parcel.at <= datetime.now(UTC)], known)
                    time.sleep(LOOK_SECONDS)
        except Locked:
            return


def _due(estate: str, receivers: Iterable[str], within: float) -> list[Parcel]:
    now, receivers = datetime.now(UTC), tuple(receivers)
    return [
        parcel
        for state in _lately(estate, now)
        for parcel in waiting(state, receivers, now)
        if parcel.at <= now + timedelta(seconds=within)
    ]


def _lately(estate: str, now: datetime) -> Iterator[IncidentState]:
    """The estate's incidents that may have news: an older one was closed before the first that is too old."""
    for one in incidents():
        if one.state.estate != estate:
            continue
        if one.state.closed and now - one.state.closed > STALE:
            return
        yield one.state


def _round(parcels: Sequence[Parcel], addresses: dict[str, str]) -> None:
    """Try each parcel once, the receivers side by side."""
    ways = [list(way) for _to, way in groupby(sorted(parcels, key=_way), key=lambda one: one.to)]
    if ways:
        with ThreadPoolExecutor(len(ways)) as pool:
            list(pool.map(lambda way: _walk(way, addresses), ways))


def _way(parcel: Parcel) -> tuple[str, datetime]:
    return parcel.to, parcel.notice.time


def _walk(parcels: Sequence[Parcel], addresses: dict[str, str]) -> None:
    """One receiver's parcels in order; after a failure the rest waits as well."""
    for parcel in parcels:
        title, text = str(parcel.notice.get("title")), str(parcel.notice.get("text"))
        taken = notify.send(addresses[parcel.to], title, text)
        event = "notice-sent" if taken else "notice-failed"
        append(parcel.incident, (), event, notice=parcel.notice.seq, to=parcel.to, attempt=parcel.attempt)
        if not taken:
            return
