"""Which alarm is a fault by the contract, and which of an incident's findings it is. Pure.

Each code is decided here. What holds up no user opens nothing: a backup that is old, a disk that is nearly
full. What users meet, and what takes a machine away, does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rmc_dr.check.findings import Finding
from rmc_dr.check.judge_network import broken, ordered
from rmc_dr.check.roads import CONTROL
from rmc_dr.check.seen import Seen

UNCLEAR = ""  # a fault whose nature nobody can tell yet: it counts as critical until somebody can
OPENS: Mapping[str, str] = {
    "nothing-answers": UNCLEAR,
    "pair-split-brain": "data-lost",
    "pair-diverged": "data-lost",
    "pair-no-quorum": "database-unreachable",
    "pair-no-primary": "database-unreachable",
    "pair-both-standby": "database-unreachable",
    "pair-disagreement": UNCLEAR,
    "pair-standby-down": "standby-lost",
    "lock-waits": "function-unusable",
    "liberty-down": "application-stopped",
    "liberty-mute": "users-out",
    "liberty-hung": "application-hung",
    "application-not-ready": "functions-unusable",
    "login-fails": "users-out",
    "verification-red": "backup-not-proven",
}
# By the group of the host as well; of another group's host it opens nothing.
OPENS_OF: Mapping[str, Mapping[str, str]] = {
    "host-silent": {"appserver": "server-dead", "dbserver": "hardware-failed", "store": "hardware-failed"},
    "host-foreign": {"appserver": UNCLEAR, "dbserver": UNCLEAR, "store": UNCLEAR},
    "name-wrong": {"appserver": "names-wrong"},
    "certificate-wrong": {"appserver": "users-out"},
}
# By what they stand between: only the way of the users, and that from the application to its database.
BETWEEN = ("network-cut", "mtu-blackhole", "port-dropped", "port-rejected", "tls-fails")
# Told, and noted in an incident that is open; beside them every other code of the backups.
OPENS_NOTHING = frozenset(
    {
        "archive-behind", "archive-failing", "certificate-ends", "clock-skew", "connections-short",
        "disk-full", "etcd-down", "handles-short", "heap-short", "host-rescue", "host-unreadable",
        "inodes-full", "inspection-late", "kit-expired", "kit-expires", "kit-unusable", "latency-high",
        "load-high", "memory-short", "name-unresolved", "not-seen", "packet-loss", "pair-standby-lagging",
        "pair-unknown", "pair-unprotected", "patroni-down", "patroni-held", "pgbackrest-down", "port-closed",
        "postgres-down", "ssh-refused", "store-unreachable", "threads-many", "timer-late", "timer-missing",
        "timer-stopped", "transaction-idle", "transaction-long", "unit-down", "units-failed", "users-fenced",
        "wal-room",
    }
)  # fmt: skip


def ruled(finding: Finding, seen: Seen) -> str | None:
    """The incident's finding that an alarm is; UNCLEAR for a fault that nobody can name yet, None for what
    opens no incident.
    """
    if finding.code in OPENS_OF:
        host = seen.wanted.get(finding.host)
        return OPENS_OF[finding.code].get(host.group) if host else None
    if finding.code in BETWEEN:
        return _between(finding, seen)
    return OPENS.get(finding.code)


def _between(finding: Finding, seen: Seen) -> str | None:
    """A cut between the two databases is told by their own verdict, one to the store by the backups."""
    found, users, data = broken(seen), seen.members("appserver"), seen.members("dbserver")
    ways = {ordered(one.name, other.name) for one in users for other in data}
    mine = {way for way in ways if finding.host in way}
    match finding.code:
        case "network-cut":
            others = str(finding.value or "").split(", ")
            named = {ordered(finding.host, other) for other in others}
            return "network-cut" if named & mine & found.cut else None
        case "mtu-blackhole":
            return "mtu-blackhole" if found.black & mine else None
        case "tls-fails":
            return "users-out" if str(finding.value).startswith("https ") else None
    servers = {one.name for one in users}
    for port in found.ports:
        if port.to == finding.host and finding.value == f"{port.service} {port.port}":
            if port.service == "postgresql" and servers & set(port.sources):
                return "port-blocked"
            if port.service == "https" and CONTROL in port.sources:
                return UNCLEAR  # whether users come through cannot be seen from here
    return None


def kept_out(found: Iterable[Finding], seen: Seen) -> bool:
    """Whether users are kept out everywhere by a fence, which only rmc-dr puts up: then it is on purpose."""
    fenced = {one.host for one in found if one.code == "users-fenced"}
    servers = {one.name for one in seen.members("appserver")}
    return bool(servers) and servers <= fenced
