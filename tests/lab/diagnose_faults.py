"""One fault for a leaf of the decision trees, put into the lab for real, undone when its block ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import deep_faults
import fault_app
from fault_app import APP, RESTART, SERVER
from fault_ways import AGAIN, END, HOLD, hold, in_sql, on
from injections import TLS, TOO_LATE, give, reissued
from pair import Pair

from rmc_dr.diagnose.ask_server import YOUNG_SECONDS

Injection = Callable[[Pair], AbstractContextManager[None]]
SETTLE_SECONDS = 3  # a firewall's rule holds at once, a service needs a moment
ROLE, DATABASE = "management_app", "management"
PROPERTIES, SERVER_XML = f"{SERVER}/variables/passwords.properties", f"{SERVER}/server.xml"
# Takes every connection but those that only a superuser may have; what the applications still hold it ends.
HOARD = """
import time, psycopg2
most = 97
held = [psycopg2.connect(dbname="postgres")]
held[0].autocommit = True
cursor = held[0].cursor()
while True:
    cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename like '%\\\\_app'")
    cursor.execute("select count(*) from pg_stat_activity where backend_type = 'client backend'")
    for _ in range(most - cursor.fetchone()[0]):
        held.append(psycopg2.connect(dbname="postgres"))
    time.sleep(0.2)
"""


@dataclass(frozen=True)
class Fault:
    """``trees`` must each end in the leaf; ``settle`` is how many seconds pass before anybody looks."""

    trees: tuple[str, ...]
    inject: Injection
    settle: float = SETTLE_SECONDS


@contextmanager
def healthy(_pair: Pair) -> Iterator[None]:
    yield


# --- the network


@contextmanager
def rule(pair: Pair, host: str, text: str) -> Iterator[None]:
    """One rule of nftables in what comes in to a host."""
    chain = "chain input { type filter hook input priority -20; "
    with on(
        pair,
        host,
        f"printf '%s\\n' 'table inet cut {{ {chain}{text} }}; }}' | nft -f -",
        "nft delete table inet cut || true",
    ):
        yield


def address(pair: Pair, host: str) -> str:
    return pair.lab.estate().host(host).address


def cut(pair: Pair) -> AbstractContextManager[None]:
    return rule(pair, APP, f"ip saddr {address(pair, pair.primary)} drop;")


def blocked(pair: Pair, verdict: str) -> AbstractContextManager[None]:
    port = pair.lab.estate().config.database.port
    return rule(pair, pair.primary, f"ip saddr {address(pair, APP)} tcp dport {port} {verdict};")


def black(pair: Pair) -> AbstractContextManager[None]:
    return rule(pair, APP, f"ip saddr {address(pair, pair.primary)} meta length > 1400 drop;")


def away(pair: Pair) -> AbstractContextManager[None]:
    return rule(pair, APP, f"ip saddr {pair.lab.estate().config.network.control[0]} drop;")


def hosts_file(pair: Pair, expression: str) -> AbstractContextManager[None]:
    edit = f"cp -a /etc/hosts /root/hosts; sed -i '{expression}' /etc/hosts"
    back = "[ ! -e /root/hosts ] || { cat /root/hosts >/etc/hosts; rm /root/hosts; }"
    return on(pair, APP, edit, back)


def named_wrong(pair: Pair) -> AbstractContextManager[None]:
    return hosts_file(pair, f"s/.* {pair.primary}$/203.0.113.9 {pair.primary}/")


def not_named(pair: Pair) -> AbstractContextManager[None]:
    return hosts_file(pair, f"/ {pair.primary}$/d")


# --- the datasource


@contextmanager
def edited(pair: Pair, expression: str, file: str = SERVER_XML) -> Iterator[None]:
    """One of Liberty's files is another one, and Liberty has read it."""
    edit = f"cp -a {file} {file}.kept; sed -i '{expression}' {file}; ! cmp -s {file} {file}.kept"
    back = f"[ ! -e {file}.kept ] || mv {file}.kept {file}; {RESTART}"
    with on(pair, APP, f"{edit} && {{ {RESTART}; }}", back):
        fault_app.answers(pair)
        yield


@contextmanager
def stale(pair: Pair) -> Iterator[None]:
    """Liberty has read a wrong password; meanwhile somebody put the file right, and restarted nothing."""
    with edited(pair, WRONG_PASSWORD, PROPERTIES):
        pair.on(APP, f"cp -a {PROPERTIES}.kept {PROPERTIES}")
        fault_app.age(pair, YOUNG_SECONDS + 5)
        yield


WRONG_PASSWORD = f"s/^{DATABASE}.database.password=.*/&x/"
URL = f"db1:5432,db2:5432/{DATABASE}?"
DATASOURCES = {
    "host": f"s#{URL}#store1:5432/{DATABASE}?#",
    "port": f"s#{URL}#db1:5433,db2:5433/{DATABASE}?#",
    "database": f"s#{URL}#db1:5432,db2:5432/managment?#",
    "user": f's#user="{ROLE}"#user="managment_app"#',
    "tls": "s#sslmode=verify-full#sslmode=disable#",
    "absent": f's#id="{DATABASE}" jndiName="jdbc/{DATABASE}"#id="elsewhere" jndiName="jdbc/elsewhere"#',
}


# --- the database


@contextmanager
def another_password(pair: Pair) -> Iterator[None]:
    """The verifier from before comes back afterwards; no password is known here."""
    keep = "create table kept_role as select rolpassword from pg_authid where rolname = 'management_app';"
    restore = "select format('alter role management_app password %L', rolpassword) from kept_role \\gexec\n"
    change = f"{keep}\nalter role {ROLE} password 'another'; {END}"
    with in_sql(pair, change, f"{restore}drop table kept_role;"):
        yield


def renamed(pair: Pair) -> AbstractContextManager[None]:
    shut, opened = "allow_connections false", "allow_connections true"
    return in_sql(
        pair,
        f"alter database {DATABASE} {shut};\nselect pg_terminate_backend(pid) from pg_stat_activity"
        f" where datname = '{DATABASE}';\nselect pg_sleep(1);\nalter database {DATABASE} rename to away;\n"
        f"alter database away {opened};",
        f"alter database away rename to {DATABASE};\nalter database {DATABASE} {opened};",
    )


@contextmanager
def expired_certificate(pair: Pair) -> Iterator[None]:
    """PostgreSQL alone shows another certificate: Patroni and etcd would lose the lead without theirs."""
    other = f"{TLS}/expired.pem"
    change = f"alter system set ssl_cert_file = '{other}'; {AGAIN} {END}"
    try:
        text = reissued(pair.lab, pair.primary, TOO_LATE)
        give(pair.lab, pair.primary, f"cp -a {TLS}/host.pem {other} && cat >{other}", text)
        with in_sql(pair, change, f"alter system reset ssl_cert_file; {AGAIN}"):
            yield
    finally:
        pair.on(pair.primary, f"rm -f {other}")


def locked(pair: Pair, then: str) -> AbstractContextManager[None]:
    """A transaction keeps the table that a log-in reads, and then works or forgets it."""
    return hold(
        pair,
        f"(cat /run/{HOLD}; sleep 3600) | psql -X -q -d {DATABASE}",
        f"begin; lock table users in access exclusive mode; {then}\n",
    )


@contextmanager
def no_postgres(pair: Pair) -> Iterator[None]:
    try:
        for host in (pair.standby, pair.primary):
            pair.on(host, "systemctl stop patroni")
        yield
    finally:
        for host in (pair.primary, pair.standby):
            pair.on(host, "systemctl start patroni")


# --- the application server


@contextmanager
def sick(
    pair: Pair, what: str, count: int, heap_mib: int | None = None, *, few: bool = False
) -> Iterator[None]:
    with fault_app.beside(pair, heap_mib, few=few):
        fault_app.cause(pair, what, count)
        yield


@contextmanager
def mute(pair: Pair) -> Iterator[None]:
    port = pair.lab.estate().config.applications.port
    edit = (
        f'cp -a {SERVER_XML} {SERVER_XML}.kept; sed -i \'s/httpsPort="{port}"/httpsPort="-1"/\' {SERVER_XML}'
    )
    back = f"[ ! -e {SERVER_XML}.kept ] || mv {SERVER_XML}.kept {SERVER_XML}; {RESTART}"
    with on(pair, APP, f"{edit}; {RESTART}", back):
        time.sleep(2)
        fault_app.age(pair, YOUNG_SECONDS + 5)
        yield


@contextmanager
def fenced(pair: Pair) -> Iterator[None]:
    try:
        pair.lab.ok("stop", "--writes", "--skip-preserve", "a test of the diagnosis", "--yes")
        yield
    finally:
        pair.lab.ok("start")


@contextmanager
def off(pair: Pair) -> Iterator[None]:
    try:
        pair.lab.ok("lab", "break", APP, "--how", "off")
        yield
    finally:
        pair.lab.ok("lab", "heal", APP)


NO_SSH = "systemctl stop ssh.socket 2>/dev/null; systemctl stop ssh; pkill sshd || true"
SSH = "systemctl start ssh"
FULL = "fallocate -l $(( $(df --output=avail -B1 /srv | tail -1) * 98 / 100 )) /srv/filler"
START = "systemctl reset-failed liberty; systemctl start liberty"
USERS = ("login", "db-timeout")
SERVES = ("login", "appserver")
FAULTS: dict[str, Fault] = {
    "healthy": Fault(("login", "db-timeout", "appserver"), healthy, 0),
    "network-cut": Fault(USERS, cut),
    "port-dropped": Fault(USERS, partial(blocked, verdict="drop")),
    "port-rejected": Fault(USERS, partial(blocked, verdict="reject with tcp reset")),
    "mtu-blackhole": Fault(USERS, black),
    "name-wrong": Fault(USERS, named_wrong),
    "name-unresolved": Fault(USERS, not_named),
    **{
        f"datasource-{what}": Fault(USERS, partial(edited, expression=how))
        for what, how in DATASOURCES.items()
    },
    "datasource-password": Fault(USERS, partial(edited, expression=WRONG_PASSWORD, file=PROPERTIES)),
    "role-locked": Fault(
        USERS, partial(in_sql, do=f"alter role {ROLE} nologin; {END}", undo=f"alter role {ROLE} login;")
    ),
    "role-expired": Fault(
        USERS,
        partial(
            in_sql,
            do=f"alter role {ROLE} valid until '2001-01-01'; {END}",
            undo=f"alter role {ROLE} valid until 'infinity';",
        ),
    ),
    "role-limit": Fault(
        USERS,
        partial(
            in_sql,
            do=f"alter role {ROLE} connection limit 0; {END}",
            undo=f"alter role {ROLE} connection limit -1;",
        ),
    ),
    "database-limit": Fault(
        USERS,
        partial(
            in_sql,
            do=f"alter database {DATABASE} connection limit 0; {END}",
            undo=f"alter database {DATABASE} connection limit -1;",
        ),
    ),
    "server-limit": Fault(USERS, partial(hold, command=f"exec python3 /run/{HOLD}", text=HOARD), 5),
    "database-password": Fault(USERS, another_password),
    "not-allowed": Fault(
        USERS,
        partial(
            in_sql,
            do=f"revoke connect on database {DATABASE} from {ROLE}; {END}",
            undo=f"grant connect on database {DATABASE} to {ROLE};",
        ),
    ),
    "no-database": Fault(USERS, renamed),
    "database-certificate": Fault(USERS, expired_certificate),
    "database-tls": Fault(
        USERS,
        partial(
            in_sql, do=f"alter system set ssl = off; {AGAIN} {END}", undo=f"alter system reset ssl; {AGAIN}"
        ),
    ),
    "database-starting": Fault(USERS, deep_faults.stopping, 5),
    "database-mute": Fault(USERS, deep_faults.database_mute, 5),
    "database-torn": Fault(USERS, deep_faults.torn, 5),
    "database-down": Fault(USERS, no_postgres, 8),
    "lock-idle": Fault(USERS, partial(locked, then="")),
    "lock-busy": Fault(USERS, partial(locked, then="select pg_sleep(3600);")),
    "pool-full": Fault(USERS, partial(sick, what="hold", count=20)),
    "application-stale": Fault(USERS, stale),
    "login-unexplained": Fault(
        ("login",),
        partial(
            in_sql,
            do="update users set name = name || '.away';",
            undo="update users set name = left(name, -5) where name like '%.away';",
            database=DATABASE,
        ),
    ),
    "disk-full": Fault(SERVES, partial(on, host=APP, do=FULL, undo="rm -f /srv/filler")),
    "inodes-full": Fault(SERVES, deep_faults.no_inodes),
    "disk-read-only": Fault(
        SERVES,
        partial(
            on, host=APP, do="mount -o remount,bind,ro none /srv", undo="mount -o remount,bind,rw none /srv"
        ),
    ),
    "users-fenced": Fault(SERVES, fenced),
    "liberty-dead": Fault(SERVES, partial(on, host=APP, do="systemctl stop liberty", undo=START)),
    "liberty-mute": Fault(SERVES, mute),
    "liberty-starting": Fault(SERVES, deep_faults.starting, 0),  # asked at once, while it is young
    "memory-heap": Fault(SERVES, partial(sick, what="oom", count=1), 5),
    "heap-setting": Fault(SERVES, partial(sick, what="oom", count=1, heap_mib=320), 5),
    "hung-deadlock": Fault(SERVES, partial(sick, what="deadlock", count=2 * fault_app.THREADS, few=True)),
    "hung-stuck": Fault(SERVES, partial(sick, what="stuck", count=2 * fault_app.THREADS, few=True)),
    "hung-unclear": Fault(SERVES, partial(sick, what="wait", count=2 * fault_app.THREADS, few=True)),
    "hung-stopped": Fault(
        SERVES,
        partial(
            on,
            host=APP,
            do="systemctl kill --signal STOP liberty",
            undo="systemctl kill --signal CONT liberty",
        ),
    ),
    "server-silent": Fault(SERVES, off),
    "server-away": Fault(SERVES, away, 12),
    "server-other": Fault(SERVES, deep_faults.another_key),
    "server-no-ssh": Fault(SERVES, partial(on, host=APP, do=NO_SSH, undo=SSH)),
    "system-broken": Fault(
        SERVES, partial(on, host=APP, do=f"systemctl stop liberty; {NO_SSH}", undo=f"{SSH}; {START}")
    ),
}
