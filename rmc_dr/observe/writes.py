"""Watches which database host takes writes, and since when, by small writes of its own.

Each is a transactional WAL message: it commits like any write, waits for the synchronous standby like any
write, and changes no table.
"""

from __future__ import annotations

import time
from typing import Any, LiteralString

import psycopg

from rmc_dr.estate import Host
from rmc_dr.observe.postgres import connect
from rmc_dr.observe.vigil import Vigil

WRITE: LiteralString = "select pg_logical_emit_message(true, 'rmc-dr', 'who takes writes?')"
PAUSE_SECONDS = 0.05


class Writes(Vigil):
    """Watches every database host from here for as long as the block lasts. Times are of the steady clock."""

    GROUP = "dbserver"

    def last(self, name: str, before: float = float("inf")) -> float | None:
        """When the host last confirmed a write before that moment; None where it confirmed none."""
        return max((moment for moment in list(self._moments[name]) if moment < before), default=None)

    def first(self, name: str, after: float = 0.0) -> float | None:
        """When the host first confirmed a write after that moment; None where it has not yet."""
        return min((moment for moment in list(self._moments[name]) if moment > after), default=None)

    def gap(self, before: str, after: str) -> float | None:
        """Seconds from the last write that one host confirmed to the first of the other behind it."""
        ended = self.last(before)
        began = None if ended is None else self.first(after, ended)
        return None if ended is None or began is None else began - ended

    def _watch(self, host: Host) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            try:
                with connect(self._estate, host, "rmc-dr writes") as connection:
                    self._write_on(connection, self._moments[host.name])
            except psycopg.Error:
                continue

    def _write_on(self, connection: psycopg.Connection[Any], taken: list[float]) -> None:
        """A wait for the standby that was cut short ends in a warning; such a write does not count."""
        warned: list[psycopg.errors.Diagnostic] = []
        connection.add_notice_handler(warned.append)
        while not self._over.wait(PAUSE_SECONDS):
            connection.execute(WRITE)
            if not warned:
                taken.append(time.monotonic())
            warned.clear()
