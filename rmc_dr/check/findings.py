"""What a look may find: a closed set of codes, each with what to type next. Pure.

The order is that of causes: of two that are equally bad, the one that explains the other comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rmc_dr.backups import Level
from rmc_dr.backups.judge import WEIGHT
from rmc_dr.estate_limits import Above, Below

Value = float | int | str | None


class Area(StrEnum):
    NETWORK = "network"
    APPSERVER = "appserver"
    DATABASE = "database"
    BACKUPS = "backups"
    KIT = "kit"
    TIMERS = "timers"


AREAS = {
    "appserver": Area.APPSERVER,
    "dbserver": Area.DATABASE,
    "store": Area.BACKUPS,
    "verifier": Area.BACKUPS,
}
VERIFY = "rmc-dr verify {group}"
PAIR = "rmc-dr db status"
BACKUP = "rmc-dr backup status"
DIAGNOSE = "rmc-dr diagnose appserver"
# What to type next; "" where the way is in the runbook alone. It only looks, or keeps the scene before it
# changes anything: `start` does not, `restart` and the mend of a diagnosis do.
NEXT = {
    "nothing-answers": "",
    "host-silent": "rmc-dr power status {host}",
    "host-foreign": "rmc-dr power status {host}",
    "host-rescue": "rmc-dr fence status {host}",
    "ssh-refused": "rmc-dr power status {host}",
    "host-unreadable": VERIFY,
    "network-cut": VERIFY,
    "mtu-blackhole": VERIFY,
    "port-dropped": VERIFY,
    "port-rejected": VERIFY,
    "name-wrong": VERIFY,
    "name-unresolved": VERIFY,
    "clock-skew": VERIFY,
    "disk-full": "",
    "inodes-full": "",
    "memory-short": "",
    "handles-short": "",
    "certificate-ends": "rmc-dr estate init",
    "certificate-wrong": "rmc-dr estate check",
    "pair-split-brain": PAIR,
    "pair-diverged": PAIR,
    "patroni-held": "rmc-dr",
    "etcd-down": PAIR,
    "patroni-down": PAIR,
    "postgres-down": PAIR,
    "pgbackrest-down": VERIFY,
    "pair-no-quorum": PAIR,
    "pair-no-primary": PAIR,
    "pair-both-standby": PAIR,
    "pair-disagreement": PAIR,
    "pair-unknown": PAIR,
    "pair-standby-down": PAIR,
    "connections-short": "",
    "lock-waits": "",
    "wal-room": BACKUP,
    "liberty-down": DIAGNOSE,
    "liberty-mute": DIAGNOSE,
    "liberty-hung": DIAGNOSE,
    "users-fenced": "rmc-dr fence status {host}",
    "application-not-ready": VERIFY,
    "login-fails": VERIFY,
    "port-closed": VERIFY,
    "tls-fails": VERIFY,
    "unit-down": VERIFY,
    "pair-standby-lagging": PAIR,
    "pair-unprotected": PAIR,
    "transaction-long": "",
    "transaction-idle": "",
    "heap-short": "rmc-dr restart --writes",
    "threads-many": "",
    "load-high": "",
    "packet-loss": "",
    "latency-high": "",
    "units-failed": VERIFY,
    "store-unreachable": "rmc-dr store check",
    "kit-unusable": "rmc-dr kit verify",
    "kit-expired": "rmc-dr kit build",
    "kit-expires": "rmc-dr kit build",
    "timer-late": "rmc-dr schedule status",
    "timer-stopped": "rmc-dr schedule status",
    "timer-missing": "rmc-dr schedule status",
    "inspection-late": "rmc-dr inspect",
    "not-seen": "",
}
RANK = {code: rank for rank, code in enumerate(NEXT)}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. ``host`` is empty where it is of none; ``value`` is what was
    seen, and ``threshold`` what it was held against.
    """

    level: Level
    code: str
    area: Area
    host: str
    text: str
    value: Value = None
    threshold: Value = None

    @property
    def key(self) -> tuple[str, str, str]:
        """By this the same trouble is known again in the next look."""
        return self.area, self.host, self.code

    def next(self, group: str) -> str:
        """The command to type next; "" where the runbook alone helps. ``group`` is that of the host."""
        command = NEXT.get(self.code, BACKUP if self.area is Area.BACKUPS else "")
        return command.format(host=self.host, group=group).strip()


def level_of(value: float | None, limit: Above | Below) -> Level | None:
    """None where nothing is wrong, and where nothing is known."""
    if value is None:
        return None
    if isinstance(limit, Below):
        return Level.CRITICAL if value < limit.critical else Level.WARNING if value < limit.warning else None
    return Level.CRITICAL if value >= limit.critical else Level.WARNING if value >= limit.warning else None


def crossed(level: Level, limit: Above | Below) -> float:
    """The threshold that a value has crossed."""
    return limit.critical if level is Level.CRITICAL else limit.warning


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """The worst first, and of equally bad ones the cause."""
    return sorted(
        found, key=lambda one: (-WEIGHT[one.level], RANK.get(one.code, len(RANK)), one.host, one.text)
    )
