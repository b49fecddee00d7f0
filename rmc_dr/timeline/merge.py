"""Many hosts' happenings in one order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rmc_dr.timeline import Happening, Weight

AGAIN = timedelta(seconds=60)


def merged(
    happenings: Iterable[Happening], since: datetime | None = None, until: datetime | None = None
) -> list[Happening]:
    """In the order of time, within the window; the same thing again within a minute is only counted."""
    inside = (
        one for one in happenings if (since is None or one.at >= since) and (until is None or one.at <= until)
    )
    ordered = sorted(inside, key=lambda one: (one.at, one.host, one.what))
    folded: list[Happening] = []
    newest: dict[tuple[str, str, str], int] = {}
    for one in ordered:
        key = (one.host, one.kind, one.what)
        index = newest.get(key)
        if index is not None and one.at - folded[index].until <= AGAIN:
            before = folded[index]
            folded[index] = replace(before, until=one.at, count=before.count + one.count)
        else:
            newest[key] = len(folded)
            folded.append(one)
    return folded


def first_error(timeline: Sequence[Happening]) -> Happening | None:
    return next((one for one in timeline if one.weight is Weight.ERROR), None)
