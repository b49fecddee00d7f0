"""What one look has seen of the estate. None is unknown: neither well, nor down, nor zero. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter, ValidationError

from rmc_dr.backups import BackupsObservation, Remark
from rmc_dr.check.roads import Wanted
from rmc_dr.model import Check
from rmc_dr.pair import PairObservation, Role


class Way(StrEnum):
    """How a connection to a port ended."""

    OPEN = ""
    REFUSED = "refused"  # nothing listens, or a firewall says so
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no route, or a firewall forbids it
    UNRESOLVED = "unresolved"


@dataclass(frozen=True)
class Load:
    cores: int
    one_minute: float
    busy_percent: float


@dataclass(frozen=True)
class Room:
    """Bytes in all and free, of memory."""

    total: int
    available: int


@dataclass(frozen=True)
class FileSystem:
    """One disk that is written to. ``size`` and ``free`` in bytes, for everybody but root."""

    path: str
    size: int
    free: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True)
class Handles:
    """Open files of the whole host, and how many there may be."""

    used: int
    most: int


@dataclass(frozen=True)
class Unit:
    """A systemd unit in systemd's own words."""

    active: str
    sub: str = ""
    result: str = ""
    restarts: int = 0


@dataclass(frozen=True)
class Process:
    """Liberty's Java process. ``heap`` are the bytes in use after the last collection, where the JVM tells;
    ``files`` are open.
    """

    pid: int
    threads: int
    resident: int
    files: int
    files_most: int | None = None
    heap: int | None = None


@dataclass(frozen=True)
class Name:
    """What a host's name resolves to on another one."""

    addresses: tuple[str, ...]
    ms: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Ping:
    """``whole``: packets as large as the interface sends come through; None where that was not tried."""

    sent: int
    received: int
    ms: float | None = None
    whole: bool | None = None
    mtu: int | None = None


@dataclass(frozen=True)
class Reached:
    """How a road was; ``tls`` says why no TLS stood on it, and is empty where one did or none was wanted."""

    why: Way
    ms: float
    tls: str = ""


@dataclass(frozen=True)
class Facts:
    """A host by its own word. ``began`` and ``ended`` are its clock's, in seconds of the epoch."""

    began: float
    ended: float
    load: Load | None = None
    memory: Room | None = None
    filesystems: tuple[FileSystem, ...] | None = None
    handles: Handles | None = None
    units: Mapping[str, Unit] | None = None
    failed: tuple[str, ...] | None = None
    listening: tuple[int, ...] | None = None
    postgres: int | None = None
    process: Process | None = None
    fence: bool | None = None
    held: bool | None = None
    names: Mapping[str, Name] = field(default_factory=dict)
    pings: Mapping[str, Ping] = field(default_factory=dict)
    roads: Mapping[str, Reached] = field(default_factory=dict)  # by the number of the road that was asked
    errors: Mapping[str, str] = field(default_factory=dict)


class Answer(StrEnum):
    """How a host answered over SSH."""

    SYSTEM = "system"
    RESCUE = "rescue"
    FOREIGN = "foreign"
    REFUSED = "refused"  # the host is up, sshd is not
    SILENT = "silent"
    UNREADABLE = "unreadable"  # it let us in, and what came back is no answer


@dataclass(frozen=True)
class HostSeen:
    """One host. Its clock is at least ``skew[0]`` and at most ``skew[1]`` seconds before ours."""

    name: str
    answer: Answer
    said: str = ""
    facts: Facts | None = None
    skew: tuple[float, float] | None = None

    @property
    def clock_ahead(self) -> float | None:
        """The least that its clock must be off, in seconds; minus: it is behind."""
        if self.skew is None:
            return None
        low, high = self.skew
        return 0.0 if low <= 0 <= high else round(low if low > 0 else high, 1)


@dataclass(frozen=True)
class Certificate:
    """One that was served. ``days`` until it ends; None where it proves nothing, and ``trouble`` says why."""

    host: str
    service: str
    days: float | None
    trouble: str = ""


@dataclass(frozen=True)
class Health:
    """MicroProfile Health of a server. None: no answer that tells; ``down`` are the checks that say so, and
    ``trouble`` is why an answer did not come.
    """

    host: str
    live: bool | None
    ready: bool | None
    down: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Login:
    """The journey of one application up to its log-in."""

    host: str
    application: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Activity:
    """What happens in PostgreSQL on one host. Sizes in bytes, ages in seconds; ``could_grow`` is what WAL may
    still take by the server's own settings.
    """

    host: str
    connections: int
    limit: int
    transaction_seconds: float = 0.0
    transaction_of: str = ""
    idle_seconds: float = 0.0
    idle_of: str = ""
    waiting: int = 0
    waiting_seconds: float = 0.0
    blocked_by: str = ""
    wal_bytes: int | None = None
    could_grow: int | None = None


@dataclass(frozen=True)
class KitSeen:
    """``code`` and ``trouble`` say why the kit may not be used; ``days`` until it expires."""

    days: float | None
    code: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class TimerSeen:
    job: str
    installed: bool
    active: bool


@dataclass(frozen=True)
class Inspected:
    """How many days ago the last inspection was; where there was ``never`` one, the estate's founding.

    ``days`` is None where nobody can tell; ``allowed`` is how long an inspection is good for.
    """

    days: float | None
    allowed: int
    never: bool = False


@dataclass(frozen=True)
class Seen:
    """Everything that one look has seen; ``errors`` says why a part of it is None or lacks something.

    ``stored`` is what ``backups`` was judged by.
    """

    at: datetime
    seconds: float
    wanted: Mapping[str, Wanted]
    hosts: Mapping[str, HostSeen]
    here: Mapping[str, Mapping[str, Reached]]  # from this machine: host -> service -> how
    pair: PairObservation | None = None
    activity: tuple[Activity, ...] = ()
    health: tuple[Health, ...] = ()
    logins: tuple[Login, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    backups: tuple[Remark, ...] | None = None
    stored: BackupsObservation | None = None
    kit: KitSeen | None = None
    timers: tuple[TimerSeen, ...] | None = None
    inspected: Inspected | None = None
    heap_bytes: int | None = None  # what Liberty's heap may grow to
    errors: Mapping[str, str] = field(default_factory=dict)

    def facts(self, host: str) -> Facts | None:
        found = self.hosts.get(host)
        return found.facts if found else None

    def members(self, group: str) -> list[Wanted]:
        return [host for host in self.wanted.values() if host.group == group]

    @property
    def primaries(self) -> list[str]:
        return [node.name for node in self.pair.nodes if node.role is Role.PRIMARY] if self.pair else []


@cache
def _reader() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)


def read_facts(document: object) -> Facts | None:
    """A probe's answer; None for what is none."""
    try:
        return _reader().validate_python(document)
    except ValidationError:
        return None
