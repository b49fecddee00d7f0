"""One command at a time: what it is named by, on this machine and on the primary."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content, exclusive, record
from rmc_dr.errors import Locked, Refused
from rmc_dr.model import Plan, Request
from rmc_dr.observe import postgres
from rmc_dr.pair import Role
from rmc_dr.rebuild import RULES

POSTGRESQL_CUTS_AT = 63


@given(what=st.text(max_size=80))
def test_no_two_calls_share_a_name(what: str):
    """Two control machines that deploy one release are two: the one must not take the other for its own."""
    names = {exclusive.lock_name(what) for _call in range(20)}
    assert len(names) == 20
    assert all(len(f"{postgres.SESSION}{name}".encode()) <= POSTGRESQL_CUTS_AT for name in names)
    assert all(name.isascii() and not set(name) & set(" \t\n'\"") for name in names)


@pytest.mark.parametrize("plan", RULES)
def test_postgresql_tells_every_run_from_another(state, plan: str):
    journal = record.Journal.create(
        Plan(plan, "app1", ()), Request(plan, "app1"), estate="lab", operator="me"
    )
    assert len(f"{postgres.SESSION}{journal.run_id}") <= POSTGRESQL_CUTS_AT


def test_a_name_that_postgresql_would_cut_is_a_defect(estate):
    with pytest.raises(ValueError, match="too long"), postgres.hold_estate_lock(estate, "x" * 64):
        pass


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What was asked of the primary's lock, which is stood in for."""
    asked: list[tuple[str, str | None]] = []

    class Hold:
        def __init__(self, _estate, name, break_lock=None) -> None:
            asked.append((name, break_lock))

        def __enter__(self):
            return lambda: True

        def __exit__(self, *_end) -> None:
            pass

    monkeypatch.setattr(exclusive, "hold_estate_lock", Hold)
    return asked


def test_both_locks_bear_the_same_name(estate, state, held):
    with exclusive.alone(estate, "deploy management 1.1.0", "theirs-1") as keep:
        assert keep()
        with pytest.raises(Locked) as locked, record.local_lock(estate.name, "another"):
            pass
    ((name, broken),) = held
    assert name.startswith("deploy-management-1.1.0-")
    assert name in locked.value.message
    assert broken == "theirs-1"


def test_an_open_run_comes_first(estate, state, held, monkeypatch):
    monkeypatch.setattr(exclusive, "open_run", lambda _estate: SimpleNamespace(run_id="a-run"))
    with pytest.raises(Refused) as refused, exclusive.alone(estate, "deploy"):
        pass
    assert "rmc-dr runs abandon a-run --reason" in refused.value.hint
    assert held == []


class Dies:
    """A connection whose server goes away at the given call."""

    def __init__(self, call: int) -> None:
        self.calls = call

    def execute(self, *_words):
        self.calls -= 1
        if self.calls < 0:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return SimpleNamespace(fetchone=lambda: (False,))

    def cursor(self, **_options):
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_primary_that_dies_meanwhile_holds_nothing(estate, monkeypatch, call: int):
    monkeypatch.setattr(
        postgres, "observe_node", lambda _estate, host: SimpleNamespace(role=roles[host.name])
    )
    monkeypatch.setattr(postgres, "connect", lambda *_words: Dies(call))
    roles = {"db1": Role.PRIMARY, "db2": Role.STANDBY}
    with postgres.hold_estate_lock(estate, "run-1") as keep:
        assert not keep()


def test_a_primary_that_refuses_the_connection_holds_nothing(estate, monkeypatch):
    def refuse(*_words):
        raise psycopg.OperationalError("the database system is shutting down")

    monkeypatch.setattr(postgres, "observe_node", lambda *_words: SimpleNamespace(role=Role.PRIMARY))
    monkeypatch.setattr(postgres, "connect", refuse)
    monkeypatch.setattr(estate.__class__, "group", lambda *_words: [estate.host("db1")])
    with postgres.hold_estate_lock(estate, "run-1") as keep:
        assert not keep()


def test_a_free_lock_is_known_without_taking_it(state):
    assert record.is_free("lab")
    with record.local_lock("lab", "run-1"):
        assert not record.is_free("lab")
    assert record.is_free("lab")
    assert list((content.STATE / "locks").iterdir()) == [content.STATE / "locks" / "lab.lock"]
