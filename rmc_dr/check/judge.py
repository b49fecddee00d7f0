"""What is wrong with what was seen, by the estate's own thresholds; the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rmc_dr.backups import Level, Remark
from rmc_dr.check import judge_hosts, judge_network, judge_services
from rmc_dr.check.findings import Area, Finding, crossed, in_order, level_of
from rmc_dr.check.judge_network import Broken
from rmc_dr.check.seen import Answer, Seen
from rmc_dr.estate_limits import Thresholds
from rmc_dr.i18n import _
from rmc_dr.pair import Name, Role, verdict

PAIR_LEVELS = {
    Name.UNPROTECTED: Level.WARNING,
    Name.STANDBY_LAGGING: Level.WARNING,
    Name.UNKNOWN: Level.UNKNOWN,
}
# What remains true of the pair even where PostgreSQL cannot be reached from here.
PROVEN = (Name.SPLIT_BRAIN, Name.DIVERGED)
ABOUT_DATABASE = ("archive-behind", "archive-failing", "archiver-unknown")


def judge(seen: Seen, limits: Thresholds) -> list[Finding]:
    """Everything that is wrong. What another finding explains, and would only mislead, is left out."""
    broken = judge_network.broken(seen)
    parts = (
        judge_hosts.judge(seen, limits),
        judge_network.judge(seen, limits, broken),
        judge_services.judge(seen, limits, broken),
        _pair(seen, broken),
        _backups(seen),
        _kit(seen, limits),
        _timers(seen),
        _inspected(seen),
        _not_seen(seen),
    )
    return in_order(finding for part in parts for finding in part)


def _pair(seen: Seen, broken: Broken) -> Iterator[Finding]:
    if seen.pair is None:
        return
    judged = verdict(seen.pair)
    if judged.name is Name.HEALTHY:
        return
    ways = [one for one in broken.ports if one.service == "postgresql" and one.from_here]
    if ways and judged.name not in PROVEN:
        return  # it was judged by a port that only a firewall closes
    level = PAIR_LEVELS.get(judged.name, Level.CRITICAL)
    text = _("the pair is {verdict}: {reasons}").format(
        verdict=judged.name, reasons=" ".join(judged.reasons) or "-"
    )
    yield Finding(level, f"pair-{judged.name}", Area.DATABASE, "", text, judged.name.value)


def _backups(seen: Seen) -> Iterator[Finding]:
    for remark in seen.backups or ():
        if remark.code == "archiver-unknown" and len(seen.primaries) != 1:
            continue  # the pair says it better
        yield Finding(remark.level, remark.code, _area(remark), "", remark.text)


def _area(remark: Remark) -> Area:
    if remark.code in ABOUT_DATABASE:
        return Area.DATABASE
    return Area.TIMERS if remark.code == "timer-late" else Area.BACKUPS


def _kit(seen: Seen, limits: Thresholds) -> Iterator[Finding]:
    kit = seen.kit
    if kit is None:
        return
    if kit.code:
        yield Finding(Level.CRITICAL, "kit-unusable", Area.KIT, "", kit.trouble, kit.code)
    elif kit.days is not None and (level := level_of(kit.days, limits.kit_days)):
        code = "kit-expired" if kit.days <= 0 else "kit-expires"
        text = (
            _("the kit has expired")
            if kit.days <= 0
            else _("the kit expires in {days:.0f} days").format(days=kit.days)
        )
        yield Finding(level, code, Area.KIT, "", text, kit.days, crossed(level, limits.kit_days))


def _timers(seen: Seen) -> Iterator[Finding]:
    """Silent where none is installed: then another machine has the timetable, or its own scheduler."""
    timers = seen.timers or ()
    if not any(timer.installed for timer in timers):
        return
    for code, jobs, text in (
        (
            "timer-stopped",
            [timer.job for timer in timers if timer.installed and not timer.active],
            _("installed, but not running: the timers of {jobs}"),
        ),
        (
            "timer-missing",
            [timer.job for timer in timers if not timer.installed],
            _("not installed beside the others: the timers of {jobs}"),
        ),
    ):
        if jobs:
            names = ", ".join(jobs)
            yield Finding(Level.WARNING, code, Area.TIMERS, "", text.format(jobs=names), names)


def _inspected(seen: Seen) -> Iterator[Finding]:
    """Silence alarms here too: an inspection that nobody makes tells nobody that it was not made."""
    last = seen.inspected
    if last is None or last.days is None or last.days <= last.allowed:
        return
    text = (
        _("never inspected, {days:.0f} days after the estate was founded; every {allowed} are agreed")
        if last.never
        else _("the last inspection was {days:.0f} days ago; every {allowed} are agreed")
    ).format(days=last.days, allowed=last.allowed)
    yield Finding(Level.WARNING, "inspection-late", Area.TIMERS, "", text, last.days, last.allowed)


def _not_seen(seen: Seen) -> Iterator[Finding]:
    """Parts that nobody could look at; what is known to be down has its own finding."""
    roles = {node.name: node.role for node in seen.pair.nodes} if seen.pair else {}
    for what, said in seen.errors.items():
        kind, _space, name = what.partition(" ")
        if kind == "activity" and roles.get(name) in (Role.DOWN, Role.UNKNOWN):
            continue
        area = {
            "activity": Area.DATABASE,
            "pair": Area.DATABASE,
            "kit": Area.KIT,
            "timers": Area.TIMERS,
            "inspection": Area.TIMERS,
        }.get(kind, Area.BACKUPS if kind == "backups" else Area.APPSERVER)
        text = _("{what} could not be looked at: {said}").format(what=what, said=said)
        yield Finding(Level.UNKNOWN, "not-seen", area, name if name in seen.wanted else "", text)


def blind(seen: Seen) -> frozenset[str]:
    """The hosts that told nothing of themselves, so that no news of them is no good news."""
    return frozenset(name for name, host in seen.hosts.items() if host.answer is not Answer.SYSTEM)
