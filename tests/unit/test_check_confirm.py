"""Alarms of `check --watch`: raised only once confirmed, cleared only after as many good looks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from check_world import healthy, host, silent
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr.backups import Level
from rmc_dr.check.confirm import Key, Rule, Watch
from rmc_dr.check.seen import FileSystem, KitSeen, Load, Seen
from rmc_dr.check.watch import Eyes, News, watch
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.estate_limits import Thresholds

KEY: Key = ("appserver", "app1", "liberty-down")
OTHER: Key = ("database", "", "pair-no-primary")
LOOKS = st.lists(st.booleans(), max_size=40)
RULES = st.integers(1, 6).flatmap(lambda window: st.builds(Rule, st.integers(1, window), st.just(window)))


def play(rule: Rule, looks: list[bool]) -> tuple[Watch, list[tuple[int, str]]]:
    state, events = Watch(rule), []
    for number, bad in enumerate(looks):
        state, raised, cleared = state.after(frozenset([KEY] if bad else []), frozenset())
        events += [(number, "raised") for _key in raised] + [(number, "cleared") for _key in cleared]
    return state, events


@given(RULES, LOOKS)
def test_raised_and_cleared_take_turns(rule: Rule, looks: list[bool]) -> None:
    _state, events = play(rule, looks)
    words = [word for _number, word in events]
    assert words == ["raised", "cleared"] * (len(words) // 2) + ["raised"] * (len(words) % 2)


@given(RULES, LOOKS)
def test_nothing_is_raised_or_cleared_unconfirmed(rule: Rule, looks: list[bool]) -> None:
    _state, events = play(rule, looks)
    for number, word in events:
        last = looks[max(0, number + 1 - rule.window) : number + 1]
        if word == "raised":
            assert sum(last) >= rule.needed
        else:
            assert last == [False] * rule.window


@given(RULES, LOOKS)
def test_what_stays_bad_is_raised_and_what_stays_good_is_forgotten(rule: Rule, looks: list[bool]) -> None:
    state, _events = play(rule, [*looks, *[True] * rule.window])
    assert state.raised == {KEY}
    state, _events = play(rule, [*looks, *[False] * rule.window])
    assert state.alarms == {}


@given(RULES, LOOKS, LOOKS)
def test_troubles_do_not_meddle_with_each_other(rule: Rule, looks: list[bool], others: list[bool]) -> None:
    _state, alone = play(rule, looks)
    state, events = Watch(rule), []
    for number, bad in enumerate(looks):
        more = {OTHER} if number < len(others) and others[number] else set()
        state, raised, cleared = state.after(frozenset(({KEY} if bad else set()) | more), frozenset())
        events += [(number, "raised") for key in raised if key == KEY]
        events += [(number, "cleared") for key in cleared if key == KEY]
    assert events == alone


@given(RULES, LOOKS, st.integers(0, 20))
def test_a_host_that_was_not_seen_is_not_well_again(rule: Rule, looks: list[bool], unseen: int) -> None:
    state, _events = play(rule, [*looks, *[True] * rule.window])
    for _look in range(unseen):
        state, raised, cleared = state.after(frozenset(), frozenset({"app1"}))
        assert (raised, cleared) == ([], [])
    assert state.raised == {KEY}


@pytest.mark.parametrize(("needed", "window"), [(0, 3), (4, 3), (-1, 2)])
def test_a_rule_that_cannot_be_met_is_none(needed: int, window: int) -> None:
    with pytest.raises(ValueError, match=f"{needed} of {window}"):
        Rule(needed, window)


class Player:
    """Plays one look after another to a watch, and hears what it tells."""

    def __init__(self, *looks: Seen | Error) -> None:
        self.looks = list(looks)
        self.news: list[News] = []
        self.errors: list[Error] = []

    def look(self) -> Seen:
        found = self.looks.pop(0)
        if isinstance(found, Error):
            raise found
        return found

    def watch(self, rule: Rule) -> Watch:
        eyes = Eyes(self.look, Thresholds(), self.news.append, self.errors.append, lambda: False)
        return watch(eyes, rule, 0.0, len(self.looks))

    def told(self) -> list[tuple[list[str], list[str]]]:
        return [([one.code for one in new.raised], [one.code for one in new.cleared]) for new in self.news]


def test_a_moment_calls_nobody_and_a_fault_calls_once(estate: Estate) -> None:
    well = healthy(estate)
    bad = host(well, "app1", fence=True)
    player = Player(bad, well, well, bad, bad, bad, well, well, well)
    player.watch(Rule(2, 3))
    assert player.told() == [([], [])] * 4 + [(["users-fenced"], [])] + [([], [])] * 3 + [
        ([], ["users-fenced"])
    ]


def test_a_warning_calls_nobody(estate: Estate) -> None:
    warm = host(healthy(estate), "app1", load=Load(2, 20.0, 90.0))
    player = Player(warm, warm)
    assert player.watch(Rule(1, 1)).alarms == {}
    assert [one.level for one in player.news[0].found] == [Level.WARNING]


def test_what_grows_from_a_warning_is_told_at_its_worst(estate: Estate) -> None:
    two = (FileSystem("/", 100, 10, 1, 1), FileSystem("/srv", 100, 1, 1, 1))
    player = Player(host(healthy(estate), "app1", filesystems=two))
    player.watch(Rule(1, 1))
    (raised,) = player.news[0].raised
    assert (raised.level, raised.value) == (Level.CRITICAL, 99.0)


def test_a_host_that_dies_does_not_clear_what_it_had(estate: Estate) -> None:
    well = healthy(estate)
    full = host(well, "db2", filesystems=(FileSystem("/srv", 100, 1, 1, 1),))
    player = Player(full, silent(well, "db2"), silent(well, "db2"), well)
    player.watch(Rule(1, 1))
    assert player.told() == [
        (["disk-full"], []),
        (["host-silent"], []),
        ([], []),
        ([], ["disk-full", "host-silent"]),
    ]


def test_a_look_that_could_not_be_taken_says_nothing(estate: Estate) -> None:
    bad = replace(healthy(estate), kit=KitSeen(None, "kit-missing", "no kit"))
    player = Player(bad, Error("x", "The look failed.", "Look."), bad)
    player.watch(Rule(2, 2))
    assert player.told() == [([], []), (["kit-unusable"], [])]
    assert len(player.errors) == 1


def test_canceled_it_ends_at_once(estate: Estate) -> None:
    canceled = iter([False, True])
    news: list[News] = []
    eyes = Eyes(
        lambda: healthy(estate), Thresholds(), news.append, lambda _error: None, lambda: next(canceled, True)
    )
    watch(eyes, Rule(1, 1), 3600.0)
    assert len(news) == 1
