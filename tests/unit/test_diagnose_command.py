"""`rmc-dr diagnose` as an engineer reads it, what it attaches, and what --fix carries out or refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from check_world import healthy
from diagnose_run import Run, World, run, world
from diagnose_world import APP, NOT_READY, WORLDS, well

from rmc_dr import diagnosis, response
from rmc_dr.check.seen import Answer, HostSeen
from rmc_dr.diagnose.tree import trees, walk
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate, Secrets
from rmc_dr.incident import record

__all__ = ["run", "world"]  # pytest finds them here


def test_a_healthy_estate(run: Run, world: World) -> None:
    done = run("login")
    assert done.return_value == 0
    assert done.output.startswith(
        "1. Does the application server answer?\n   seen: app1 answers over SSH\n   -> system\n"
    )
    assert "nothing is wrong on this way" in done.output
    assert "incident" not in done.output


def test_a_finding_says_what_is_proved_and_what_to_type(run: Run, world: World) -> None:
    world.are("datasource-password")
    done = run("db-timeout")
    assert done.return_value == 1
    for words in (
        "the password of management is not the estate's",
        "Finding: the datasource has another password than the estate (datasource-wrong)",
        "Class: critical",
        "rmc-dr diagnose db-timeout --fix",
        'No incident is open. To open one: rmc-dr incident open "..." --finding datasource-wrong',
    ):
        assert words in " ".join(done.output.split()), done.output


@pytest.mark.parametrize("leaf", WORLDS)
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_leaf_can_be_told_in_both_languages(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, leaf: str, language: str
) -> None:
    monkeypatch.setenv("RMC_DR_LANG", language)
    world.are(leaf)
    done = run(WORLDS[leaf][0], "--json")
    assert done.exception is None, done.exception
    document = json.loads(done.output)
    assert (document["leaf"], document["healthy"]) == (leaf, leaf == "healthy")
    known = trees().leaves[leaf]
    assert document["is"] == (known.what.zh if language == "zh_CN" else known.what.en)
    assert "{" not in document["command"]


def test_an_open_incident_is_told_once_and_nothing_that_was_read_on_a_host(
    run: Run, world: World, ours: Estate
) -> None:
    incident = response.start(ours, "nobody can log in", ()).incident
    world.are("memory-heap")
    run("appserver")
    done = run("appserver")
    state = record.read(incident)
    assert state.findings == ("memory-exhausted",)
    attached = [event for event in state.events if event.event == "attached"]
    assert [(event.get("leaf"), event.get("tree")) for event in attached] == [
        ("memory-heap", "appserver")
    ] * 2
    assert "server=system, disk=room, fence=open, liberty=dead" in attached[0].get("way")
    assert "OutOfMemoryError" not in json.dumps([event.fields for event in state.events], default=str)
    assert f"Noted in the incident {incident}." in done.output


def test_an_incident_that_cannot_be_written_stops_no_diagnosis(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_estate: str) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(diagnosis, "open_incident", broken)
    assert run("login").return_value == 0


@pytest.mark.parametrize(
    ("leaf", "did"),
    [
        ("hung-deadlock", ("restart", {"writes": True, "skip_preserve": None, "reconfigure": False})),
        ("application-stale", ("restart", {"writes": True, "skip_preserve": None, "reconfigure": False})),
        ("datasource-password", ("restart", {"writes": True, "skip_preserve": None, "reconfigure": True})),
        ("heap-setting", ("restart", {"writes": True, "skip_preserve": None, "reconfigure": True})),
    ],
)
def test_a_mend_is_carried_out_and_walked_again(
    run: Run, world: World, leaf: str, did: tuple[str, dict[str, Any]]
) -> None:
    world.are(leaf, "liberty-starting", "healthy")
    done = run(WORLDS[leaf][0], "--fix", "--yes")
    assert done.return_value == 0, done.output
    assert world.did == [did]
    assert done.output.count("1. Does the application server answer?") == 2


def test_a_mend_that_does_not_help_says_so(run: Run, world: World) -> None:
    world.are("application-stale")
    assert run("login", "--fix", "--yes").return_value == 1
    assert len(world.did) == 1


@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        ("healthy", "nothing-to-mend"),
        ("unknown-datasource", "not-known"),
        ("liberty-starting", "mends-itself"),
        ("network-cut", "by-hand"),
        ("server-silent", "by-rebuild"),
        ("system-broken", "by-rebuild"),
    ],
)
def test_what_the_leaf_does_not_allow_is_refused(run: Run, world: World, leaf: str, code: str) -> None:
    world.are(leaf)
    for words in (("--fix", "--yes"), ("--plan",)):
        error = run(WORLDS[leaf][0], *words).exception
        assert isinstance(error, Refused)
        assert error.code == code
        assert error.hint
    assert world.did == []


def test_a_rebuild_is_only_named(run: Run, world: World) -> None:
    world.are("server-silent")
    assert "rmc-dr rebuild appserver app1" in run("appserver").output


def test_a_plan_changes_nothing(run: Run, world: World) -> None:
    world.are("liberty-dead")
    done = run("appserver", "--fix", "--plan")
    assert done.return_value == 1
    assert "Stop the applications" in done.output
    assert world.did == []


def test_a_mend_is_confirmed(run: Run, world: World) -> None:
    world.are("liberty-dead")
    error = run("appserver", "--fix").exception
    assert isinstance(error, Error)
    assert error.code == "not-confirmed"
    assert world.did == []


def test_json_lines_with_fix(run: Run, world: World) -> None:
    world.are("liberty-dead", "healthy")
    done = run("appserver", "--fix", "--yes", "--json")
    events = [json.loads(line) for line in done.output.splitlines()]
    assert [(event["event"], event.get("leaf")) for event in events] == [
        ("diagnosis", "liberty-dead"),
        ("plan", None),
        ("diagnosis", "healthy"),
    ]


@pytest.mark.parametrize(
    ("host", "code"), [("db1", "wrong-group"), ("nobody", "no-host"), ("a b", "odd-name")]
)
def test_a_host_that_is_none_is_refused(run: Run, world: World, host: str, code: str) -> None:
    error = run("login", "--host", host).exception
    assert isinstance(error, Error), error
    assert int(error.exit_code) == 2


def test_a_look_that_fails_is_named_and_hides_no_other(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def inside(_estate: Estate, _host: Any, *, threads: bool) -> Any:
        asked["threads"] = threads
        return well(estate).inside

    def broken(*_words: Any) -> Any:
        raise OSError("no \n way")

    monkeypatch.setattr(diagnosis, "look_at_all", healthy)
    monkeypatch.setattr(diagnosis, "observe_inside", inside)
    monkeypatch.setattr(diagnosis, "observe_sources", broken)
    monkeypatch.setattr(diagnosis, "observe_sessions", broken)
    monkeypatch.setattr(diagnosis, "observe_activity", lambda *_words: well(estate).later)
    monkeypatch.setattr(Estate, "opened", lambda _self: Secrets({}))
    sight = diagnosis.look(estate, estate.host(APP))
    assert sight.sources is None
    assert sight.errors == {"sources": "no way", "sessions": "no way"}
    assert asked == {"threads": False}  # users log in: Java is left alone
    found = walk("db-timeout", sight)
    assert (found.leaf, found.steps[-1].seen) == (
        "unknown-datasource",
        "could not be looked at: sources: no way",
    )


def test_threads_are_asked_for_where_users_cannot_log_in(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = NOT_READY(well(estate)).seen
    assert diagnosis._well(healthy(estate), APP)
    assert not diagnosis._well(seen, APP)


def test_a_silent_server_is_not_asked_again(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its looks would only cost another timeout."""

    def silent(_estate: Estate) -> Any:
        seen = healthy(estate)
        return type(seen)(**{**seen.__dict__, "hosts": {**seen.hosts, APP: HostSeen(APP, Answer.SILENT)}})

    monkeypatch.setattr(diagnosis, "look_at_all", silent)
    monkeypatch.setattr(diagnosis, "observe_sessions", lambda *_words: well(estate).sessions)
    monkeypatch.setattr(diagnosis, "observe_activity", lambda *_words: well(estate).later)
    sight = diagnosis.look(estate, estate.host(APP))
    assert (sight.inside, sight.sources) == (None, None)
    assert sight.errors["inside"] == "the host does not answer"
