"""A healthy estate as a diagnosis sees it, and one change of it for each thing that may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from check_world import GIB, cut, healthy, host, mute, pings, road, silent, unit

from rmc_dr.check.seen import (
    Activity,
    Answer,
    FileSystem,
    Health,
    HostSeen,
    Login,
    Name,
    Ping,
    Seen,
    Unit,
    Way,
)
from rmc_dr.diagnose.sight import (
    Attempt,
    Inside,
    Memory,
    RoleSeen,
    Served,
    Sessions,
    SessionsOf,
    Sight,
    Source,
    Threads,
    expected,
)
from rmc_dr.estate import Estate
from rmc_dr.model import Check
from rmc_dr.pair import Role

APP, PRIMARY, PORT = "app1", "db1", 5432
HOSTS = (("db1", PORT), ("db2", PORT))
IN = Attempt("db1", PORT, "done", recovery=False, whole=True, ms=12.0)
STANDBY = Attempt("db2", PORT, "done", recovery=True, whole=True, ms=12.0)
INSIDE = Inside(
    threads=None,
    memory=Memory(heap_most=GIB, age=4000.0),
    read_only=(),
    live=Served(200),
    ready=Served(200),
)
Change = Callable[[Sight], Sight]


def source(name: str, **values: Any) -> Source:
    known: dict[str, Any] = {
        "hosts": HOSTS,
        "database": name,
        "user": f"{name}_app",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/rmc-dr/tls/ca.pem",
        "pool_most": 20,
        "password": True,
        "attempts": (IN, STANDBY),
    }
    return Source(name, **{**known, **values})


def well(estate: Estate) -> Sight:
    roles = tuple(RoleSeen(f"{name}_app", True, False, -1) for name in ("management", "verification"))
    address = estate.host(APP).address
    return Sight(
        healthy(estate),
        APP,
        estate.config.check,
        expected(estate),
        sources=(source("management"), source("verification")),
        inside=INSIDE,
        sessions=Sessions(PRIMARY, roles, (SessionsOf("management_app", address, "idle", 3),)),
        later=Activity(PRIMARY, 12, 97),
    )


def look(change: Callable[[Seen], Seen]) -> Change:
    return lambda sight: replace(sight, seen=change(sight.seen))


def inside(**values: Any) -> Change:
    return lambda sight: replace(sight, inside=replace(sight.inside or Inside(), **values))


def datasource(**values: Any) -> Change:
    """The first datasource with other settings; with them nobody gets in."""
    refused = tuple(
        replace(one, stage="auth", sqlstate="28P01", said="no", recovery=None) for one in (IN, STANDBY)
    )
    return lambda sight: replace(
        sight, sources=(source("management", **{"attempts": refused, **values}), source("verification"))
    )


def refused(sqlstate: str, routine: str = "", stage: str = "auth", **values: Any) -> Change:
    one = Attempt("db1", PORT, stage, said="what it said", sqlstate=sqlstate, routine=routine, **values)
    return datasource(attempts=(one, replace(one, host="db2", stage="connect", sqlstate="", why="refused")))


def role(**values: Any) -> Change:
    def change(sight: Sight) -> Sight:
        assert sight.sessions
        roles = tuple(replace(one, **values) for one in sight.sessions.roles)
        return replace(sight, sessions=replace(sight.sessions, roles=roles))

    return change


def both(*changes: Change) -> Change:
    def change(sight: Sight) -> Sight:
        for one in changes:
            sight = one(sight)
        return sight

    return change


def answer(how: Answer, said: str = "") -> Change:
    def change(seen: Seen) -> Seen:
        return replace(seen, hosts={**seen.hosts, APP: HostSeen(APP, how, said)})

    return both(look(change), lambda sight: replace(sight, inside=None, sources=None))


def login_fails(seen: Seen) -> Seen:
    failed = Login(APP, "management", (Check("POST login", False, "401"),))
    return replace(seen, logins=(failed, seen.logins[1]))


NOT_READY = both(
    inside(ready=Served(503, "database")),
    look(lambda seen: replace(seen, health=(Health(APP, live=True, ready=False, down=("database",)),))),
)


def hung(**values: Any) -> Change:
    found = Threads(**{"state": "S", "dumped": True, "count": 60, **values})
    silence = Served(None, "timed out")
    return both(
        inside(live=silence, ready=silence, threads=found),
        look(lambda seen: replace(seen, health=(Health(APP, None, None, trouble="timed out"),))),
    )


def no_listener(seen: Seen) -> Seen:
    return mute(seen, APP, 9443)


DEAD_UNIT = Unit("failed", "failed", "exit-code", 4)
DEAD = look(lambda seen: no_listener(unit(seen, APP, "liberty.service", DEAD_UNIT)))


def disk(**values: Any) -> Change:
    one = replace(FileSystem("/srv", 1000, 500, 1000, 500), **values)
    return look(lambda seen: host(seen, APP, filesystems=(one,)))


def name(addresses: tuple[str, ...]) -> Change:
    def change(seen: Seen) -> Seen:
        facts = seen.facts(APP)
        assert facts
        return host(seen, APP, names={**facts.names, PRIMARY: Name(addresses, why="" if addresses else "-2")})

    return look(change)


def no_primary(seen: Seen) -> Seen:
    assert seen.pair
    nodes = tuple(replace(node, role=Role.DOWN) for node in seen.pair.nodes)
    seen = replace(seen, pair=replace(seen.pair, nodes=nodes))
    return mute(mute(seen, "db1", PORT), "db2", PORT)


def both_lead(seen: Seen) -> Seen:
    assert seen.pair
    one, two = seen.pair.nodes
    nodes = (one, replace(one, name=two.name, address=two.address, replicas=()))
    return replace(seen, pair=replace(seen.pair, nodes=nodes))


def waits(holder: str) -> Change:
    return both(
        NOT_READY,
        lambda sight: replace(
            sight, later=Activity(PRIMARY, 20, 97, waiting=3, waiting_seconds=8.0, blocked_by=holder)
        ),
    )


def sessions(count: int, state: str = "idle in transaction") -> Change:
    def change(sight: Sight) -> Sight:
        assert sight.sessions
        rows = (SessionsOf("management_app", sight.wanted.address, state, count),)
        return replace(sight, sessions=replace(sight.sessions, rows=rows))

    return change


def lonely(seen: Seen) -> Seen:
    """The application server reaches nobody, so nothing tells of its ways."""
    return replace(seen, hosts={**seen.hosts, APP: replace(seen.hosts[APP], facts=None)})


BLACK = Ping(3, 3, 0.2, whole=False, mtu=1500)
WALLED = (PORT,)
# Each leaf, the tree that a complaint would begin with, and what makes it.
WORLDS: dict[str, tuple[str, Change]] = {
    "healthy": ("login", lambda sight: sight),
    "unknown-server": ("appserver", inside(read_only=None)),
    "unknown-network": (
        "db-timeout",
        look(lambda seen: road(host(seen, "db1", listening=None), "db1", WALLED, Way.TIMEOUT)),
    ),
    "unknown-datasource": ("db-timeout", lambda sight: replace(sight, sources=None)),
    "unknown-database": ("db-timeout", lambda sight: replace(sight, later=None)),
    "unknown-liberty": ("appserver", inside(memory=None)),
    "unknown-application": (
        "appserver",
        both(inside(ready=None), look(lambda seen: replace(seen, health=(), logins=()))),
    ),
    "look-again": ("db-timeout", look(lambda seen: mute(seen, "db1", PORT))),
    "server-silent": (
        "appserver",
        both(answer(Answer.SILENT), look(lambda seen: silent(seen, APP))),
    ),
    "server-away": (
        "appserver",
        both(answer(Answer.SILENT), look(lambda seen: road(seen, APP, (9443,), Way.TIMEOUT))),
    ),
    "server-no-ssh": ("appserver", answer(Answer.REFUSED)),
    "system-broken": (
        "appserver",
        both(answer(Answer.REFUSED), look(lambda seen: road(seen, APP, (9443,), Way.TIMEOUT))),
    ),
    "server-other": ("appserver", answer(Answer.RESCUE)),
    "name-wrong": ("db-timeout", name(("203.0.113.9",))),
    "name-unresolved": ("db-timeout", name(())),
    "network-cut": ("login", look(lambda seen: cut(seen, APP, PRIMARY))),
    "port-dropped": ("db-timeout", look(lambda seen: road(seen, PRIMARY, WALLED, Way.TIMEOUT, only=(APP,)))),
    "port-rejected": ("db-timeout", look(lambda seen: road(seen, PRIMARY, WALLED, Way.REFUSED, only=(APP,)))),
    "mtu-blackhole": ("db-timeout", look(lambda seen: pings(seen, APP, {PRIMARY: BLACK}))),
    "datasource-host": ("db-timeout", datasource(hosts=(("store1", PORT),))),
    "datasource-port": ("db-timeout", datasource(hosts=(("db1", 5433), ("db2", 5433)))),
    "datasource-database": ("db-timeout", datasource(database="managment")),
    "datasource-user": ("db-timeout", datasource(user="management")),
    "datasource-tls": ("db-timeout", datasource(sslmode="disable")),
    "datasource-password": ("db-timeout", datasource(password=False)),
    "datasource-absent": ("db-timeout", lambda sight: replace(sight, sources=(source("verification"),))),
    "role-locked": ("db-timeout", refused("28000", "InitializeSessionUserId")),
    "role-expired": ("db-timeout", both(refused("28P01", "auth_failed"), role(expired=True))),
    "role-limit": ("db-timeout", refused("53300", "InitializeSessionUserId")),
    "database-limit": ("db-timeout", refused("53300", "CheckMyDatabase")),
    "server-limit": ("db-timeout", refused("53300", "InitProcess")),
    "database-password": ("db-timeout", refused("28P01", "auth_failed")),
    "not-allowed": ("db-timeout", refused("28000", "ClientAuthentication")),
    "no-database": ("db-timeout", refused("3D000", "InitPostgres")),
    "database-certificate": (
        "db-timeout",
        datasource(
            attempts=(Attempt("db1", PORT, "tls", said="certificate: certificate has expired"), STANDBY)
        ),
    ),
    "database-tls": ("db-timeout", datasource(attempts=(Attempt("db1", PORT, "tls", said="no TLS"),))),
    "database-starting": ("db-timeout", refused("57P03", "ProcessStartupPacket")),
    "database-mute": ("db-timeout", datasource(attempts=(Attempt("db1", PORT, "query", why="timeout"),))),
    "database-down": ("login", both(look(no_primary), NOT_READY)),
    "database-torn": (
        "db-timeout",
        both(look(both_lead), datasource(attempts=(STANDBY,))),
    ),
    "lock-idle": ("db-timeout", waits("pid 7, postgres, local, idle in transaction")),
    "lock-busy": ("db-timeout", waits("pid 7, postgres, local, active")),
    "pool-full": ("db-timeout", both(NOT_READY, sessions(20))),
    "application-stale": ("db-timeout", NOT_READY),
    "login-unexplained": ("login", look(login_fails)),
    "disk-full": ("appserver", disk(free=10)),
    "inodes-full": ("appserver", disk(inodes_free=10)),
    "disk-read-only": ("appserver", inside(read_only=("/",))),
    "users-fenced": ("login", look(lambda seen: host(seen, APP, fence=True))),
    "liberty-dead": ("appserver", DEAD),
    "liberty-mute": ("appserver", look(no_listener)),
    "liberty-starting": (
        "appserver",
        both(look(no_listener), inside(memory=Memory(heap_most=GIB, age=20.0))),
    ),
    "memory-heap": (
        "appserver",
        both(DEAD, inside(memory=Memory(("java.lang.OutOfMemoryError",), heap_most=GIB))),
    ),
    "memory-kernel": ("appserver", both(DEAD, inside(memory=Memory(kernel=("oom-kill:",), heap_most=GIB)))),
    "heap-setting": (
        "appserver",
        both(DEAD, inside(memory=Memory(("java.lang.OutOfMemoryError",), heap_most=GIB // 8))),
    ),
    "hung-deadlock": ("appserver", hung(deadlocked=("one", "other"))),
    "hung-stuck": ("appserver", hung(busy=8, blocked=8)),
    "hung-stopped": ("appserver", hung(state="T", dumped=False)),
    "hung-unclear": ("appserver", hung(busy=8, blocked=1)),
}
