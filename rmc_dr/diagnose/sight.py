"""What a diagnosis has before it: one look of `rmc-dr check`, and what the servers tell beyond it. Pure.

None is unknown, as in a look; ``errors`` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from rmc_dr.check.judge_network import Broken, broken
from rmc_dr.check.roads import Wanted
from rmc_dr.check.seen import Activity, Answer, Facts, Health, Reached, Seen
from rmc_dr.estate import Estate
from rmc_dr.estate_limits import Thresholds
from rmc_dr.spoken import spoken

Found = TypeVar("Found")


@dataclass(frozen=True)
class Attempt:
    """One connection made from the application server with a datasource's own settings.

    ``stage`` is the last one that was reached: resolve, connect, tls, auth, query or done. ``why`` is how the
    network ended it, as in a look; ``sqlstate`` and ``routine`` are the server's own words for a refusal,
    which no language changes. ``recovery``: the server only reads. ``whole``: a large answer came through.
    """

    host: str
    port: int
    stage: str
    why: str = ""
    said: str = ""
    sqlstate: str = ""
    routine: str = ""
    recovery: bool | None = None
    whole: bool | None = None
    ms: float = 0.0

    @property
    def stands(self) -> bool:
        return self.stage == "done"


@dataclass(frozen=True)
class Source:
    """A datasource as the server's own configuration has it. ``password`` says whether it is the estate's;
    ``trouble`` why it could not be read whole.
    """

    id: str
    hosts: tuple[tuple[str, int], ...] = ()
    database: str = ""
    user: str = ""
    sslmode: str = ""
    sslrootcert: str = ""
    pool_most: int | None = None
    password: bool | None = None
    trouble: str = ""
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Expected:
    """The same as the estate has it."""

    id: str
    hosts: frozenset[tuple[str, int]]
    database: str
    user: str
    sslmode: str = "verify-full"
    sslrootcert: str = "/etc/rmc-dr/tls/ca.pem"


@dataclass(frozen=True)
class Threads:
    """Liberty's threads. ``state`` is the process' own in the kernel's letter; ``dumped``: Java printed them.

    ``busy`` are request threads with work, ``blocked`` those of them that wait for a lock, ``pooled`` those
    that wait for a database connection.
    """

    state: str
    dumped: bool = False
    count: int = 0
    deadlocked: tuple[str, ...] = ()
    busy: int = 0
    blocked: int = 0
    pooled: int = 0


@dataclass(frozen=True)
class Memory:
    """What the logs of Liberty's newest run say of memory. ``heap_most`` in bytes, as the server is told;
    ``age`` is how many seconds ago its process began.
    """

    heap: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()
    heap_most: int | None = None
    age: float | None = None


@dataclass(frozen=True)
class Served:
    """An answer of Liberty to its own host: the HTTP status, or why none came."""

    status: int | None
    trouble: str = ""


@dataclass(frozen=True)
class Inside:
    """An application server by its own word, beyond a look."""

    threads: Threads | None = None
    memory: Memory | None = None
    read_only: tuple[str, ...] | None = None
    live: Served | None = None
    ready: Served | None = None
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleSeen:
    name: str
    can_login: bool
    expired: bool
    limit: int


@dataclass(frozen=True)
class SessionsOf:
    """``count`` sessions of one user from one address in one state."""

    user: str
    address: str
    state: str
    count: int


@dataclass(frozen=True)
class Sessions:
    """What the primary's catalogue says of the applications' roles, and who is connected."""

    host: str
    roles: tuple[RoleSeen, ...] = ()
    rows: tuple[SessionsOf, ...] = ()


@dataclass(frozen=True)
class Sight:
    """Everything that the questions are answered from. ``host`` is the application server in question.

    ``later`` is what happens in the primary some seconds after the look, when what waits has waited.
    """

    seen: Seen
    host: str
    limits: Thresholds
    expected: Mapping[str, Expected]
    sources: tuple[Source, ...] | None = None
    inside: Inside | None = None
    sessions: Sessions | None = None
    later: Activity | None = None
    errors: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def broken(self) -> Broken:
        return broken(self.seen)

    @property
    def facts(self) -> Facts | None:
        return self.seen.facts(self.host)

    @property
    def wanted(self) -> Wanted:
        return self.seen.wanted[self.host]

    @property
    def databases(self) -> tuple[str, ...]:
        """The hosts that a connection must reach: who takes writes, else all that could."""
        every = tuple(host.name for host in self.seen.members("dbserver"))
        up = tuple(name for name in every if self.seen.hosts[name].answer is Answer.SYSTEM)
        return tuple(self.seen.primaries) or up or every

    @property
    def health(self) -> Health | None:
        return next((one for one in self.seen.health if one.host == self.host), None)

    def road(self, to: str) -> Reached | None:
        """How the application server reached a database host's PostgreSQL."""
        facts = self.facts
        for number, road in enumerate(self.wanted.roads):
            if facts and road.to == to and road.service == "postgresql":
                return facts.roads.get(str(number))
        return None

    def missing(self, *parts: str) -> str:
        """Why parts could not be looked at."""
        known = {**self.seen.errors, **(self.facts.errors if self.facts else {}), **self.errors}
        if self.inside:
            known |= self.inside.errors
        told = (f"{part}: {spoken(known[part])}" for part in parts if part in known)
        return "; ".join(told) or ", ".join(parts)


def expected(estate: Estate) -> dict[str, Expected]:
    """The datasources as the estate has them, by their id; as templates/server.xml.j2 writes them."""
    port = estate.config.database.port
    hosts = frozenset((host.name, port) for host in estate.group("dbserver"))
    return {
        app.name: Expected(app.name, hosts, app.database, f"{app.database}_app")
        for app in estate.config.applications.apps
    }


def read(kind: type[Found], document: object) -> Found | None:
    """What a program on a host printed, as one of the types above; None for what is none."""
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError:
        return None
