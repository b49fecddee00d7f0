"""What `rmc-dr rebuild estate` and `pair` ask for, and what they print before they ask back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rmc_dr import rebuild
from rmc_dr.cli import common, main
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate
from rmc_dr.model import Plan, Request

PLAN = Plan("rebuild-pair", "lab", (), ("all of it",), ("From the backup F", "and its archive"))


@pytest.fixture
def asked(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The requests that were planned, and those that were begun."""
    told: list[Any] = []
    monkeypatch.setattr(common.Context, "_estate", estate)
    monkeypatch.setattr(rebuild, "make_plan", lambda _estate, request: told.append(request) or PLAN)
    monkeypatch.setattr(rebuild.kit_verify, "verify", lambda *_: None)
    monkeypatch.setattr(rebuild, "start", lambda *_: told.append("begun") or "a-run")
    monkeypatch.setattr(rebuild, "resume", lambda *words: told.append(words[1:]) or "a-run")
    return told


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), standalone_mode=False)


def test_each_healthy_host_is_named_by_itself(asked: list[Any]):
    words = ["--replace-healthy", "db1", "--replace-healthy", "app1", "--without-files", "burnt"]
    assert call("rebuild", "estate", *words, "--plan").exit_code == 0
    options = {"replace_healthy": "db1,app1", "without_files": "burnt"}
    after = Request("rebuild-verifier", "verify1", {"replace_healthy": "db1,app1"})
    assert asked == [Request("rebuild-estate", "lab", options), after]


def test_the_verification_host_follows_the_estate(asked: list[Any], monkeypatch: pytest.MonkeyPatch):
    """Its plan is shown before anybody says yes, and it begins when the estate's run has ended."""
    monkeypatch.setattr(
        "rmc_dr.cli.rebuild._say_recovered", lambda _context, run: asked.append(f"said {run}")
    )
    said = call("rebuild", "estate", "--yes")
    assert said.exit_code == 0
    assert said.output.count("From the backup F") == 2
    assert "with the users at work, the verification host" in said.output
    names = [one.plan if isinstance(one, Request) else one for one in asked]
    assert names == [
        "rebuild-estate", "rebuild-verifier", "begun", "said a-run",
        "rebuild-verifier", "begun", "said a-run",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["--plan"], ["--plan", "--json"]])
def test_a_verification_host_that_is_refused_holds_no_estate_up(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    def make(_estate: Estate, request: Request) -> Plan:
        if request.plan == "rebuild-verifier":
            raise Refused("foreign-machine", "Another machine answers there.", "Find out.")
        return PLAN

    monkeypatch.setattr(rebuild, "make_plan", make)
    said = call("rebuild", "estate", *words)
    assert (said.exit_code, "Another machine answers there." in said.output) == (0, True)


def test_a_resumed_rebuild_of_the_estate_goes_on_to_the_verification_host(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rmc_dr.cli.rebuild._say_recovered", lambda *_: None)
    monkeypatch.setattr(
        rebuild, "request_of", lambda _run, given: Request("rebuild-estate", "lab", {**given})
    )
    assert call("resume", "--accept-expired-kit", "agreed").exit_code == 0
    assert asked[1:] == [Request("rebuild-verifier", "verify1", {"accept_expired_kit": "agreed"}), "begun"]


def test_a_verification_host_is_named(asked: list[Any]):
    assert call("rebuild", "verifier").exit_code != 0
    assert call("rebuild", "verifier", "verify1", "--plan").exit_code == 0
    assert asked == [Request("rebuild-verifier", "verify1", {})]


def test_the_plan_says_what_the_data_comes_from(asked: list[Any]):
    said = call("rebuild", "pair", "--plan")
    assert "From the backup F\nand its archive\n" in said.output
    document = json.loads(call("rebuild", "pair", "--plan", "--json").output.splitlines()[-1])
    assert document["restores"] == ["From the backup F", "and its archive"]
    assert asked == [Request("rebuild-pair", "lab", {})] * 2


@pytest.mark.parametrize("words", [["--plan"], ["--plan", "--json"]])
def test_a_plan_with_a_tampered_kit_ends_like_its_run(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    def refuse(_estate: Estate, reason: str | None) -> None:
        told.append(reason)
        raise Refused("kit-tampered", "A file of the kit is not what the manifest says.", "Use another.")

    told: list[str | None] = []
    monkeypatch.setattr(rebuild.kit_verify, "verify", refuse)
    said = call("rebuild", "pair", "--accept-expired-kit", "agreed", *words)
    assert said.exit_code == 3
    assert "From the backup F" in said.output
    assert "not what the manifest says. The plan above would be refused." in said.output
    assert told == ["agreed"]


def test_nothing_begins_without_the_estates_name(asked: list[Any]):
    assert call("rebuild", "pair").exit_code != 0
    assert "begun" not in asked


def test_attachments_are_given_up_with_a_reason(asked: list[Any]):
    call("resume", "--without-files", "burnt", "--json")
    assert [words[-1] for words in asked] == ["burnt"]


def test_a_refusal_is_a_sentence_with_a_hint(
    estate: Estate, asked: list[Any], monkeypatch: pytest.MonkeyPatch
):
    def refuse(_estate: Estate, _request: Request) -> Plan:
        raise Refused("no-backup", "The store holds none.", "Look there.")

    monkeypatch.setattr(rebuild, "make_plan", refuse)
    said = call("rebuild", "estate", "--yes")
    assert (said.exit_code, "Traceback" in said.output) == (3, False)
