"""Looks at PostgreSQL on each node by itself, and holds the estate's lock on the primary (psycopg)."""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from rmc_dr.backups import Archiver
from rmc_dr.backups.archive import position
from rmc_dr.errors import BadInput, Locked
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.observe.handshake import distrust
from rmc_dr.pair import Node, Replica, Role, Slot

USER = "rmc_dr"
DATABASE = "postgres"
LOCK_KEY = 0x726D632D6472  # "rmc-dr"; advisory locks count per database, and everybody uses DATABASE
STALE_LOCK_SECONDS = 5
RUN_NAME = re.compile(r"\d{8}T\d{6}Z-")  # how the name of a run begins; that of another command does not
SESSION = "rmc-dr run "  # and the holder's name: what other control machines see of who holds the lock
LONGEST_NAME = 63 - len(SESSION)  # bytes; PostgreSQL cuts off the rest, and two names could become one
# PostgreSQL runs, but takes neither reads nor writes: for certain no primary.
UNTRUSTED = "certificate verify failed"
NOT_YET = ("starting up", "shutting down", "not yet accepting connections", "in recovery mode")

# No one place holds a standby's timeline: the receiver knows it while it runs, the control file after the
# next restartpoint, and the names of the WAL files at its position always.
LOOK: LiteralString = """
with here as (
  select pg_is_in_recovery() as standby,
         (pg_last_wal_receive_lsn() - '0/0')::bigint as received,
         (pg_last_wal_replay_lsn() - '0/0')::bigint as replayed
), place as (
  select *, greatest(received, replayed, 1) - 1 as last,
         pg_size_bytes(current_setting('wal_segment_size')) as segment
    from here
)
select standby, received as received_lsn, replayed as replayed_lsn,
       case when not standby then (pg_current_wal_lsn() - '0/0')::bigint end as current_lsn,
       (select system_identifier::text from pg_control_system()) as system_identifier,
       case when standby then greatest(
              (select received_tli from pg_stat_wal_receiver),
              (select greatest(timeline_id, min_recovery_end_timeline)
                 from pg_control_checkpoint(), pg_control_recovery()),
              (select max(('x' || substr(name, 1, 8))::bit(32)::int) from pg_ls_waldir()
                where name ~ '^[0-9A-F]{24}$'
                  and substr(name, 9) = lpad(upper(to_hex(last >> 32)), 8, '0')
                                     || lpad(upper(to_hex(last % 4294967296 / segment)), 8, '0')))
            else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
       end as timeline,
       case when standby
            then exists (select from pg_stat_wal_receiver where status = 'streaming') end as streaming,
       case when standby then pg_is_wal_replay_paused() end as replay_paused,
       case when not standby then null
            when received = replayed then 0
            else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())
       end::float as replay_age_seconds,
       case when standby then pg_last_xact_replay_timestamp() end as replayed_until,
       current_setting('data_checksums') = 'on' as checksums,
       current_setting('server_version') as version
  from place
"""
# Made by the role databases: a monitor may not read files, and no view shows where timelines forked.
HISTORY: LiteralString = "select rmc_dr.timeline_history(%s) as history"
REPLICAS: LiteralString = """
select coalesce(application_name, '') as name, coalesce(host(client_addr), '') as address,
       coalesce(state, '') as state, coalesce(sync_state, '') as sync_state,
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as lag_bytes,
       extract(epoch from replay_lag)::float as lag_seconds
  from pg_stat_replication where usename = 'replicator' order by 1, 2
"""
SLOTS: LiteralString = """
select slot_name as name, active, coalesce(wal_status, '') as wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as kept_bytes
  from pg_replication_slots order by 1
"""
NEXT: LiteralString = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
SIZE: LiteralString = "select sum(pg_database_size(oid))::bigint from pg_database"
ARCHIVER: LiteralString = """
select waiting.count as waiting, waiting.seconds::float as waiting_seconds,
       last_archived_time as last_archived, last_failed_time as last_failed, failed_count as failed
  from pg_stat_archiver,
       (select count(*), coalesce(extract(epoch from clock_timestamp() - min(modification)), 0) as seconds
          from pg_ls_archive_statusdir() where name like '%.ready') as waiting
"""
HOLDER: LiteralString = """
select activity.pid, application_name, coalesce(host(client_addr), 'local') as client, backend_start
  from pg_locks join pg_stat_activity activity using (pid)
 where locktype = 'advisory' and granted and objsubid = 1
   and (classid::bigint << 32 | objid::bigint) = %s
"""


def observe_node(estate: Estate, host: Host) -> Node:
    """One node by its own word; bounded by the estate's connect and statement timeouts."""
    role, said = _knock(estate, host)
    if role is not None:
        return Node(host.name, role, host.address, said)
    try:
        with connect(estate, host) as connection, connection.cursor(row_factory=dict_row) as cursor:
            return _look(cursor, host)
    except psycopg.Error as error:
        said = _first_line(error)
        if UNTRUSTED in said:  # libpq does not say why
            said = distrust(estate, host) or said
        starting = isinstance(error, psycopg.OperationalError) and any(word in said for word in NOT_YET)
        return Node(host.name, Role.DOWN if starting else Role.UNKNOWN, host.address, said)


def database_bytes(estate: Estate, host: Host) -> int | None:
    """The size of all databases of a host in bytes; None where it cannot be asked."""
    return _one_number(estate, host, SIZE)


def _one_number(estate: Estate, host: Host, statement: LiteralString) -> int | None:
    try:
        with connect(estate, host) as connection:
            row = connection.execute(statement).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else int(row[0])


def next_transaction(estate: Estate, host: Host) -> int | None:
    """The number that the next transaction with a write gets; None where it cannot be asked."""
    return _one_number(estate, host, NEXT)


def observe_archiver(estate: Estate, host: Host) -> Archiver:
    """How far behind the archive is, by the primary's own word. Raises psycopg.Error."""
    with connect(estate, host) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return Archiver(host=host.name, **(cursor.execute(ARCHIVER).fetchone() or {}))


@contextmanager
def hold_estate_lock(
    estate: Estate, run_id: str, break_lock: str | None = None
) -> Iterator[Callable[[], bool]]:
    """Hold the estate on its primary for as long as the block lasts: two control machines, one run.

    Gives a function that makes sure of it again, on whichever host is the primary then; a lock dies with its
    connection. It says False, and holds nothing, where no single primary answers or takes the lock in time.
    Both raise Locked naming the other run, unless ``break_lock`` names it too. A session of this same
    ``run_id`` is taken for a dead one, is ended and replaced: no two commands may share one.
    """
    if len(run_id.encode()) > LONGEST_NAME:
        raise ValueError(f"too long for PostgreSQL to tell from another: {run_id}")
    lock = _EstateLock(estate, run_id, break_lock)
    try:
        lock.keep()
        yield lock.keep
    finally:
        lock.let_go()


class _EstateLock:
    def __init__(self, estate: Estate, run_id: str, break_lock: str | None) -> None:
        self._estate = estate
        self._run_id = run_id
        self._break_lock = break_lock
        self._connection: psycopg.Connection[Any] | None = None

    def keep(self) -> bool:
        if self._held():
            return True
        self.let_go()
        hosts = self._estate.group("dbserver")
        primaries = [host for host in hosts if observe_node(self._estate, host).role is Role.PRIMARY]
        if len(primaries) != 1:
            return False
        try:
            self._connection = connect(self._estate, primaries[0], f"{SESSION}{self._run_id}")
            self._connection.execute("set idle_session_timeout = 0")
            _take(self._connection, self._run_id, self._break_lock)
        except psycopg.Error:  # it died, or stopped being the primary, since it was looked at
            self.let_go()
            return False
        return True

    def _held(self) -> bool:
        if self._connection is None:
            return False
        try:
            row = self._connection.execute("select not pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            return False
        return bool(row and row[0])

    def let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _take(connection: psycopg.Connection[Any], run_id: str, break_lock: str | None) -> None:
    deadline = time.monotonic() + STALE_LOCK_SECONDS
    while not _try_lock(connection):
        with connection.cursor(row_factory=dict_row) as cursor:
            holder = cursor.execute(HOLDER, [LOCK_KEY]).fetchone()
        if holder is None:
            continue
        other = holder["application_name"].removeprefix(SESSION)
        if other not in (run_id, break_lock) or time.monotonic() > deadline:
            raise _locked(other, holder["client"], holder["backend_start"])
        connection.execute("select pg_terminate_backend(%s)", [holder["pid"]])
        time.sleep(0.1)


def _try_lock(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s::bigint)", [LOCK_KEY]).fetchone()
    return bool(row and row[0])


def _locked(run: str, client: str, since: datetime) -> Locked:
    return Locked(
        "estate-locked",
        (
            _("The run {run} of the control machine {client} holds the estate since {since}.")
            if RUN_NAME.match(run)
            else _("The command {run} of the control machine {client} holds the estate since {since}.")
        ).format(run=run, client=client, since=since.isoformat(timespec="seconds")),
        _("Speak to whoever runs it. If it is dead for certain, add --break-lock {run}.").format(run=run),
    )


def _knock(estate: Estate, host: Host) -> tuple[Role | None, str]:
    """What can be told without a session, and why; silence proves nothing, but is not waited for twice."""
    seconds = estate.config.database.connect_timeout_seconds
    try:
        with socket.create_connection((host.address, estate.config.database.port), seconds):
            return None, ""
    except TimeoutError:
        return Role.UNKNOWN, _("no answer within {seconds} s").format(seconds=seconds)
    except OSError as error:
        refused = error.errno == errno.ECONNREFUSED
        return (Role.DOWN, "connection refused") if refused else (None, "")


def connect(
    estate: Estate, host: Host, application_name: str = "rmc-dr"
) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection of the monitor; bounded by the estate's timeouts. Raises psycopg.Error or BadInput."""
    database = estate.config.database
    authority = estate.private_dir / "ca.pem"
    if not authority.is_file():
        raise BadInput(
            "ca-missing",
            _("The estate's CA certificate {path} is missing.").format(path=authority),
            _("Run `rmc-dr estate init`; for the lab, `rmc-dr lab up`."),
        )
    return psycopg.connect(
        host=host.name,
        hostaddr=host.address,
        port=database.port,
        dbname=DATABASE,
        user=USER,
        password=estate.opened().get("postgres", "monitor_password"),
        sslmode="verify-full",
        sslrootcert=str(authority),
        gssencmode="disable",
        connect_timeout=database.connect_timeout_seconds,
        # A cut network must not hold a query for longer than a slow server may.
        tcp_user_timeout=database.statement_timeout_seconds * 1000,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        options=f"-c statement_timeout={database.statement_timeout_seconds}s",
        application_name=application_name,
        autocommit=True,
    )


def _look(cursor: psycopg.Cursor[dict[str, Any]], host: Host) -> Node:
    row = cursor.execute(LOOK).fetchone() or {}
    standby = row.pop("standby")
    replicas = [] if standby else cursor.execute(REPLICAS).fetchall()
    slots = [] if standby else cursor.execute(SLOTS).fetchall()
    return Node(
        name=host.name,
        role=Role.STANDBY if standby else Role.PRIMARY,
        address=host.address,
        replicas=tuple(Replica(**replica) for replica in replicas),
        slots=tuple(Slot(**slot) for slot in slots),
        forks=_forks(cursor, row["timeline"]),
        **row,
    )


def _forks(cursor: psycopg.Cursor[dict[str, Any]], timeline: int) -> tuple[tuple[int, int], ...] | None:
    """The ended timelines before this one, each with its last byte; None where that cannot be read."""
    if timeline == 1:
        return ()
    try:
        row = cursor.execute(HISTORY, [timeline]).fetchone()
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName):
        return None
    lines = [line.split() for line in ((row or {}).get("history") or "").splitlines()]
    forks = [(int(words[0]), position(words[1])) for words in lines if len(words) > 1 and words[0].isdigit()]
    return tuple(forks) or None


def _first_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
