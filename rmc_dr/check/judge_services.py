"""What is wrong with what should run: Liberty and its applications, PostgreSQL and its keepers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rmc_dr.backups import Level
from rmc_dr.check.findings import AREAS, Area, Finding, crossed, level_of
from rmc_dr.check.judge_network import Broken
from rmc_dr.check.roads import Wanted
from rmc_dr.check.seen import Activity, Facts, Health, Process, Reached, Seen, Unit, Way
from rmc_dr.estate_limits import Above, Thresholds
from rmc_dr.i18n import _
from rmc_dr.words import size

LIBERTY, PATRONI, ETCD, PGBACKREST = (
    "liberty.service",
    "patroni.service",
    "etcd.service",
    "pgbackrest.service",
)
# The unit that is behind a port; where it is down, that is the finding.
BEHIND = {
    "https": LIBERTY,
    "postgresql": PATRONI,
    "patroni": PATRONI,
    "etcd": ETCD,
    "etcd-peer": ETCD,
    "pgbackrest": PGBACKREST,
    "s3": "ceph-radosgw@rgw.a.service",
}
DOWN = {
    LIBERTY: ("liberty-down", Level.CRITICAL),
    PATRONI: ("patroni-down", Level.CRITICAL),
    ETCD: ("etcd-down", Level.CRITICAL),
    PGBACKREST: ("pgbackrest-down", Level.WARNING),
}


def judge(seen: Seen, limits: Thresholds, broken: Broken) -> Iterator[Finding]:
    for wanted in seen.wanted.values():
        facts = seen.facts(wanted.name)
        if facts is None:
            continue
        down = _down(wanted, facts)
        yield from _units(wanted, facts, down)
        yield from _ports(wanted, facts, down)
        if wanted.group == "appserver":
            yield from _appserver(seen, wanted, facts, limits, dead=LIBERTY in down)
    yield from _applications(seen, broken)
    for activity in seen.activity:
        yield from _activity(seen, activity, limits)
    yield from _certificates(seen, limits)


def _down(wanted: Wanted, facts: Facts) -> dict[str, Unit]:
    """Units that should run and do not. One that starts counts as running, unless it is for the next try."""
    known = facts.units or {}
    return {name: known[name] for name in wanted.units if name in known and not _runs(known[name])}


def _runs(unit: Unit) -> bool:
    return unit.active in ("active", "activating", "reloading") and unit.sub != "auto-restart"


def _units(wanted: Wanted, facts: Facts, down: dict[str, Unit]) -> Iterator[Finding]:
    area, host = AREAS[wanted.group], wanted.name
    held = bool(facts.held) and PATRONI in wanted.units
    if held:
        text = _("Patroni on {host} is held down by a restore that has not ended").format(host=host)
        yield Finding(Level.CRITICAL, "patroni-held", area, host, text)
    for name, unit in down.items():
        if name == PATRONI and held:
            continue
        code, level = DOWN.get(name, ("unit-down", Level.CRITICAL))
        text = _("{unit} on {host} does not run ({state})").format(
            unit=name, host=host, state=f"{unit.active}, {unit.result or '-'}"
        )
        yield Finding(level, code, area, host, text, unit.active)
    if PATRONI in wanted.units and PATRONI not in down and not held and facts.postgres == 0:
        text = _("PostgreSQL on {host} does not run, though Patroni does").format(host=host)
        yield Finding(Level.CRITICAL, "postgres-down", area, host, text, 0)


def _ports(wanted: Wanted, facts: Facts, down: dict[str, Unit]) -> Iterator[Finding]:
    """Ports that nobody listens on, though what should runs."""
    for service, port in wanted.ports.items():
        unit = BEHIND[service]
        silent = facts.listening is not None and port not in facts.listening
        if not silent or unit in down or facts.held or service == "https":
            continue
        if service == "postgresql" and not facts.postgres:
            continue
        text = _("nothing listens on port {port} ({service}) of {host}").format(
            port=port, service=service, host=wanted.name
        )
        yield Finding(Level.CRITICAL, "port-closed", AREAS[wanted.group], wanted.name, text, port)


def _appserver(
    seen: Seen, wanted: Wanted, facts: Facts, limits: Thresholds, *, dead: bool
) -> Iterator[Finding]:
    host, port = wanted.name, wanted.ports["https"]
    if facts.fence:
        text = _("users are kept off {host} by its fence").format(host=host)
        yield Finding(Level.CRITICAL, "users-fenced", Area.APPSERVER, host, text)
    if not dead and facts.listening is not None and port not in facts.listening:
        text = _("Liberty on {host} runs, but does not listen on port {port}").format(host=host, port=port)
        yield Finding(Level.CRITICAL, "liberty-mute", Area.APPSERVER, host, text, port)
    if facts.process:
        yield from _process(host, facts.process, seen.heap_bytes, limits)


def _process(host: str, process: Process, heap_most: int | None, limits: Thresholds) -> Iterator[Finding]:
    if process.heap is not None and heap_most:
        used = round(100 * process.heap / heap_most, 1)
        text = _("Liberty on {host} holds {used} of heap after a collection, {share:.0%} of it").format(
            host=host, used=size(process.heap), share=used / 100
        )
        yield from _above("heap-short", Area.APPSERVER, host, used, limits.heap_percent, text)
    text = _("Liberty on {host} has {count} threads").format(host=host, count=process.threads)
    yield from _above("threads-many", Area.APPSERVER, host, process.threads, limits.threads, text)
    if process.files_most:
        used = round(100 * process.files / process.files_most, 1)
        text = _("Liberty on {host} has {count} of its {most} file handles open").format(
            host=host, count=process.files, most=process.files_most
        )
        yield from _above("handles-short", Area.APPSERVER, host, used, limits.files_percent, text)


def _above(code: str, area: Area, host: str, value: float, limit: Above, text: str) -> Iterator[Finding]:
    if level := level_of(value, limit):
        yield Finding(level, code, area, host, text, value, crossed(level, limit))


def _applications(seen: Seen, broken: Broken) -> Iterator[Finding]:
    """What users meet; silent where Liberty is not there, or a firewall keeps this machine off."""
    for health in seen.health:
        if not _serves(seen, health.host) or broken.blocks(health.host, "https"):
            continue
        if finding := _health(health):
            yield finding
        if health.live is None and health.trouble:
            continue  # it answers nobody: each application would say the same once more
        for login in seen.logins:
            failed = [check for check in login.checks if not check.passed]
            if login.host == health.host and failed:
                text = _("nobody can log in to {application} on {host}: {step}: {said}").format(
                    application=login.application, host=login.host, step=failed[0].name, said=failed[0].detail
                )
                yield Finding(
                    Level.CRITICAL, "login-fails", Area.APPSERVER, login.host, text, login.application
                )


def _serves(seen: Seen, host: str) -> bool:
    """Whether its port opens from here; what Liberty answers there is worth a look."""
    reached = _from_here(seen, host, "https")
    return reached is not None and reached.why is Way.OPEN


def _from_here(seen: Seen, host: str, service: str) -> Reached | None:
    return seen.here.get(host, {}).get(service)


def _health(health: Health) -> Finding | None:
    if health.live is False or (health.live is None and health.trouble):
        said = health.trouble or ", ".join(health.down) or "DOWN"
        text = _("Liberty on {host} takes connections, but answers nobody: {said}").format(
            host=health.host, said=said
        )
        return Finding(Level.CRITICAL, "liberty-hung", Area.APPSERVER, health.host, text)
    if health.ready is False:
        down = ", ".join(health.down) or health.trouble or "-"
        text = _("applications on {host} are not ready: {down}").format(host=health.host, down=down)
        return Finding(Level.CRITICAL, "application-not-ready", Area.APPSERVER, health.host, text, down)
    return None


def _activity(seen: Seen, activity: Activity, limits: Thresholds) -> Iterator[Finding]:
    host = activity.host
    if activity.limit > 0:
        used = round(100 * activity.connections / activity.limit, 1)
        text = _("PostgreSQL on {host} has {count} of {limit} connections in use").format(
            host=host, count=activity.connections, limit=activity.limit
        )
        yield from _above("connections-short", Area.DATABASE, host, used, limits.connections_percent, text)
    text = _("a transaction on {host} works for {seconds:.0f} s ({session})").format(
        host=host, seconds=activity.transaction_seconds, session=activity.transaction_of
    )
    seconds, limit = activity.transaction_seconds, limits.transaction_seconds
    yield from _above("transaction-long", Area.DATABASE, host, seconds, limit, text)
    text = _(
        "a transaction on {host} is open for {seconds:.0f} s and waits for its client ({session})"
    ).format(host=host, seconds=activity.idle_seconds, session=activity.idle_of)
    yield from _above("transaction-idle", Area.DATABASE, host, activity.idle_seconds, limit, text)
    text = _(
        "{count} sessions on {host} wait for a lock, the first for {seconds:.0f} s, behind {session}"
    ).format(
        count=activity.waiting,
        host=host,
        seconds=activity.waiting_seconds,
        session=activity.blocked_by or "?",
    )
    waited = activity.waiting_seconds
    yield from _above("lock-waits", Area.DATABASE, host, waited, limits.lock_seconds, text)
    yield from _wal_room(seen, activity)


def _wal_room(seen: Seen, activity: Activity) -> Iterator[Finding]:
    """Whether WAL may grow to what the server's settings allow before the disk is full."""
    facts = seen.facts(activity.host)
    data = seen.wanted[activity.host].data
    disk = next((one for one in (facts.filesystems or () if facts else ()) if one.path == data), None)
    if disk is None or activity.could_grow is None or disk.free >= activity.could_grow:
        return
    text = _("WAL on {host} may still grow by {grow}, and {path} has {free} left").format(
        host=activity.host, grow=size(activity.could_grow), path=disk.path, free=size(disk.free)
    )
    yield Finding(
        Level.WARNING, "wal-room", Area.DATABASE, activity.host, text, disk.free, activity.could_grow
    )


def _certificates(seen: Seen, limits: Thresholds) -> Iterator[Finding]:
    """A host has one certificate for all that it serves: it is told once."""
    for name, wanted in seen.wanted.items():
        own = [one for one in seen.certificates if one.host == name]
        if wrong := next((one for one in own if one.trouble), None):
            text = _("the certificate of {host} ({service}) proves nothing: {said}").format(
                host=name, service=wrong.service, said=wrong.trouble
            )
            yield Finding(Level.CRITICAL, "certificate-wrong", AREAS[wanted.group], name, text)
            continue
        days = min((one.days for one in own if one.days is not None), default=None)
        if days is not None and (level := level_of(days, limits.certificate_days)):
            text = _("the certificate of {host} ends in {days:.0f} days").format(host=name, days=days)
            limit = crossed(level, limits.certificate_days)
            yield Finding(level, "certificate-ends", AREAS[wanted.group], name, text, days, limit)
