"""What is unresolved: what `check` found, what was not tested, which clocks were broken. Pure.

Each is said in both languages while it is known: the record is read years later, by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rmc_dr.backups import Level
from rmc_dr.check.findings import Finding
from rmc_dr.check.seen import Seen
from rmc_dr.i18n import _, speaking
from rmc_dr.incident.clocks import Reading, Standing
from rmc_dr.incident.history import IncidentState
from rmc_dr.rounds.compare import by_weight
from rmc_dr.rounds.facts import WEIGHTS, Drill, Patches, Risk, Weight
from rmc_dr.rounds.trend import Trend

LEVELS: Mapping[Level, Weight] = {
    Level.CRITICAL: "critical",
    Level.UNKNOWN: "unknown",
    Level.WARNING: "warning",
}
OF_INSPECTIONS = "inspection-late"  # told by the inspection itself, it would always be over


@dataclass(frozen=True)
class Said:
    """One risk in one language."""

    weight: Weight
    code: str
    area: str
    host: str
    text: str
    command: str = ""


def in_both(say: Callable[[], Iterable[Said]]) -> tuple[Risk, ...]:
    """The risks that ``say`` tells, in both languages, the worst first; of one key there is one risk."""
    told = {}
    for language in ("en", "zh"):
        with speaking(language):
            told[language] = _merged(say())
    return by_weight(
        Risk(
            weight=one.weight,
            code=one.code,
            area=one.area,
            host=one.host,
            en=one.text,
            zh=told["zh"][key].text,
            command=one.command,
        )
        for key, one in told["en"].items()
        if key in told["zh"]
    )


def _merged(said: Iterable[Said]) -> dict[tuple[str, str, str], Said]:
    found: dict[tuple[str, str, str], Said] = {}
    for one in said:
        key = one.area, one.host, one.code
        before = found.get(key)
        if before is None:
            found[key] = one
            continue
        weight = min(before.weight, one.weight, key=WEIGHTS.index)
        found[key] = replace(before, weight=weight, text=f"{before.text}; {one.text}")
    return found


def found(findings: Iterable[Finding], seen: Seen) -> Iterator[Said]:
    """What `check` found; but that the inspection was late it has itself mended."""
    for one in findings:
        if one.code != OF_INSPECTIONS:
            wanted = seen.wanted.get(one.host)
            command = one.next(wanted.group if wanted else "")
            yield Said(LEVELS[one.level], one.code, one.area.value, one.host, one.text, command)


def untested(
    drills: Sequence[Drill], kinds: Iterable[str], ever: Iterable[str], patches: Patches, *, verifier: bool
) -> Iterator[Said]:
    """What nobody has proven. ``ever`` are the kinds of drill that were rehearsed at any time."""
    if not verifier:
        text = _("no host verifies the backups: nobody knows what they give back")
        yield Said("warning", "backups-unproven", "untested", "", text)
    if not drills:
        text = _("no recovery was rehearsed since the inspection before")
        yield Said("warning", "no-drill", "untested", "", text, "rmc-dr drill appserver")
    if never := [kind for kind in kinds if kind not in set(ever)]:
        text = _("never rehearsed: {drills}").format(drills=", ".join(never))
        yield Said("warning", "drill-missing", "untested", "", text, f"rmc-dr drill {never[0]}")
    for drill in {one.drill: one for one in drills}.values():
        if not drill.passed:
            text = _("the last drill of {drill} failed").format(drill=drill.drill)
            yield Said("warning", f"drill-failed-{drill.drill}", "untested", "", text)
    if patches.unknown:
        text = _("nobody knows what patches wait for: {hosts}").format(
            hosts=", ".join(sorted(patches.unknown))
        )
        yield Said("warning", "patches-unknown", "untested", "", text)


def filling(trends: Mapping[tuple[str, str], Trend], before: datetime) -> Iterator[Said]:
    """Disks that will be full before then, by the line through what the inspections measured."""
    for (host, path), trend in trends.items():
        if trend.full is not None and trend.full < before:
            text = _("{path} would be full about {day} as it grows now").format(
                path=path, day=f"{trend.full:%Y-%m-%d}"
            )
            yield Said("warning", f"disk-fills {path}", "capacity", host, text)


def broken_clocks(
    incidents: Iterable[tuple[IncidentState, Sequence[Reading]]], since: datetime | None
) -> Iterator[Said]:
    """Clocks that are broken, or were missed since the inspection before."""
    for state, readings in incidents:
        command = f"rmc-dr incident show {state.incident}"
        if names := [one.clock.name for one in readings if one.standing is Standing.BREACHED]:
            text = _("clocks broken: {clocks}").format(clocks=", ".join(names))
            yield Said("critical", "clock-breached", "incident", state.incident, text, command)
        missed = [one for one in readings if one.standing is Standing.MISSED]
        if names := [one.clock.name for one in missed if since is None or _after(one.stopped, since)]:
            text = _("clocks missed: {clocks}").format(clocks=", ".join(names))
            yield Said("warning", "clock-missed", "incident", state.incident, text, command)


def _after(moment: datetime | None, since: datetime) -> bool:
    return moment is not None and moment > since
