#!/usr/bin/python3
"""Brings an application's database to a release's schema, and lets the journey's user in.

Runs on the primary. SQL and secrets go to psql through its standard input, never through its arguments.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: application_database
short_description: Apply a release's schema as the database's owner
description: Idempotent where the release's SQL is; reports changed when tables appeared or the user changed.
options:
  database: {description: The application's database., type: str, required: true}
  schema: {description: The release's schema.sql., type: str, required: true}
  journey_sql: {description: How the application stores a user; empty if the vendor makes it., type: str}
  user: {description: The journey's user., type: str, required: true}
  password: {description: Its password., type: str, required: true}
author: [rmc-dr]
"""
ROUNDS = 210_000
# Terse: an error's own line, without the statement, which holds the user's hash.
SETTINGS = ("-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse")
COUNT = "select 'objects ' || count(*) from pg_class where relnamespace = 'public'::regnamespace;\n"


class SqlFailed(Exception):
    """What psql said."""


def password_hash(database: str, user: str, password: str) -> str:
    """PBKDF2 in the form pbkdf2-sha512$rounds$salt$hash. The salt is fixed per user, so that nothing changes
    where nothing has to; it is no secret."""
    salt = hashlib.sha256(f"rmc-dr {database} {user}".encode()).digest()[:16]
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"pbkdf2-sha512${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def script(database: str, schema: str, journey_sql: str, user: str, hashed: str) -> str:
    """Everything in one transaction, with the object count before and after."""
    parts = [f"\\set app {_quoted(database + '_app')}\n", "begin;\n", COUNT, schema, "\n;\n", COUNT]
    if journey_sql:
        parts += [f"\\set user {_quoted(user)}\n", f"\\set hash {_quoted(hashed)}\n", "\\unset QUIET\n"]
        parts += [journey_sql, "\n;\n"]
    return "".join([*parts, "commit;\n"])


def _quoted(value: str) -> str:
    """For psql's \\set, which knows C escapes within single quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def changed(said: str) -> bool:
    """Whether objects appeared, or a row of the user was written."""
    counts = {line for line in said.splitlines() if line.startswith("objects ")}
    return len(counts) > 1 or "INSERT 0 1" in said.splitlines()


def run(database: str, text: str) -> str:
    owner = f"{database}_owner"
    done = subprocess.run(
        ["psql", "-X", "-q", "-A", "-t", *SETTINGS, "-d", database, "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
        user="postgres",
        group="postgres",
        extra_groups=[],
        env={
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "PGCONNECT_TIMEOUT": "5",
            "PGOPTIONS": f"-c role={owner} -c lock_timeout=5s -c statement_timeout=60s "
            "-c client_min_messages=warning",
        },
    )
    if done.returncode != 0:
        raise SqlFailed(done.stderr.strip())
    return done.stdout


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "schema": {"type": "str", "required": True},
            "journey_sql": {"type": "str"},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
        }
    )
    given = module.params
    hashed = password_hash(given["database"], given["user"], given["password"])
    text = script(given["database"], given["schema"], given["journey_sql"] or "", given["user"], hashed)
    try:
        said = run(given["database"], text)
    except (SqlFailed, subprocess.TimeoutExpired) as reason:
        said = str(reason).replace(hashed, "[hash]")[:1000]
        module.fail_json(msg=f"The schema of {given['database']} could not be applied: {said}")
    module.exit_json(changed=changed(said), applied=True)


if __name__ == "__main__":
    main()
