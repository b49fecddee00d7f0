"""Two commands at once on one incident: what is decided by its record and what is written are one step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rmc_dr import response
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.incident import record

CRITICAL = ("application-stopped",)


def events(incident: str) -> list[str]:
    return [event.event for event in record.read(incident).events]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs calls at once: each has seen the open incident before the first may write. Returns refusals."""

    def run(*calls: Callable[[], Any]) -> list[str]:
        gate, real, codes = threading.Barrier(len(calls)), record.open_incident, []

        def seen(estate: str) -> Any:
            found = real(estate)
            gate.wait(5)
            return found

        def one(call: Callable[[], Any]) -> None:
            try:
                call()
            except Error as error:
                codes.append(error.code)

        with monkeypatch.context() as patched:
            once = threading.local()

            def first_look(estate: str) -> Any:
                if getattr(once, "done", False):
                    return real(estate)
                once.done = True
                return seen(estate)

            patched.setattr(record, "open_incident", first_look)
            threads = [threading.Thread(target=one, args=(call,)) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        return codes

    return run


def test_of_two_that_close_it_one_does(ours: Estate, together: Callable[..., list[str]]) -> None:
    incident = response.start(ours, "x", CRITICAL).incident
    codes = together(lambda: response.close(ours, "one"), lambda: response.close(ours, "two"))
    assert codes == ["no-incident"]
    said = events(incident)
    assert (said.count("incident-closed"), said.count("milestone"), said.count("notice")) == (1, 1, 2)


def test_of_two_that_watch_one_tells(ours: Estate, together: Callable[..., list[str]]) -> None:
    noticed = datetime.now(UTC) - timedelta(days=300)
    incident = response.start(ours, "x", CRITICAL, noticed=noticed).incident
    assert together(lambda: response.watch(ours), lambda: response.watch(ours)) == []
    told = [
        event.fields["clock"] for event in record.read(incident).events if event.event == "clock-breached"
    ]
    assert told
    assert len(told) == len(set(told))


def test_nothing_is_reached_behind_the_closing(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    incident, real = response.start(ours, "x", CRITICAL).incident, record.open_incident

    def closed_meanwhile(estate: str) -> Any:
        found = real(estate)
        monkeypatch.setattr(record, "open_incident", real)
        response.close(ours, "cause")
        return found

    monkeypatch.setattr(record, "open_incident", closed_meanwhile)
    with pytest.raises(Error) as refused:
        response.note(ours, "it runs", "running")
    assert refused.value.code == "no-incident"
    assert events(incident)[-2:] == ["incident-closed", "notice"]


def test_two_equal_findings_are_one_piece_of_news(ours: Estate, together: Callable[..., list[str]]) -> None:
    incident = response.start(ours, "x", ("image-not-shown",)).incident
    before = events(incident).count("notice")
    assert together(*[lambda: response.classify(ours, CRITICAL)] * 2) == []
    assert events(incident).count("notice") == before + 1


def test_the_lock_is_held_over_decision_and_lines(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    response.start(ours, "x", CRITICAL)
    held, real = [], record.held

    @contextmanager
    def counted(*words: Any) -> Any:
        with real(*words) as journal:
            held.append(len(record.read(words[0]).events))
            yield journal

    monkeypatch.setattr(record, "held", counted)
    response.close(ours, "cause")
    assert len(held) == 1
