"""How a fault of tests/lab/diagnose_faults.py gets into a running host, and out of it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from injections import give
from pair import Pair

PSQL = "cd / && runuser -u postgres -- psql -X -q -v ON_ERROR_STOP={stop} -d {database} -f -"
HOLD = "rmc-dr-hold"
END = "select pg_terminate_backend(pid) from pg_stat_activity where usename like '%\\_app';"
END_HOLDERS = (
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'"
    " and application_name = 'psql' and client_addr is null and pid <> pg_backend_pid();"
)
AGAIN = "select pg_reload_conf(); select pg_sleep(1);"  # and the postmaster has read it


@contextmanager
def on(pair: Pair, host: str, do: str, undo: str) -> Iterator[None]:
    try:
        pair.on(host, do)
        yield
    finally:
        pair.on(host, undo)


def sql(pair: Pair, text: str, database: str = "postgres", *, undoes: bool = False) -> None:
    """What undoes is tried to its end: of a fault that came in by half a statement may have nothing to do."""
    give(pair.lab, pair.primary, PSQL.format(database=database, stop=int(not undoes)), text)


@contextmanager
def in_sql(pair: Pair, do: str, undo: str, database: str = "postgres") -> Iterator[None]:
    try:
        sql(pair, do, database)
        yield
    finally:
        sql(pair, undo, database, undoes=True)


def begin_holder(pair: Pair, command: str, text: str) -> None:
    """A client of the primary's own that lives on; it is handed its program as a file."""
    give(pair.lab, pair.primary, f"cat >/run/{HOLD} && chmod 644 /run/{HOLD}", text)
    words = f"systemd-run --quiet --collect --unit={HOLD} --uid=postgres --working-directory=/"
    pair.on(pair.primary, f"{words} sh -c '{command}'")


def end_holder(pair: Pair) -> None:
    pair.on(pair.primary, f"systemctl stop {HOLD} || true; rm -f /run/{HOLD}")


@contextmanager
def hold(pair: Pair, command: str, text: str) -> Iterator[None]:
    """Such a client until the block ends."""
    try:
        begin_holder(pair, command, text)
        yield
    finally:
        end_holder(pair)
        sql(pair, END_HOLDERS, undoes=True)  # one at work does not notice that its client has gone
