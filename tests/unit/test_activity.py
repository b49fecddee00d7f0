"""What PostgreSQL is asked about its sessions, and what becomes of its answers."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

import pytest

from rmc_dr.estate import Estate
from rmc_dr.observe import activity, postgres
from rmc_dr.pair import Role

ROWS: dict[str, list[dict[str, Any]]] = {
    activity.SESSIONS: [{"connections": 12, "limit": 97}],
    activity.TRANSACTIONS: [
        {"idle": False, "seconds": 4.0, "session": "pid 1, app, 198.51.100.11"},
        {"idle": True, "seconds": 700.0, "session": "pid 2, app, 198.51.100.11"},
    ],
    activity.LOCKS: [{"waiting": 3, "seconds": 40.0, "blocker": "pid 2, app, 198.51.100.11, idle"}],
    activity.WAL: [{"wal": 100, "checkpoint": 500, "slots": 1000}],
}


class Server:
    """A connection and its cursor; it answers each statement from a table."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.rows = {**ROWS, **{getattr(activity, name): found for name, found in rows.items()}}
        self.answer: list[dict[str, Any]] = []

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def cursor(self, **_options: Any) -> Server:
        return self

    def execute(self, statement: str) -> Server:
        self.answer = self.rows[statement]
        return self

    def fetchone(self) -> dict[str, Any] | None:
        return self.answer[0] if self.answer else None

    def fetchall(self) -> list[dict[str, Any]]:
        return self.answer


def observed(monkeypatch: pytest.MonkeyPatch, estate: Estate, server: Server) -> activity.Activity:
    monkeypatch.setattr(activity, "connect", lambda _estate, _host: server)
    return activity.observe_activity(estate, estate.host("db1"))


def test_sessions_transactions_locks_and_room(monkeypatch: pytest.MonkeyPatch, estate: Estate) -> None:
    seen = observed(monkeypatch, estate, Server())
    assert (seen.connections, seen.limit, seen.could_grow) == (12, 97, 1400)
    assert (seen.transaction_seconds, seen.idle_seconds, seen.waiting_seconds) == (4.0, 700.0, 40.0)
    assert (seen.transaction_of, seen.idle_of) == ("pid 1, app, 198.51.100.11", "pid 2, app, 198.51.100.11")
    assert seen.blocked_by.startswith("pid 2")


def test_a_server_at_rest(monkeypatch: pytest.MonkeyPatch, estate: Estate) -> None:
    unlimited = [{"wal": 100, "checkpoint": 500, "slots": -1}]
    seen = observed(monkeypatch, estate, Server(TRANSACTIONS=[], LOCKS=[], WAL=unlimited))
    assert (seen.transaction_seconds, seen.idle_seconds, seen.waiting, seen.could_grow) == (0.0, 0.0, 0, None)


@pytest.mark.parametrize("statement", ROWS)
def test_no_statement_of_a_client_is_read(statement: str) -> None:
    """It may hold patients' data."""
    assert not re.search(r"\bquery\b", statement)


def test_a_host_that_keeps_silent_is_not_waited_for_twice(
    monkeypatch: pytest.MonkeyPatch, estate: Estate
) -> None:
    def no_answer(_where: Any, _seconds: float) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(postgres.socket, "create_connection", no_answer)
    monkeypatch.setattr(postgres, "connect", lambda *_given: time.sleep(60))
    node = postgres.observe_node(estate, estate.host("db1"))
    assert (node.role, node.error) == (Role.UNKNOWN, "no answer within 3 s")
