#!/usr/bin/python3
"""Brings an application's database to a release's schema, and lets the journey's user in.

Runs on the primary. SQL and secrets go to psql through its standard input, never through its arguments.
Migrations that have not run yet, schema and user are one transaction: what fails leaves nothing behind.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess

from ansible.module_utils.application_sql import (
    LOOK,
    MIGRATION_SECONDS,
    SqlFailed,
    Wrong,
    baseline,
    look,
    pending,
    run,
    steps,
)
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: application_database
short_description: Apply a release's schema as the database's owner
description:
  - Idempotent where the release's SQL is; reports changed when tables appeared, the user changed, or a
    migration ran.
  - Each migration runs once, in the order of the names; returns in C(migrated) those that ran now.
options:
  database: {description: The application's database., type: str, required: true}
  schema: {description: The release's schema.sql., type: str, required: true}
  release: {description: The release's name., type: str, required: true}
  migrations: {description: "File name of each of its migrations to its SQL.", type: dict, default: {}}
  digests: {description: "File name to SHA-256, as the kit's manifest says.", type: dict, default: {}}
  journey_sql: {description: How the application stores a user; empty if the vendor makes it., type: str}
  user: {description: The journey's user., type: str, required: true}
  password: {description: Its password., type: str, required: true}
author: [rmc-dr]
"""
ROUNDS = 210_000
COUNT = "select 'objects ' || count(*) from pg_class where relnamespace = 'public'::regnamespace;\n"


def password_hash(database: str, user: str, password: str) -> str:
    """PBKDF2 in the form pbkdf2-sha512$rounds$salt$hash. The salt is fixed per user, so that nothing changes
    where nothing has to; it is no secret."""
    salt = hashlib.sha256(f"rmc-dr {database} {user}".encode()).digest()[:16]
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"pbkdf2-sha512${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def script(database: str, migrations: str, schema: str, journey_sql: str, user: str, hashed: str) -> str:
    """Everything in one transaction, with the object count before and after."""
    parts = [f"\\set app {_quoted(database + '_app')}\n", "begin;\n", COUNT, migrations]
    parts += [schema, "\n;\n", COUNT]
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


def bring(given: dict[str, object], hashed: str) -> dict[str, object]:
    """Do it, and say what came of it. Raises SqlFailed, Wrong or subprocess.TimeoutExpired."""
    database, digests = given["database"], given["digests"]
    owner = f"{database}_owner"
    todo, empty, migrations, seconds = [], False, "", 120
    if digests:
        ran, empty = look(run(database, LOOK))
        todo = pending(digests, ran)
    if todo and empty:
        migrations = baseline(owner, todo, digests, given["release"])
    elif todo:
        migrations = steps(owner, todo, given["migrations"], digests, given["release"])
        seconds += MIGRATION_SECONDS * len(todo)
    text = script(database, migrations, given["schema"], given["journey_sql"] or "", given["user"], hashed)
    said = run(database, text, role=owner, seconds=seconds)
    migrated = [] if empty else todo
    return {"changed": changed(said) or bool(todo), "applied": True, "migrated": migrated}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "schema": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "migrations": {"type": "dict", "default": {}},
            "digests": {"type": "dict", "default": {}},
            "journey_sql": {"type": "str"},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
        }
    )
    given = module.params
    hashed = password_hash(given["database"], given["user"], given["password"])
    try:
        done = bring(given, hashed)
    except (SqlFailed, Wrong, subprocess.TimeoutExpired) as reason:
        said = str(reason).replace(hashed, "[hash]")[:1000]
        module.fail_json(msg=f"The database {given['database']} could not be brought to the release: {said}")
    module.exit_json(**done)


if __name__ == "__main__":
    main()
