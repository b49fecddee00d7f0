"""News really sent: to a mail server, to a webhook, to nobody; and who may read the addresses."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receivers import TOKEN, dead, mail_server, silent_server, webhook
from test_incident_clocks import incident

from rmc_dr import content, locks, notify, outbox
from rmc_dr.history import Event
from rmc_dr.incident import record
from rmc_dr.incident.history import IncidentState
from rmc_dr.journal import NAME

START = datetime(2026, 11, 25, 2, tzinfo=UTC)


def test_a_mail_arrives_as_it_was_written() -> None:
    with mail_server() as box:
        assert notify.send(box.address, "中心: 事件已登记", "第一行\n- second {braces} & <signs>")
    (mail,) = box.mails
    assert mail["Subject"] == "中心: 事件已登记"
    assert mail["To"] == "night@hospital.example"
    said = mail.get_body(("plain",))
    assert said is not None
    assert "第一行\n- second {braces} & <signs>" in said.get_content().replace("\r\n", "\n")


def test_a_webhook_gets_title_and_text() -> None:
    with webhook() as hook:
        assert notify.send(hook.address, "title", "one\ntwo")
    assert [(said["title"], said["message"]) for said in hook.said] == [("title", "one\ntwo")]


def test_who_does_not_take_it_is_said_and_nothing_of_his_address(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with webhook() as hook, caplog.at_level(logging.DEBUG):
        hook.answers = 500
        taken = notify.send_all([hook.address, dead(), "no address at all", f"nothing://{TOKEN}"], "t", "x")
    assert taken == {"1-json": False, "2-json": False, "3-unknown": False, "4-nothing": False}
    shown = "".join((caplog.text, *capfd.readouterr()))
    assert TOKEN not in shown
    assert "no address at all" not in shown


def test_a_receiver_that_says_nothing_is_given_up_on() -> None:
    with silent_server() as address:
        began = time.monotonic()
        assert not notify.send(address, "t", "x")
        assert time.monotonic() - began < notify.TIMEOUT_SECONDS + 5


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("wecombot://0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0", "wecombot"),
        ("dingtalk://secretsecret@abcdefabcdef0123456789/", "dingtalk"),
        ("feishu://abcdefab-cdef-0123-4567-89abcdef0123", "feishu"),
        ("mailtos://user:password@mail.hospital.example", "mailtos"),
        ("jsons://gateway.hospital.example/sms", "jsons"),
    ],
)
def test_the_receivers_that_the_page_shows_are_known(address: str, kind: str) -> None:
    assert notify.is_understood(address)
    assert list(notify.labels([address])) == [f"1-{kind}"]
    assert address in (content.root() / "docs/runbooks/incident.md").read_text()


def told(*later: tuple[float, str, int, str]) -> IncidentState:
    """An incident with two pieces of news (2 and 3), and how it went: seconds, event, news, to."""
    state = incident(opened="2026-11-25T10:00")
    events = [
        Event(2, START, 1.0, "notice", {"kind": "opened", "title": "one", "text": "x"}),
        Event(3, START + timedelta(seconds=1), 1.0, "notice", {"kind": "alarm", "title": "two", "text": "x"}),
    ]
    events += [
        Event(4 + n, START + timedelta(seconds=seconds), 1.0, event, {"notice": news, "to": to})
        for n, (seconds, event, news, to) in enumerate(later)
    ]
    for event in events:
        state = state.after(event)
    return state


def waiting(state: IncidentState, seconds: float) -> list[tuple[str, int, float]]:
    parcels = outbox.waiting(state, ["a", "b"], START + timedelta(seconds=seconds))
    return [(one.to, one.notice.seq, (one.at - START).total_seconds()) for one in parcels]


def test_each_receiver_gets_each_piece_of_news_once() -> None:
    assert waiting(told(), 2) == [("a", 2, 0), ("a", 3, 1), ("b", 2, 0), ("b", 3, 1)]
    sent = [(2.0, "notice-sent", 2, "a"), (3.0, "notice-failed", 2, "b"), (4.0, "notice-sent", 3, "b")]
    assert waiting(told(*sent), 5) == [("a", 3, 1), ("b", 2, 13)]


def test_who_fails_is_asked_more_and_more_seldom_and_after_a_day_no_more() -> None:
    waits = [outbox.wait(n).total_seconds() for n in range(1, 9)]
    assert waits == [10, 40, 160, 640, 2560, 3600, 3600, 3600]
    assert waiting(told((2.0, "notice-failed", 2, "a"), (12.0, "notice-failed", 2, "a")), 13)[0] == (
        "a",
        2,
        52,
    )
    assert waiting(told(), 25 * 3600) == []


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_the_waits_grow_and_have_an_end(failures: int, more: int) -> None:
    assert outbox.wait(failures) <= outbox.wait(failures + more) <= outbox.LONGEST_WAIT


@pytest.fixture
def kept(state: Path) -> str:
    """An incident on the disk with one piece of news."""
    first = incident().events[0].fields
    about = {name: value for name, value in first.items() if name not in ("incident", "estate")}
    name = record.create("lab", (), about)
    record.append(name, (), "notice", kind="opened", title="one", text="x")
    return name


def deliveries(name: str) -> list[tuple[str, str, int]]:
    return [(one.event, one.get("to"), one.get("attempt")) for one in record.read(name).deliveries]


def test_a_dead_receiver_keeps_nothing_from_a_living_one(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LOOK_SECONDS", 0.01)
    with webhook() as hook:
        outbox.deliver("lab", [dead(), hook.address], patience=0)
        assert hook.titles == ["one"]
        assert sorted(deliveries(kept)) == [("notice-failed", "1-json", 1), ("notice-sent", "2-json", 1)]
        outbox.deliver("lab", [dead(), hook.address], patience=0)
        assert hook.titles == ["one"], "what arrived is not sent again"
    assert TOKEN not in (record.folder_of(kept) / NAME).read_text()


def test_it_is_tried_again_until_it_arrives(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "FIRST_WAIT", timedelta(seconds=0.1))
    with webhook() as hook:
        hook.answers = 503

        def mend(_seconds: float) -> None:
            hook.answers = 200 if hook.asked >= 2 else 503
            time.monotonic()

        monkeypatch.setattr(outbox.time, "sleep", mend)
        outbox.deliver("lab", [hook.address], patience=5)
        assert hook.titles == ["one"]
    assert deliveries(kept) == [
        ("notice-failed", "1-json", 1), ("notice-failed", "1-json", 2), ("notice-sent", "1-json", 3),
    ]  # fmt: skip


def test_what_comes_while_it_carries_is_carried_too(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    more = iter(["two", "three"])

    def sleep(_seconds: float) -> None:
        if (title := next(more, None)) is not None:
            record.append(kept, (), "notice", kind="alarm", title=title, text="x")

    monkeypatch.setattr(outbox.time, "sleep", sleep)
    with webhook() as hook:
        outbox.deliver("lab", [hook.address], patience=0)
        assert hook.titles == ["one", "two", "three"]


def test_only_one_process_carries(kept: str) -> None:
    with locks.only_one(content.STATE / "locks" / "notify-lab.lock", "x", "{pid}"), webhook() as hook:
        outbox.deliver("lab", [hook.address], patience=0)
        assert hook.said == []


def test_news_of_another_estate_is_left_alone(kept: str) -> None:
    with webhook() as hook:
        outbox.deliver("elsewhere", [hook.address], patience=0)
        assert hook.said == []


def test_news_of_an_incident_long_closed_is_no_news(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record.append(kept, (), "incident-closed", cause="x", operator="root")
    assert len(outbox._due("lab", ["a"], 0)) == 1
    monkeypatch.setattr(outbox, "STALE", timedelta(0))
    assert outbox._due("lab", ["a"], 0) == []


def test_nobody_named_is_no_work(kept: str) -> None:
    outbox.deliver("lab", [], patience=0)
    assert notify.send_all([], "t", "x") == {}
    assert deliveries(kept) == []
