"""Journeys: what a step may do, what an answer must be, and that nothing secret is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from rmc_dr import journey
from rmc_dr.errors import BadInput
from rmc_dr.estate import Application, Estate, Host, Secrets
from rmc_dr.https import Https

TOKEN = "a-token-nobody-may-see"
PASSWORD = "a-password-nobody-may-see"
Handler = Callable[[httpx.Request], httpx.Response]


def application(*steps: dict[str, Any], test_patient: str | None = None) -> Application:
    return Application(
        name="management",
        release="1.0.0",
        context_root="/management",
        database="management",
        journey=list(steps),
        test_patient=test_patient,
    )


def step(**keys: Any) -> journey.Step:
    return journey.Step.model_validate({"get": "/management/x", **keys})


@pytest.fixture
def opened(estate: Estate) -> Estate:
    who = {"user": "journey", "password": PASSWORD}
    return replace(estate, secrets=Secrets({"apps": {"management": {"journey": who}}}))


@pytest.fixture
def host(estate: Estate) -> Host:
    return estate.host("app1")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], None]:
    """Answer requests by a function in place of a host."""

    def install(handler: Handler) -> None:
        def make(self: Https, estate: Estate, host: Host, port: int, timeout: float, through: Any) -> None:
            self._host = host
            self._client = httpx.Client(base_url="https://test", transport=httpx.MockTransport(handler))

        monkeypatch.setattr(Https, "__init__", make)

    return install


def serve(request: httpx.Request) -> httpx.Response:
    """A small application: health, login, a list for who logged in."""
    match request.url.path:
        case "/management/api/health":
            return httpx.Response(200, json={"database": "up", "uptime": 3})
        case "/management/api/login":
            good = json.loads(request.content) == {"user": "journey", "password": PASSWORD}
            return httpx.Response(200, json={"token": TOKEN}) if good else httpx.Response(401)
        case "/management/api/patients":
            known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
            return httpx.Response(200, json=[]) if known else httpx.Response(401)
    return httpx.Response(404)


HEALTH = {"get": "/management/api/health", "json": {"database": "up"}}
LOGIN = {"post": "/management/api/login", "secret": "journey", "save": "token"}
PATIENTS = {"get": "/management/api/patients", "auth": "token", "json_type": "list"}


def test_the_labs_own_journeys_can_be_read(estate: Estate) -> None:
    for app in estate.config.applications.apps:
        assert len(journey.read_steps(app)) == len(app.journey)


def test_a_journey_passes(opened: Estate, host: Host, answers: Callable[[Handler], None]) -> None:
    answers(serve)
    checks = journey.travel(opened, host, application(HEALTH, LOGIN, PATIENTS))
    assert [check.passed for check in checks] == [True, True, True]
    assert checks[1].name == "journey management 2/3: POST /management/api/login"


def test_after_a_failure_the_rest_is_not_tried(
    opened: Estate, host: Host, answers: Callable[[Handler], None]
) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(503, json={"database": "down"})

    answers(handler)
    checks = journey.travel(opened, host, application(HEALTH, LOGIN, PATIENTS))
    assert [check.passed for check in checks] == [False, False, False]
    assert asked == ["/management/api/health"]
    assert checks[0].detail == "answered 503 instead of 200"


def test_a_silent_host_is_a_failed_check(
    opened: Estate, host: Host, answers: Callable[[Handler], None]
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("timed out")

    answers(handler)
    (check,) = journey.travel(opened, host, application(HEALTH))
    assert (check.passed, check.detail) == (False, "no answer: timed out")


def test_the_host_is_asked_by_name(opened: Estate, host: Host, answers: Callable[[Handler], None]) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["Host"], request.extensions["sni_hostname"]))
        return serve(request)

    answers(handler)
    journey.travel(opened, host, application(HEALTH))
    assert seen == [("app1", "app1")]


def test_nothing_secret_is_shown(opened: Estate, host: Host, answers: Callable[[Handler], None]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return serve(request) if request.method == "POST" else httpx.Response(500, text=f"{TOKEN} {PASSWORD}")

    answers(handler)
    checks = journey.travel(opened, host, application(LOGIN, PATIENTS))
    assert not checks[1].passed
    assert TOKEN not in repr(checks)
    assert PASSWORD not in repr(checks)


@pytest.mark.parametrize(
    ("expected", "status", "answer", "problem"),
    [
        ({}, 200, b"anything", None),
        ({"status": 204}, 204, b"", None),
        ({"status": [200, 201]}, 201, b"", None),
        ({"status": [200, 201]}, 409, b"", "answered 409 instead of 200, 201"),
        ({"json": {"a": 1}}, 200, b'{"a": 1, "b": 2}', None),
        ({"json": {"a": 1}}, 200, b'{"a": 2}', "a is 2 instead of 1"),
        ({"json": {"a": 1}}, 200, b'{"b": 2}', "the answer lacks a"),
        ({"json": {"a": 1}}, 200, b"[]", "the answer lacks a"),
        ({"json": {"a": 1}}, 200, b"<html>", "answered something that is not JSON"),
        ({"json_type": "list"}, 200, b"[]", None),
        ({"json_type": "list"}, 200, b"{}", "answered JSON that is no list"),
        ({"json_type": "number"}, 200, b"true", "answered JSON that is no number"),
        ({"save": "token"}, 200, b'{"token": 3}', "the answer lacks token"),
    ],
)
def test_an_answer(expected: dict[str, Any], status: int, answer: bytes, problem: str | None) -> None:
    assert journey.problem_of(step(**expected), status, answer) == problem


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"get": "/management/x", "post": "/management/x"}, "either get or post"),
        ({"status": 200}, "either get or post"),
        ({"get": "/management/x", "expect": 1}, "journey.1.expect"),
        ({"get": "/management/x", "secret": "journey"}, "belong to a post"),
        ({"get": "/verification/x"}, "outside of /management"),
        ({"get": "/management2/x"}, "outside of /management"),
        ({"get": "/management/x", "auth": "token"}, "no earlier step saves token"),
        ({"get": "/management/x", "json_type": "array"}, "json_type"),
    ],
)
def test_a_step_that_is_none(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        journey.read_steps(application(wrong))
    assert caught.value.code == "journey-invalid"
    assert said in caught.value.message


WRITE = {
    "post": "/management/api/checks",
    "status": [200, 201],
    "body": {"id": "$uuid", "specimen": "$test_patient", "tags": ["$uuid", "plain"]},
}


def test_writing_needs_a_test_patient() -> None:
    with pytest.raises(BadInput) as caught:
        journey.read_steps(application(WRITE))
    assert caught.value.code == "journey-writes"


def test_a_write_names_the_test_patient(
    opened: Estate, host: Host, answers: Callable[[Handler], None]
) -> None:
    sent = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(201)

    answers(handler)
    checks = journey.travel(opened, host, application(WRITE, WRITE, test_patient="TEST-0001"))
    assert all(check.passed for check in checks)
    assert sent[0] == sent[1]
    assert sent[0]["specimen"] == "TEST-0001"
    assert sent[0]["tags"] == [sent[0]["id"], "plain"]


def test_up_to_the_login_and_no_further(
    opened: Estate, host: Host, answers: Callable[[Handler], None]
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"token": TOKEN})

    answers(answer)
    login = {"post": "/management/login", "secret": "journey", "save": "token"}
    records = {"get": "/management/records", "auth": "token"}
    app = application({"get": "/management/page"}, login, records)
    assert [check.passed for check in journey.travel(opened, host, app, up_to_login=True)] == [True, True]
    assert asked == ["/management/page", "/management/login"]


def test_a_journey_without_a_login_is_read_as_far_as_anybody_may(
    opened: Estate, host: Host, answers: Callable[[Handler], None]
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200)

    answers(answer)
    app = application({"get": "/management/page"}, {"post": "/management/x"}, test_patient="T1")
    journey.travel(opened, host, app, up_to_login=True)
    assert asked == ["/management/page"]
