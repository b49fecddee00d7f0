"""Asks an application's database on the primary which migrations have run there."""

from __future__ import annotations

import shlex
import subprocess

from rmc_dr import ssh
from rmc_dr.errors import Error
from rmc_dr.estate import Application, Estate, Host
from rmc_dr.i18n import _
from rmc_dr.migrations import Ran

TIMEOUT_SECONDS = 20
# The module application_database asks the same on the host before it runs any.
LOOK = r"""
select to_regclass('rmc_dr.migrations') is not null as there \gset
\if :there
select 'ran ' || sha256 || ' ' || name from rmc_dr.migrations order by name;
\endif
select 'empty' where not exists (select from pg_class where relnamespace = 'public'::regnamespace);
"""


def observe_migrations(estate: Estate, primary: Host, app: Application) -> Ran:
    """What has run, by the database's own word. Raises Error where it cannot be asked."""
    psql = [
        "runuser",
        "--user=postgres",
        "--",
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
    ]
    psql += [
        "--set=ON_ERROR_STOP=1",
        f"--port={estate.config.database.port}",
        f"--dbname={app.database}",
        "--file=-",
    ]
    command = (
        f"cd / && PGOPTIONS='-c default_transaction_read_only=on -c statement_timeout=10s' {shlex.join(psql)}"
    )
    try:
        done = ssh.ask(estate, primary, command, TIMEOUT_SECONDS, given=LOOK)
        said = "" if done.returncode == 0 else done.stderr.strip()[-200:] or f"exit {done.returncode}"
    except subprocess.TimeoutExpired:
        said = _("no answer within {seconds} s").format(seconds=TIMEOUT_SECONDS)
    if said:
        raise Error(
            "migrations-unknown",
            _("{host} does not say which migrations of {app} have run: {said}.").format(
                host=primary.name, app=app.name, said=said
            ),
            _("Look with `rmc-dr db status`; nothing was changed."),
        )
    return read(done.stdout)


def read(said: str) -> Ran:
    """What the question prints."""
    lines = said.splitlines()
    rows = [line.split(" ", 2) for line in lines if line.startswith("ran ")]
    return Ran({name: digest for _word, digest, name in rows}, "empty" in lines)
