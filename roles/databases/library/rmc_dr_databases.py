#!/usr/bin/python3
"""Makes the applications' databases and the login roles on the primary; leaves a standby alone.

Passwords arrive on standard input and leave as SCRAM verifiers, so that no statement, log or argument list
ever holds one. A verifier that already fits its password is kept: running it again changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from psycopg2 import sql

DOCUMENTATION = """
module: rmc_dr_databases
short_description: The applications' databases and the login roles of a PostgreSQL pair
description: Runs on every database host; changes something only where PostgreSQL is the primary.
options:
  databases: {description: Names of the databases., type: list, elements: str, required: true}
  monitor: {description: The login role that looks at the pair., type: str, required: true}
  passwords: {description: Login role -> password., type: dict, required: true}
  socket_dir: {description: Folder of PostgreSQL's socket., type: path, required: true}
  port: {description: Port of PostgreSQL., type: int, required: true}
author: [rmc-dr]
"""
ROUNDS = 4096
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")


def verifier(password: str, salt: bytes, rounds: int = ROUNDS) -> str:
    """What PostgreSQL keeps of a password (RFC 5803); SASLprep leaves ASCII passwords as they are."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *parts)


def fits(password: str, kept: str | None) -> bool:
    found = VERIFIER.fullmatch(kept or "")
    if not found:
        return False
    again = verifier(password, base64.b64decode(found[2]), int(found[1]))
    return hmac.compare_digest(again, kept or "")


@contextmanager
def acting_as(account: str) -> Iterator[None]:
    """PostgreSQL asks the socket which account connects (peer)."""
    os.seteuid(pwd.getpwnam(account).pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


HISTORY = """
select pg_read_file('pg_wal/' || lpad(upper(to_hex(timeline)), 8, '0') || '.history', true)
"""


class Server:
    """The connections to one server, and what was changed through them."""

    def __init__(self, socket_dir: str, port: int) -> None:
        self.where = {"host": socket_dir, "port": port, "user": "postgres", "connect_timeout": 5}
        self.changes: list[str] = []

    def connect(self, database: str) -> Any:
        with acting_as("postgres"):
            connection = psycopg2.connect(
                dbname=database,
                application_name="rmc-dr databases",
                options="-c statement_timeout=30s -c lock_timeout=5s",
                **self.where,
            )
        connection.autocommit = True
        return connection.cursor()

    def ensure(self, cursor: Any, missing: bool, statement: sql.Composable, change: str) -> None:
        if missing:
            cursor.execute(statement)
            self.changes.append(change)


def ensure_role(server: Server, cursor: Any, name: str, attributes: str) -> None:
    cursor.execute("select 1 from pg_roles where rolname = %s", [name])
    statement = sql.SQL("create role {} " + attributes).format(sql.Identifier(name))
    server.ensure(cursor, cursor.fetchone() is None, statement, f"role {name}")


def ensure_password(server: Server, cursor: Any, name: str, password: str) -> None:
    cursor.execute("select rolpassword from pg_authid where rolname = %s", [name])
    row = cursor.fetchone()
    if row is None:
        raise LookupError(f"the role {name} does not exist")
    statement = sql.SQL("alter role {} password {}").format(
        sql.Identifier(name), sql.Literal(verifier(password, os.urandom(16)))
    )
    server.ensure(cursor, not fits(password, row[0]), statement, f"password of {name}")


def ensure_member(server: Server, cursor: Any, group: str, name: str) -> None:
    cursor.execute("select pg_has_role(%s, %s, 'member')", [name, group])
    statement = sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(name))
    server.ensure(cursor, not cursor.fetchone()[0], statement, f"{name} in {group}")


def ensure_database(server: Server, cursor: Any, name: str, owner: str) -> None:
    cursor.execute("select pg_get_userbyid(datdba) from pg_database where datname = %s", [name])
    row = cursor.fetchone()
    names = {"name": sql.Identifier(name), "owner": sql.Identifier(owner)}
    create = sql.SQL("create database {name} owner {owner} template template0").format(**names)
    server.ensure(cursor, row is None, create, f"database {name}")
    wrong = row is not None and row[0] != owner
    give = sql.SQL("alter database {name} owner to {owner}").format(**names)
    server.ensure(cursor, wrong, give, f"owner of {name}")


def ensure_connect(server: Server, cursor: Any, database: str, roles: list[str]) -> None:
    """Only these roles may connect; PUBLIC may do nothing."""
    names = {"database": sql.Identifier(database)}
    cursor.execute(
        "select count(*) from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))"
        " where datname = %s and grantee = 0",
        [database],
    )
    close = sql.SQL("revoke all on database {database} from public").format(**names)
    server.ensure(cursor, cursor.fetchone()[0] > 0, close, f"{database} closed to public")
    for role in roles:
        cursor.execute("select has_database_privilege(%s, %s, 'connect')", [role, database])
        statement = sql.SQL("grant connect on database {database} to {role}").format(
            role=sql.Identifier(role), **names
        )
        server.ensure(cursor, not cursor.fetchone()[0], statement, f"{role} may connect to {database}")


def ensure_schema(server: Server, cursor: Any, role: str, database: str) -> None:
    """The application may use what the owner puts into `public`, and make nothing itself."""
    cursor.execute(
        "select count(*) from pg_namespace, aclexplode(nspacl) where nspname = 'public' and grantee = 0"
    )
    close = sql.SQL("revoke all on schema public from public")
    server.ensure(cursor, cursor.fetchone()[0] > 0, close, f"schema of {database} closed to public")
    cursor.execute("select has_schema_privilege(%s, 'public', 'usage')", [role])
    statement = sql.SQL("grant usage on schema public to {}").format(sql.Identifier(role))
    server.ensure(cursor, not cursor.fetchone()[0], statement, f"{role} may use the schema of {database}")


def ensure_history(server: Server, cursor: Any, monitor: str) -> None:
    """Lets the monitor read where timelines forked, and no other file."""
    names = {"schema": sql.Identifier(monitor), "role": sql.Identifier(monitor), "body": sql.Literal(HISTORY)}
    cursor.execute(
        "select prosrc from pg_proc join pg_namespace n on n.oid = pronamespace"
        " where nspname = %s and proname = 'timeline_history'",
        [monitor],
    )
    statement = sql.SQL("""
        create schema if not exists {schema};
        create or replace function {schema}.timeline_history(timeline integer) returns text
            language sql stable security definer set search_path = pg_catalog as {body};
        revoke all on function {schema}.timeline_history(integer) from public;
        grant usage on schema {schema} to {role};
        grant execute on function {schema}.timeline_history(integer) to {role};
    """).format(**names)
    server.ensure(cursor, cursor.fetchone() != (HISTORY,), statement, f"timeline history for {monitor}")


def ensure_all(server: Server, databases: list[str], monitor: str, passwords: dict[str, str]) -> bool:
    """Make everything; False where this node is no primary."""
    with server.connect("postgres") as cursor:
        cursor.execute("select pg_is_in_recovery()")
        if cursor.fetchone()[0]:
            return False
        ensure_role(server, cursor, monitor, "login connection limit 10")
        for group in ("pg_monitor", "pg_read_all_settings"):
            ensure_member(server, cursor, group, monitor)
        for database in databases:
            ensure_role(server, cursor, f"{database}_owner", "nologin")
            ensure_role(server, cursor, f"{database}_app", "login")
        for role, password in passwords.items():
            ensure_password(server, cursor, role, password)
        ensure_connect(server, cursor, "postgres", [monitor, "rewind"])
        ensure_history(server, cursor, monitor)
        for database in databases:
            ensure_database(server, cursor, database, f"{database}_owner")
            ensure_connect(server, cursor, database, [f"{database}_app"])
    for database in databases:
        with server.connect(database) as cursor:
            ensure_schema(server, cursor, f"{database}_app", database)
    return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "databases": {"type": "list", "elements": "str", "required": True},
            "monitor": {"type": "str", "required": True},
            "passwords": {"type": "dict", "required": True, "no_log": True},
            "socket_dir": {"type": "path", "required": True},
            "port": {"type": "int", "required": True},
        }
    )
    given = module.params
    server = Server(given["socket_dir"], given["port"])
    try:
        primary = ensure_all(server, given["databases"], given["monitor"], given["passwords"])
    except (psycopg2.Error, LookupError) as reason:
        module.fail_json(msg=f"PostgreSQL on this host: {str(reason).strip()}", changes=server.changes)
    module.exit_json(changed=bool(server.changes), primary=primary, changes=server.changes)


if __name__ == "__main__":
    main()
