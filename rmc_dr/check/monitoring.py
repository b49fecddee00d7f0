"""A look as monitoring systems want it: one line for Nagios, a text file for Prometheus. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rmc_dr.backups import Level, level
from rmc_dr.check.findings import Finding
from rmc_dr.check.seen import Seen
from rmc_dr.i18n import _
from rmc_dr.prometheus import Sample, gauge
from rmc_dr.words import printable

SHOWN = 5
PREFIX = "rmc_dr_check"


def nagios(found: Sequence[Finding], seconds: float) -> str:
    """The first findings in words, all of them in numbers."""
    said = "; ".join(f"{one.code}: {one.text}" for one in found[:SHOWN]) or _("all is well")
    if len(found) > SHOWN:
        said += _("; and {count} more").format(count=len(found) - SHOWN)
    counts = [(grade, sum(one.level is grade for one in found)) for grade in Level if grade is not Level.OK]
    numbers = " ".join(f"{grade.name.lower()}={count}" for grade, count in counts)
    return f"RMC-DR {level(found).name}: {_one_line(said)} | {numbers} seconds={seconds:g}s"


def unknown(said: str) -> str:
    """The line of a look that could not be taken."""
    return f"RMC-DR {Level.UNKNOWN.name}: {_one_line(said)}"


def _one_line(text: str) -> str:
    """A bar begins the numbers."""
    return printable(text).replace("|", "/")


def prometheus(seen: Seen, found: Sequence[Finding], estate: str) -> str:
    """Levels as Nagios counts them; each finding as a gauge of 1, and what was measured beside it."""
    label = {"estate": estate}
    lines = [
        *gauge(f"{PREFIX}_level", [(label, float(level(found)))], digits=0),
        *gauge(f"{PREFIX}_timestamp_seconds", [(label, seen.at.timestamp())]),
        *gauge(f"{PREFIX}_duration_seconds", [(label, seen.seconds)]),
    ]
    # Several disks of one host may share a code: a series must stand there once.
    known = {one.key: one for one in reversed(found)}
    findings = [
        (
            {**label, "area": one.area, "host": one.host, "code": one.code, "level": one.level.name.lower()},
            1.0,
        )
        for one in known.values()
    ]
    if findings:
        lines += gauge(f"{PREFIX}_finding", findings, digits=0)
    for name, samples in _measured(seen, label).items():
        if samples:
            lines += gauge(f"{PREFIX}_{name}", samples)
    return "\n".join(lines) + "\n"


def _measured(seen: Seen, label: Mapping[str, str]) -> dict[str, list[Sample]]:
    up: list[Sample] = []
    free: list[Sample] = []
    memory: list[Sample] = []
    load: list[Sample] = []
    clock: list[Sample] = []
    for name, host in seen.hosts.items():
        labels = {**label, "host": name}
        up.append((labels, float(host.facts is not None)))
        if host.clock_ahead is not None:
            clock.append((labels, host.clock_ahead))
        if host.facts is None:
            continue
        free += [({**labels, "path": disk.path}, float(disk.free)) for disk in host.facts.filesystems or ()]
        if host.facts.memory:
            memory.append((labels, float(host.facts.memory.available)))
        if host.facts.load:
            load.append((labels, host.facts.load.one_minute))
    sessions: list[Sample] = [({**label, "host": one.host}, float(one.connections)) for one in seen.activity]
    days: dict[str, float] = {}
    for one in seen.certificates:
        if one.days is not None:
            days[one.host] = min(one.days, days.get(one.host, one.days))
    certificates: list[Sample] = [({**label, "host": host}, left) for host, left in days.items()]
    return {
        "host_up": up,
        "disk_free_bytes": free,
        "memory_available_bytes": memory,
        "load_one_minute": load,
        "clock_ahead_seconds": clock,
        "connections": sessions,
        "certificate_days": certificates,
    }
