"""SQL for an application's database, run by psql on the primary through the socket of the host itself.

Nobody else can be the schema's owner: that role has no password and cannot log in, so that neither network
nor vault holds a way to it. A release's migrations run inside a function of the owner's own, where PostgreSQL
refuses both to leave the role and to end the transaction.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence

# Terse: an error's own line, without the statement or the row, which may hold a hash or a patient.
SETTINGS = ("-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse")
STATEMENT_SECONDS = 60
MIGRATION_SECONDS = 1800
STEP = "migration "
FUNCTION = "pg_temp.rmc_dr_migrate"
NAME = re.compile(r"[0-9]{4}[A-Za-z0-9_-]*\.sql")
UNDO = ".undo.sql"

LOOK = r"""
select to_regclass('rmc_dr.migrations') is not null as there \gset
\if :there
select 'ran ' || sha256 || ' ' || name from rmc_dr.migrations order by name;
\endif
select 'empty' where not exists (select from pg_class where relnamespace = 'public'::regnamespace);
"""
# What PostgreSQL says of a value that does not fit names the value, and that may be a patient's.
PREPARE = """set local role none;
create schema if not exists rmc_dr;
create table if not exists rmc_dr.migrations (
    name text primary key,
    sha256 text not null,
    release text not null,
    how text not null check (how in ('run', 'baseline')),
    run_at timestamptz not null default clock_timestamp()
);
set local role {owner};
create function {function}(step text) returns void language plpgsql security definer as $rmc_dr$
begin
    execute step;
exception when data_exception then
    raise exception using errcode = sqlstate,
        message = 'a value does not fit (SQLSTATE ' || sqlstate || '), which may be a patient''s';
end
$rmc_dr$;
set local statement_timeout = '{seconds}s';
"""
AFTERWARDS = """drop function {function}(text);
set local statement_timeout = '{seconds}s';
"""
NOTE = "insert into rmc_dr.migrations (name, sha256, release, how) values"
FORGET = "delete from rmc_dr.migrations where name ="


class SqlFailed(Exception):
    """What psql said."""


class Wrong(Exception):
    """The sentence that the operator reads."""


def run(database: str, text: str, *, role: str = "", seconds: int = STATEMENT_SECONDS * 2) -> str:
    """Let psql run a script, as ``role`` where one is named, and give what it printed.

    Raises SqlFailed, with the migration's name where one was at work, and subprocess.TimeoutExpired.
    """
    options = "-c lock_timeout=5s -c client_min_messages=warning"
    options += f" -c statement_timeout={STATEMENT_SECONDS}s"
    done = subprocess.run(
        ["psql", "-X", "-q", "-A", "-t", *SETTINGS, "-d", database, "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd="/",
        user="postgres",
        group="postgres",
        extra_groups=[],
        env={
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "PGCONNECT_TIMEOUT": "5",
            "PGOPTIONS": f"{options} -c role={role}" if role else options,
        },
    )
    if done.returncode != 0:
        raise SqlFailed(told(done.stdout, done.stderr))
    return done.stdout


def told(out: str, err: str) -> str:
    """psql's words, behind the name of the migration that was at work."""
    said = re.sub(r"psql:<stdin>:\d+: ", "", err.strip())
    at_work = [line for line in out.splitlines() if line.startswith(STEP)]
    return f"{at_work[-1]}: {said}" if at_work else said


def literal(text: str) -> str:
    """A string for SQL with standard_conforming_strings; psql leaves what stands in quotes alone."""
    return "'" + text.replace("'", "''") + "'"


def look(said: str) -> tuple[dict[str, str], bool]:
    """What LOOK printed: the digest of each migration that has run, and whether the schema is empty."""
    lines = said.splitlines()
    rows = [line.split(" ", 2) for line in lines if line.startswith("ran ")]
    return {name: digest for _word, digest, name in rows}, "empty" in lines


def pending(digests: Mapping[str, str], ran: Mapping[str, str]) -> list[str]:
    """The migrations of a release that have not run yet, in order. Raises Wrong where one is not what ran."""
    forward = sorted(name for name in digests if not name.endswith(UNDO))
    for name in forward:
        if not NAME.fullmatch(name):
            raise Wrong(f"The migration {name} is not named as 0001-what-it-does.sql.")
        if name in ran and ran[name] != digests[name]:
            raise Wrong(f"The migration {name} has run already, and its text was another one then.")
    return [name for name in forward if name not in ran]


def steps(
    owner: str, names: Sequence[str], texts: Mapping[str, str], digests: Mapping[str, str], release: str
) -> str:
    """Runs these migrations and notes each. For a script that has begun a transaction as the owner."""
    return _inside(
        owner,
        (
            _step(name, texts) + _as_superuser(owner, _note(name, digests[name], release, "run"))
            for name in names
        ),
    )


def baseline(owner: str, names: Sequence[str], digests: Mapping[str, str], release: str) -> str:
    """Only notes them: an empty database gets the release's whole schema."""
    return _inside(
        owner, (_as_superuser(owner, _note(name, digests[name], release, "baseline")) for name in names)
    )


def undo(owner: str, names: Sequence[str], texts: Mapping[str, str]) -> str:
    """The whole script that takes these migrations back, the last one first."""
    parts = _inside(
        owner,
        (
            _step(undo_name(name), texts) + _as_superuser(owner, f"{FORGET} {literal(name)};\n")
            for name in sorted(names, reverse=True)
        ),
    )
    return f"begin;\n{parts}commit;\n"


def _step(name: str, texts: Mapping[str, str]) -> str:
    return f"\\echo {STEP}{name}\nselect {FUNCTION}({literal(texts[name])});\n"


def undo_name(name: str) -> str:
    return name.removesuffix(".sql") + UNDO


def _inside(owner: str, parts: Iterable[str]) -> str:
    before = PREPARE.format(owner=owner, function=FUNCTION, seconds=MIGRATION_SECONDS)
    return "".join([before, *parts, AFTERWARDS.format(function=FUNCTION, seconds=STATEMENT_SECONDS)])


def _as_superuser(owner: str, statement: str) -> str:
    return f"set local role none;\n{statement}set local role {owner};\n"


def _note(name: str, digest: str, release: str, how: str) -> str:
    values = ", ".join(map(literal, (name, digest, release, how)))
    return f"{NOTE} ({values});\n"
