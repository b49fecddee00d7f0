"""Looks again and again, and calls once for each alarm: when it is confirmed, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rmc_dr.backups import Level
from rmc_dr.check.confirm import Alarm, Key, Rule, Watch
from rmc_dr.check.findings import Finding
from rmc_dr.check.judge import blind, judge
from rmc_dr.check.seen import Seen
from rmc_dr.errors import Error
from rmc_dr.estate_limits import Thresholds

ALARMING = (Level.CRITICAL, Level.UNKNOWN)  # a warning is printed by each look; it calls nobody
SLICE_SECONDS = 0.2


@dataclass(frozen=True)
class News:
    """What a look has changed: findings that became alarms, and the last word on those that are over."""

    raised: tuple[Finding, ...]
    cleared: tuple[Finding, ...]
    seen: Seen
    found: tuple[Finding, ...]


@dataclass(frozen=True)
class Eyes:
    """What a watch looks with, and whom it tells. ``canceled`` says whether it should end."""

    look: Callable[[], Seen]
    limits: Thresholds
    tell: Callable[[News], None]
    stumbled: Callable[[Error], None]
    canceled: Callable[[], bool]


def watch(
    eyes: Eyes, rule: Rule, every_seconds: float, looks: int | None = None, known: Iterable[Finding] = ()
) -> Watch:
    """Look every so many seconds, until it is canceled or as often as ``looks`` says.

    A look that could not be taken says nothing: it neither raises nor clears. ``known`` are alarms that
    were raised before this watch began: they are not raised again, and cleared as its own are.
    """
    last = {one.key: one for one in known}
    state = Watch(rule, dict.fromkeys(last, Alarm(raised=True)))
    taken = 0
    while not eyes.canceled():
        began = time.monotonic()
        try:
            seen = eyes.look()
        except Error as error:
            eyes.stumbled(error)
        else:
            state = _after(eyes, state, last, seen)
        taken += 1
        if taken == looks:
            break
        _wait(eyes.canceled, began + every_seconds)
    return state


def _after(eyes: Eyes, state: Watch, last: dict[Key, Finding], seen: Seen) -> Watch:
    found = judge(seen, eyes.limits)
    now = _alarming(found)
    last.update(now)
    following, raised, cleared = state.after(frozenset(now), blind(seen))
    eyes.tell(
        News(
            tuple(last[key] for key in raised),
            tuple(last[key] for key in cleared),
            seen,
            tuple(found),
        )
    )
    for key in last.keys() - following.alarms.keys():
        del last[key]
    return following


def _alarming(found: list[Finding]) -> Mapping[Key, Finding]:
    """By key; of several that share one, the worst."""
    return {one.key: one for one in reversed(found) if one.level in ALARMING}


def _wait(canceled: Callable[[], bool], until: float) -> None:
    while not canceled() and (left := until - time.monotonic()) > 0:
        time.sleep(min(SLICE_SECONDS, left))
