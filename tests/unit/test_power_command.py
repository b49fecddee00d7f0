"""`rmc-dr power`: the name is typed, and nobody else is at work; a playbook of a run may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rmc_dr.cli import power as subject
from rmc_dr.cli.common import Context
from rmc_dr.errors import BadInput, Locked
from rmc_dr.estate import Estate, Host
from rmc_dr.record import local_lock
from rmc_dr.runner import RUN_MARK


class Switch:
    """A power supply that only remembers."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def off(self, host: Host) -> None:
        self.done.append(("off", host.name))

    def state(self, _host: Host) -> str:
        return "off"


@pytest.fixture
def switch(estate: Estate, state: Path, monkeypatch: pytest.MonkeyPatch) -> Switch:
    made = Switch()
    monkeypatch.setattr(Context, "estate", lambda _self: estate)
    monkeypatch.setattr(subject, "_chosen", lambda _context, name: (made, estate.host(name)))
    monkeypatch.delenv(RUN_MARK, raising=False)
    return made


def off(*words: str) -> Any:
    return CliRunner().invoke(subject.power, ["off", "app1", *words], obj=Context()).exception


def test_without_a_name_typed_nothing_is_switched(switch: Switch):
    assert isinstance(off(), BadInput)
    assert switch.done == []


def test_a_script_says_yes(switch: Switch):
    assert off("--yes") is None
    assert switch.done == [("off", "app1")]


def test_not_while_a_command_is_at_work_but_for_its_own_playbook(
    switch: Switch, monkeypatch: pytest.MonkeyPatch
):
    with local_lock("lab", "a-rebuild"):
        assert isinstance(off("--yes"), Locked)
        assert switch.done == []
        monkeypatch.setenv(RUN_MARK, "a-rebuild")
        assert off("--yes") is None
    assert switch.done == [("off", "app1")]
