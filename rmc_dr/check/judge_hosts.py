"""What is wrong with a host itself: does it answer, its clock, its disks, its memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rmc_dr.backups import Level
from rmc_dr.check.findings import AREAS, Area, Finding, crossed, level_of
from rmc_dr.check.roads import Wanted
from rmc_dr.check.seen import Answer, Facts, HostSeen, Seen, Way
from rmc_dr.estate_limits import Above, Thresholds
from rmc_dr.i18n import _
from rmc_dr.spoken import spoken
from rmc_dr.words import size

OURS = 3  # so many hosts that agree against this machine's clock are right
AGREE_SECONDS = 2


def judge(seen: Seen, limits: Thresholds) -> Iterator[Finding]:
    hosts = [(seen.wanted[name], host) for name, host in seen.hosts.items()]
    if hosts and all(host.answer is Answer.SILENT for _wanted, host in hosts):
        text = _("no host answers: look at this machine's own network first")
        yield Finding(Level.CRITICAL, "nothing-answers", Area.NETWORK, "", text)
        return
    for wanted, host in hosts:
        if finding := _answer(seen, wanted, host):
            yield finding
    yield from _clocks(seen, limits)
    for wanted, host in hosts:
        if host.facts:
            yield from _values(wanted, host.facts, limits)
            yield from _failed(seen, wanted, host.facts)
            yield from _unseen(wanted, host.facts)


def _answer(seen: Seen, wanted: Wanted, host: HostSeen) -> Finding | None:
    area, name = AREAS[wanted.group], host.name
    if host.answer is Answer.SYSTEM:
        return None
    if host.answer is Answer.SILENT:
        friends = reached_by(seen, name)
        if any(reached.why is Way.OPEN for reached in seen.here.get(name, {}).values()):
            return Finding(Level.CRITICAL, "ssh-refused", area, name, _no_ssh(name))
        if friends:
            text = _("{host} answers {others}, but not this machine: the way from here is cut").format(
                host=name, others=", ".join(friends)
            )
            return Finding(Level.CRITICAL, "network-cut", Area.NETWORK, name, text)
        text = _("{host} does not answer: off, hung or cut off").format(host=name)
        return Finding(Level.CRITICAL, "host-silent", area, name, text)
    code, text = {
        Answer.RESCUE: ("host-rescue", _("{host} runs the rescue system: it serves nobody")),
        Answer.FOREIGN: (
            "host-foreign",
            _("something answers at the address of {host} with a key that nobody pinned"),
        ),
        Answer.REFUSED: ("ssh-refused", _no_ssh(name)),
        Answer.UNREADABLE: ("host-unreadable", _("{host} lets SSH in, but cannot be looked at: {said}")),
    }[host.answer]
    return Finding(Level.CRITICAL, code, area, name, text.format(host=name, said=host.said))


def _no_ssh(name: str) -> str:
    return _("{host} is up, but takes no SSH connection").format(host=name)


def reached_by(seen: Seen, name: str) -> list[str]:
    """The hosts that this one answered, by a ping or on a port."""
    friends = []
    for other, host in seen.hosts.items():
        if host.facts is None or other == name:
            continue
        ping = host.facts.pings.get(name)
        roads = seen.wanted[other].roads
        opened = any(
            road.to == name and (found := host.facts.roads.get(str(number))) and not found.why
            for number, road in enumerate(roads)
        )
        if opened or (ping and ping.received):
            friends.append(other)
    return friends


def _clocks(seen: Seen, limits: Thresholds) -> Iterator[Finding]:
    ahead = {name: off for name, host in seen.hosts.items() if (off := host.clock_ahead)}
    wrong = {name: off for name, off in ahead.items() if level_of(abs(off), limits.clock_seconds)}
    known = [host for host in seen.hosts.values() if host.clock_ahead is not None]
    agreed = wrong and max(wrong.values()) - min(wrong.values()) <= AGREE_SECONDS
    if len(known) >= OURS and len(wrong) == len(known) and agreed:
        worst = max(wrong.values(), key=abs)
        text = _("the clock of this machine is {seconds:.0f} s off from that of every host").format(
            seconds=abs(worst)
        )
        yield _clock("", Area.NETWORK, -worst, text, limits)
        return
    for name, off in wrong.items():
        way = _("fast") if off > 0 else _("slow")
        text = _("the clock of {host} is {seconds:.0f} s {way}").format(host=name, seconds=abs(off), way=way)
        yield _clock(name, AREAS[seen.wanted[name].group], off, text, limits)


def _clock(host: str, area: Area, off: float, text: str, limits: Thresholds) -> Finding:
    level = level_of(abs(off), limits.clock_seconds) or Level.WARNING
    return Finding(level, "clock-skew", area, host, text, off, crossed(level, limits.clock_seconds))


def _values(wanted: Wanted, facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    name = wanted.name
    for disk in facts.filesystems or ():
        used = percent(disk.size - disk.free, disk.size)
        text = _("the disk {path} of {host} is {share:.0%} full, {free} are left").format(
            path=disk.path, host=name, share=(used or 0) / 100, free=size(disk.free)
        )
        yield from _above("disk-full", wanted, used, limits.disk_percent, text)
        inodes = percent(disk.inodes - disk.inodes_free, disk.inodes)
        text = _("the disk {path} of {host} has used {share:.0%} of its inodes").format(
            path=disk.path, host=name, share=(inodes or 0) / 100
        )
        yield from _above("inodes-full", wanted, inodes, limits.inodes_percent, text)
    if facts.memory:
        used = percent(facts.memory.total - facts.memory.available, facts.memory.total)
        text = _("{share:.0%} of the memory of {host} is in use").format(share=(used or 0) / 100, host=name)
        yield from _above("memory-short", wanted, used, limits.memory_percent, text)
    if facts.handles:
        used = percent(facts.handles.used, facts.handles.most)
        text = _("{host} has {share:.0%} of its file handles in use").format(
            host=name, share=(used or 0) / 100
        )
        yield from _above("handles-short", wanted, used, limits.files_percent, text)
    if facts.load:
        each = round(facts.load.one_minute / max(1, facts.load.cores), 1)
        text = _("{load:.1f} processes want each core of {host}; {busy:.0f} % are in use just now").format(
            load=each, host=name, busy=facts.load.busy_percent
        )
        yield from _above("load-high", wanted, each, limits.load_per_core, text)


def percent(used: float, most: float) -> float | None:
    """As it is held against a threshold; None for a file system that counts no inodes, and the like."""
    return round(100 * used / most, 1) if most > 0 else None


def _above(code: str, wanted: Wanted, value: float | None, limit: Above, text: str) -> Iterator[Finding]:
    if level := level_of(value, limit):
        yield Finding(level, code, AREAS[wanted.group], wanted.name, text, value, crossed(level, limit))


def _failed(seen: Seen, wanted: Wanted, facts: Facts) -> Iterator[Finding]:
    """Units that failed beside those that have findings of their own."""
    others = [unit for unit in facts.failed or () if unit not in seen.wanted[wanted.name].units]
    if others:
        text = _("units that failed on {host}: {units}").format(host=wanted.name, units=", ".join(others))
        yield Finding(Level.WARNING, "units-failed", AREAS[wanted.group], wanted.name, text, len(others))


def _unseen(wanted: Wanted, facts: Facts) -> Iterator[Finding]:
    if facts.errors:
        said = "; ".join(f"{what}: {spoken(why)}" for what, why in sorted(facts.errors.items())[:3])
        text = _("{count} parts of {host} could not be looked at: {said}").format(
            count=len(facts.errors), host=wanted.name, said=said
        )
        yield Finding(Level.UNKNOWN, "not-seen", AREAS[wanted.group], wanted.name, text, len(facts.errors))
