"""What becomes of a watch's alarm: the incident that it opens or joins, and who is told."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from check_world import healthy, host, unit
from click.testing import CliRunner, Result

from rmc_dr import notify, response
from rmc_dr.alarm import noted
from rmc_dr.check import look as looking
from rmc_dr.check.seen import FileSystem, Seen, Unit
from rmc_dr.cli import check_watch
from rmc_dr.cli.check import check
from rmc_dr.cli.common import Context
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.history import Event
from rmc_dr.incident import record
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.told import tell
from rmc_dr.journal import NAME, Journal

Watch = Callable[..., Result]
DEAD = Unit("failed", "failed", "exit-code")
FENCED, FULL = {"fence": True}, {"filesystems": (FileSystem("/srv", 100, 1, 10, 9),)}


class Sent:
    """What was sent directly, title and text."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []

    def unreached(self, _addresses: Any, title: str, text: str) -> None:
        self.news.append((title, text))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(notify, "unreached", sent.unreached)
    return sent


@pytest.fixture
def watch(ours: Estate, monkeypatch: pytest.MonkeyPatch, sent: Sent) -> Watch:
    """The command with these looks, one after another; each look is confirmed at once."""
    monkeypatch.setattr(Context, "estate", lambda _self: ours)

    def call(*looks: Seen | Callable[[], Seen], words: tuple[str, ...] = ()) -> Result:
        waiting = list(looks)

        def look(_estate: Estate) -> Seen:
            found = waiting.pop(0)
            return found() if callable(found) else found

        monkeypatch.setattr(looking, "look", look)
        given = ["--watch", "--every", "1", "--confirm", "1/1", "--looks", str(len(looks)), *words]
        monkeypatch.setattr("rmc_dr.check.watch._wait", lambda _canceled, _until: None)
        return CliRunner().invoke(check, given, obj=Context(), standalone_mode=False)

    return call


@pytest.fixture
def well(ours: Estate) -> Seen:
    return healthy(ours)


@pytest.fixture
def dead(well: Seen) -> Seen:
    return unit(well, "app1", "liberty.service", DEAD)


def opened(estate: Estate) -> IncidentState:
    state = record.open_incident(estate.name)
    assert state is not None
    return state


def alarms(state: IncidentState) -> list[tuple[Any, Any]]:
    return [(event.get("code"), event.get("state")) for event in state.attached("alarm")]


def kinds(state: IncidentState) -> list[Any]:
    return [notice.get("kind") for notice in state.notices]


def test_an_alarm_opens_an_incident_whose_outbox_tells_it(
    watch: Watch, ours: Estate, dead: Seen, sent: Sent, carried: list[str]
) -> None:
    done = watch(dead, dead)
    state = opened(ours)
    assert done.output.splitlines() == [
        "Something is wrong with lab, confirmed:",
        "liberty-down: liberty.service on app1 does not run (failed, exit-code)",
        f"Incident {state.incident} is open.",
    ]
    assert (state.findings, state.counts_as) == (("application-stopped",), "critical")
    assert (alarms(state), kinds(state)) == ([("liberty-down", "raised")], ["opened"])
    assert "Report it to " in str(state.notices[0].get("text"))
    assert "liberty-down (app1)" in state.title
    assert sent.news == [], "the incident tells it, and goes on until it is heard"
    assert carried == [str(ours.inventory)]


def test_what_is_no_fault_for_users_is_sent_under_a_title_of_its_own(
    watch: Watch, ours: Estate, well: Seen, sent: Sent
) -> None:
    full = host(well, "app1", **FULL)
    done = watch(full, full, well)
    assert done.return_value == 0
    assert done.output.splitlines() == [
        "Something is wrong with lab, confirmed:",
        "disk-full: the disk /srv of app1 is 99% full, 1 B are left",
        "Over at lab, confirmed:",
        "disk-full: the disk /srv of app1 is 99% full, 1 B are left",
    ]
    titles = [title.partition(": ")[2] for title, _text in sent.news]
    assert titles == ["ALARM, somebody is needed", "an alarm is over"]
    assert "disk-full: the disk /srv of app1" in sent.news[0][1]
    assert record.open_incident(ours.name) is None


def test_an_open_incident_is_joined_classed_and_told(
    watch: Watch, ours: Estate, dead: Seen, well: Seen, sent: Sent
) -> None:
    before = response.start(ours, "the pages are slow", ["image-not-shown"])
    watch(host(dead, "app1", **FULL), well)
    state = opened(ours)
    assert state.incident == before.incident
    assert state.findings == ("image-not-shown", "application-stopped")
    assert alarms(state) == [
        ("disk-full", "raised"), ("liberty-down", "raised"), ("disk-full", "over"), ("liberty-down", "over"),
    ]  # fmt: skip
    assert kinds(state) == ["opened", "classified", "watch"]
    assert str(state.notices[-1].get("title")).endswith(
        ": Alarm is over: disk-full (app1), liberty-down (app1)"
    )
    assert state.open, "a person closes it"
    assert sent.news == []


def test_what_changes_no_class_is_told_as_an_alarm(
    watch: Watch, ours: Estate, well: Seen, sent: Sent
) -> None:
    response.start(ours, "x", ["image-not-shown"])
    watch(host(well, "app1", **FULL))
    assert kinds(opened(ours)) == ["opened", "watch"]
    assert str(opened(ours).notices[-1].get("title")).endswith(": Alarm: disk-full (app1)")
    assert sent.news == []


def test_a_watch_that_was_killed_opens_no_second_one_and_ends_the_first_ones_alarm(
    watch: Watch, ours: Estate, dead: Seen, well: Seen, sent: Sent
) -> None:
    watch(dead)
    done = watch(dead, dead)
    assert (done.output, done.return_value) == ("", 1), "it knows the alarm, which stands"
    (one,) = record.incidents()
    assert alarms(one.state) == [("liberty-down", "raised")]
    assert kinds(one.state) == ["opened"]
    watch(dead, well)
    assert alarms(opened(ours)) == [("liberty-down", "raised"), ("liberty-down", "over")]
    assert sent.news == []


def test_one_that_a_person_closed_is_not_opened_again_for_the_same_alarm(
    watch: Watch, ours: Estate, dead: Seen, well: Seen, sent: Sent
) -> None:
    def closed() -> Seen:
        response.close(ours, "known; Liberty is being moved")
        return dead

    watch(dead, closed, dead, well, dead)
    found = list(record.incidents())
    assert sorted(one.state.open for one in found) == [False, True], "it was over in between"
    assert len(sent.news) == 1, "its end, of which no incident tells"


def test_users_kept_out_on_purpose_are_no_fault_until_they_are_let_in(
    watch: Watch, ours: Estate, dead: Seen, sent: Sent
) -> None:
    stopped = host(dead, "app1", **FENCED)
    watch(stopped, stopped)
    assert record.open_incident(ours.name) is None
    assert "liberty-down" in sent.news[0][1]
    watch(stopped, stopped, dead)
    assert opened(ours).findings == ("application-stopped",)


def broken_record(estate: Estate) -> None:
    state = response.start(estate, "x", ["image-not-shown"])
    journal = record.folder_of(state.incident) / NAME
    journal.write_bytes(b"not a line\n" + journal.read_bytes())


def test_a_damaged_record_loses_no_alarm(watch: Watch, ours: Estate, dead: Seen, sent: Sent) -> None:
    broken_record(ours)
    done = watch(dead, dead)
    assert done.return_value == 1
    assert done.stdout.startswith("Something is wrong with lab, confirmed:\nliberty-down")
    assert done.stderr.count("The incident could not be written: ") == 1, "once, not at each look"
    ((_title, text),) = sent.news
    assert "liberty-down" in text
    assert "is damaged" in text


def full_disk(*_words: Any, **_more: Any) -> Event:
    raise Error("journal-unwritable", "The record cannot be written: No space left on device.", "Make room.")


def test_on_a_full_disk_the_alarm_is_sent_and_the_incident_opened_once_there_is_room(
    watch: Watch, ours: Estate, dead: Seen, sent: Sent, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    good = Journal.append

    def room() -> Seen:
        assert list((state / "incidents").iterdir()) == [], "no folder is left behind at each look"
        monkeypatch.setattr(Journal, "append", good)
        return dead

    monkeypatch.setattr(Journal, "append", full_disk)
    watch(dead, dead, room)
    assert len(sent.news) == 1
    assert alarms(opened(ours)) == [("liberty-down", "raised")]


def test_one_that_broke_off_after_its_opening_is_finished_by_the_next_look(
    watch: Watch, ours: Estate, dead: Seen, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, lines = Journal.append, []

    def append(self: Journal, event: str, **fields: Any) -> Event:
        lines.append(event)
        return full_disk() if len(lines) == 2 else good(self, event, **fields)

    monkeypatch.setattr(Journal, "append", append)
    watch(dead, dead)
    state = opened(ours)
    assert (state.findings, alarms(state)) == (("application-stopped",), [("liberty-down", "raised")])
    assert len(sent.news) == 1


def test_a_textfile_and_a_terminal_that_take_nothing_cost_no_alarm(
    watch: Watch, ours: Estate, dead: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(check_watch, "_print", refuse)
    done = watch(dead, dead, words=("--textfile", str(tmp_path / "no-such" / "check.prom")))
    assert done.return_value == 1
    assert alarms(opened(ours)) == [("liberty-down", "raised")]
    assert done.stderr.count("check.prom could not be written") == 1
    assert done.stderr.count("could not be printed: No space left on device") == 1


def test_machines_read_which_incident_it_is(watch: Watch, ours: Estate, dead: Seen) -> None:
    done = watch(dead, words=("--json",))
    (event,) = [json.loads(line) for line in done.output.splitlines()]
    assert (event["event"], event["code"], event["host"]) == ("raised", "liberty-down", "app1")
    assert event["incident"] == opened(ours).incident


def test_an_alarm_is_a_line_of_the_incidents_course(
    watch: Watch, ours: Estate, dead: Seen, well: Seen
) -> None:
    watch(dead, well)
    told = [tell(event) for event in opened(ours).attached("alarm")]
    assert told == ["alarm: liberty-down (app1)", "alarm is over: liberty-down (app1)"]
    assert noted(opened(ours)) == {}
