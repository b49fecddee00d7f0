"""Looks at sessions, transactions, locks and WAL of PostgreSQL on one host; never at a statement's text."""

from __future__ import annotations

from typing import LiteralString

from psycopg.rows import dict_row

from rmc_dr.check.seen import Activity
from rmc_dr.estate import Estate, Host
from rmc_dr.observe.postgres import connect

SESSIONS: LiteralString = """
select count(*) as connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int as "limit"
  from pg_stat_activity where backend_type = 'client backend'
"""
# The oldest transaction that works, and the oldest that waits for its client.
TRANSACTIONS: LiteralString = """
select distinct on (idle) state like 'idle%' as idle,
       extract(epoch from clock_timestamp() - xact_start)::float as seconds,
       format('pid %s, %s, %s', pid, usename, coalesce(host(client_addr), 'local')) as session
  from pg_stat_activity
 where backend_type = 'client backend' and xact_start is not null and pid <> pg_backend_pid()
 order by idle, xact_start
"""
LOCKS: LiteralString = """
select count(*) over () as waiting,
       extract(epoch from clock_timestamp() - waitstart)::float as seconds,
       (select format('pid %s, %s, %s, %s', pid, usename, coalesce(host(client_addr), 'local'), state)
          from pg_stat_activity where pid = (pg_blocking_pids(waits.pid))[1]) as blocker
  from pg_locks waits where not granted and waitstart is not null order by waitstart limit 1
"""
WAL: LiteralString = """
select (select sum(size)::bigint from pg_ls_waldir()) as wal,
       pg_size_bytes(current_setting('max_wal_size')) as checkpoint,
       pg_size_bytes(current_setting('max_slot_wal_keep_size')) as slots
"""


def observe_activity(estate: Estate, host: Host) -> Activity:
    """One look, bounded by the estate's timeouts. Raises psycopg.Error."""
    with connect(estate, host) as connection, connection.cursor(row_factory=dict_row) as cursor:
        sessions = cursor.execute(SESSIONS).fetchone() or {}
        oldest = {row["idle"]: row for row in cursor.execute(TRANSACTIONS).fetchall()}
        locks = cursor.execute(LOCKS).fetchone() or {}
        wal = cursor.execute(WAL).fetchone() or {}
    works, idles = oldest.get(False, {}), oldest.get(True, {})
    grows = wal["checkpoint"] + wal["slots"] - wal["wal"] if wal["slots"] >= 0 else None
    return Activity(
        host=host.name,
        connections=sessions["connections"],
        limit=sessions["limit"],
        transaction_seconds=works.get("seconds") or 0.0,
        transaction_of=works.get("session") or "",
        idle_seconds=idles.get("seconds") or 0.0,
        idle_of=idles.get("session") or "",
        waiting=locks.get("waiting", 0),
        waiting_seconds=locks.get("seconds") or 0.0,
        blocked_by=locks.get("blocker") or "",
        wal_bytes=wal["wal"],
        could_grow=None if grows is None else max(0, grows),
    )
