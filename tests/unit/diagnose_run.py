"""`rmc-dr diagnose` in a made world: what is seen, who logs in, who takes news, what was carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diagnose_world import APP, WORLDS, well

from rmc_dr import diagnosis, frozen, outbox, response
from rmc_dr.cli.common import Context
from rmc_dr.cli.diagnose import diagnose
from rmc_dr.diagnose.sight import Sight
from rmc_dr.estate import Estate
from rmc_dr.model import Check, Plan, Stage
from rmc_dr.service import Served

Run = Callable[..., Result]
DONE = Served("run", {APP: True}, {APP: "open"}, "healthy")
PLAN = Plan("restart", "lab", (Stage("quiesce", "stages/quiesce.yml", 3, False),))


class World:
    """The sights one after another, and what was carried out."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.sights: list[Sight] = [well(estate)]
        self.did: list[tuple[str, dict[str, Any]]] = []
        self.logs_in: dict[str, bool] = {}
        self.vault: tuple[str, ...] = ()
        self.dead: set[str] = set()
        self.sent: list[tuple[str, str, str]] = []

    def are(self, *leaves: str) -> World:
        self.sights = [WORLDS[leaf][1](well(self.estate)) for leaf in leaves]
        return self

    def look(self, _estate: Estate, _host: Any) -> Sight:
        return self.sights.pop(0) if len(self.sights) > 1 else self.sights[0]

    def travel(self, _estate: Estate, _host: Any, app: Any, **_given: Any) -> list[Check]:
        """By default nobody can log in: else nothing would be stopped."""
        return [Check(app.name, self.logs_in.get(app.name, False), "")]

    def send(self, address: str, title: str, text: str) -> bool:
        self.sent.append((address, title, text))
        return address not in self.dead

    def act(self, what: str) -> Callable[..., Served]:
        def done(_estate: Estate, _listeners: Any, **given: Any) -> Served:
            self.did.append((what, given))
            return DONE

        return done


@pytest.fixture
def world(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(ours)
    monkeypatch.setattr(diagnosis, "look", world.look)
    monkeypatch.setattr(diagnosis.journey, "travel", world.travel)
    for module in (frozen, response):
        monkeypatch.setattr(module, "addresses", lambda _estate: world.vault)
    monkeypatch.setattr(frozen.notify, "send", world.send)
    monkeypatch.setattr(frozen, "HEARD_SECONDS", 0.2)
    monkeypatch.setattr(frozen, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(diagnosis, "GREEN_SECONDS", 0.2)
    monkeypatch.setattr(diagnosis, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(diagnosis.service, "restart", world.act("restart"))
    monkeypatch.setattr(diagnosis.service, "stop", world.act("stop"))
    monkeypatch.setattr(diagnosis.service, "plan_restart", lambda *_words, **_given: PLAN)
    monkeypatch.setattr(diagnosis.service, "plan_stop", lambda *_words, **_given: PLAN)
    return world


@pytest.fixture
def run(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(Context, "estate", lambda _self: ours)
    return lambda *words: CliRunner().invoke(diagnose, list(words), obj=Context(), standalone_mode=False)
