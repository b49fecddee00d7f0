"""What stands in for kit, hosts and playbook in the tests of a deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_world import at_hand
from test_backups import seen
from test_pair import well

from rmc_dr import deploy, deploy_pass
from rmc_dr.estate import DEPLOYED_FILE, ESTATE_FILE, Estate
from rmc_dr.kit.manifest import KitFile
from rmc_dr.migrations import Ran
from rmc_dr.model import Check
from rmc_dr.record import RunState, find, read
from rmc_dr.release_terms import Terms
from rmc_dr.runner import Failure, Outcome

HELD = ["1.0.0", "1.1.0"]
AGREED = datetime(2026, 11, 24, 12, tzinfo=UTC)
TERMS = Terms("修正报表打印", False, "李主任", AGREED)
FOLDER = "applications/management/1.1.0/migrations"
DEPLOY = {"deploy_application": "management", "deploy_release": "1.1.0"}
BACK = {"deploy_application": "management", "deploy_release": "1.0.0", "deploy_from_host": True}
UNDO = {
    "deploy_application": "management", "deploy_undo": "0001-a.sql", "deploy_undo_release": "1.1.0",
}  # fmt: skip


class World:
    """Stands in for the kit, the hosts and the playbook; ``plan`` is what each pass of it leads to.

    ``kept`` says before which of the passes played the scene was kept.
    """

    def __init__(self) -> None:
        self.files = {f"applications/management/{release}/app.war": "e" * 64 for release in HELD}
        self.expired = False
        self.plan: list[tuple[Outcome, set[str]]] = []
        self.played: list[tuple[str, dict[str, Any]]] = []
        self.kept: list[int] = []
        self.keeping = Outcome("ok", 1.0)
        self.sick: set[str] = set()
        self.pair = well()
        self.ran = [Ran({}, False)]
        self.backups = seen()
        self.out: float | None = 7.5

    def verify(self, *_arguments: Any) -> Any:
        files = {name: KitFile(sha256=digest, size=1) for name, digest in self.files.items()}
        return SimpleNamespace(sha256="a" * 64, files=files, in_date=lambda _now: not self.expired)

    def run_playbook(self, _estate: Estate, playbook: str, *, variables: Any, **_others: Any) -> Outcome:
        told = {name: value for name, value in variables.items() if name != "run_id"}
        if Path(playbook).stem == "preserve":
            assert told == {}
            self.kept.append(len(self.played))
            return self.keeping
        self.played.append((Path(playbook).stem, told))
        outcome, self.sick = self.plan.pop(0)
        return outcome

    def travel(self, _estate: Estate, _host: Any, app: Any) -> Sequence[Check]:
        bad = app.name in self.sick
        return [Check(f"journey {app.name}", not bad, "answered 503" if bad else "")]

    def migrated(self, *_arguments: Any) -> Ran:
        return self.ran.pop(0) if len(self.ran) > 1 else self.ran[0]


class Still:
    """A pulse that was measured already."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def beats(self, _after: float) -> bool:
        return True

    def out_seconds(self, _since: float) -> float | None:
        return self.world.out


def copy_of(estate: Estate, tmp_path: Path) -> Estate:
    """The estate with a folder of its own, in which deployed.yml may be written."""
    inventory = tmp_path / "inventory"
    target = inventory / ESTATE_FILE
    target.parent.mkdir(parents=True)
    target.write_text((estate.inventory / ESTATE_FILE).read_text())
    return replace(estate, inventory=inventory)


def stand_in(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(deploy.kit_verify, "verify", world.verify)
    at_hand(monkeypatch, world)
    monkeypatch.setattr(deploy, "observe_pair", lambda _estate: world.pair)
    monkeypatch.setattr(deploy, "observe_migrations", world.migrated)
    monkeypatch.setattr(deploy, "observe_backups", lambda *_: world.backups)
    monkeypatch.setattr(deploy_pass.journey, "travel", world.travel)
    monkeypatch.setattr(deploy_pass, "Pulse", lambda _estate: Still(world))
    return world


def passed(before: str, release: str, *, migrated: Sequence[str] = ()) -> tuple[Outcome, set[str]]:
    facts = {"before": before, "release": release, "switched": True, "migrated": list(migrated)}
    return Outcome("ok", 1.0, facts={"app1": facts}), set()


def failed(before: str, *, switched: bool, migrated: Sequence[str] = ()) -> tuple[Outcome, set[str]]:
    facts = {"before": before, "release": "1.1.0", "switched": switched, "migrated": list(migrated)}
    failure = Failure("app1", "a task", "what it said")
    return Outcome("failed", 1.0, facts={"app1": facts}, failures=(failure,)), set()


def sick(pass_: tuple[Outcome, set[str]], *names: str) -> tuple[Outcome, set[str]]:
    return pass_[0], set(names)


def go(estate: Estate, terms: Terms = TERMS, **words: Any) -> deploy.Deployed:
    prepared = deploy.prepare(estate, "management", "1.1.0", words.pop("expired", None))
    return deploy.deploy(estate, prepared, terms, [], **words)


def last(run: str = "last") -> RunState:
    return RunState.of(read(find(run)))


def deployed(estate: Estate) -> str:
    path = estate.inventory / DEPLOYED_FILE
    return path.read_text() if path.exists() else ""


def bring(world: World, *names: str) -> None:
    world.files.update({f"{FOLDER}/{name}": "d" * 64 for name in names})
