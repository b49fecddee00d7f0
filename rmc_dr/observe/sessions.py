"""What the primary's catalogue says of the applications' roles, and how many sessions each has from where."""

from __future__ import annotations

from typing import LiteralString

from psycopg.rows import dict_row

from rmc_dr.diagnose.sight import RoleSeen, Sessions, SessionsOf
from rmc_dr.estate import Estate, Host
from rmc_dr.observe.postgres import connect

ROLES: LiteralString = """
select rolname as name, rolcanlogin as can_login, coalesce(rolvaliduntil <= now(), false) as expired,
       rolconnlimit as limit
  from pg_roles where rolname = any(%s) order by 1
"""
COUNTS: LiteralString = """
select coalesce(usename, '') as user, coalesce(host(client_addr), 'local') as address,
       coalesce(state, '') as state, count(*)::int as count
  from pg_stat_activity where backend_type = 'client backend' group by 1, 2, 3 order by 1, 2, 3
"""


def observe_sessions(estate: Estate, host: Host, users: list[str]) -> Sessions:
    """One look, bounded by the estate's timeouts. Raises psycopg.Error."""
    with connect(estate, host) as connection, connection.cursor(row_factory=dict_row) as cursor:
        roles = cursor.execute(ROLES, [users]).fetchall()
        rows = cursor.execute(COUNTS).fetchall()
    return Sessions(
        host.name, tuple(RoleSeen(**row) for row in roles), tuple(SessionsOf(**row) for row in rows)
    )
