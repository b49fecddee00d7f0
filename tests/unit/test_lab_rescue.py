"""The trees of rescue systems: one for each kit, and none that nobody needs any more."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rmc_dr.estate import Estate
from rmc_dr.lab import rescue, up
from rmc_dr.lab.place import folder
from rmc_dr.runner import Outcome

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def equipped(estate: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """The estate with a kit whose rescue system is one file, and whatever an earlier kit left."""
    kit = tmp_path / "kit"
    (kit / "images").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    subprocess.run(
        ["tar", "--create", "--zstd", "--file", kit / rescue.IMAGE, "--directory", tmp_path, "etc"],
        check=True,
    )
    (folder() / "trees/of-an-earlier-kit").mkdir(parents=True)
    monkeypatch.setattr(up, "run_playbook", lambda *_, **__: Outcome("ok", 1.0))
    monkeypatch.setattr(up, "condition", SimpleNamespace(installed=lambda *_: None))
    monkeypatch.setattr(up, "_those", lambda *_: [])
    monkeypatch.setattr(up, "_image", lambda *_: "image")
    monkeypatch.setattr(up, "hardware", SimpleNamespace(of=lambda name: name))
    monkeypatch.setattr(up.cgroups, "machines", lambda: ["app1", "db1"])
    there = estate.config.kit.model_copy(update={"path": kit})
    return replace(estate, config=estate.config.model_copy(update={"kit": there}))


@pytest.mark.parametrize(("db1", "left"), [("disk", 1), ("rescue", 2)])
def test_an_earlier_kits_rescue_system_goes_once_nobody_runs_one(
    equipped: Estate, monkeypatch: pytest.MonkeyPatch, db1: str, left: int
) -> None:
    monkeypatch.setattr(up.machine, "mode", lambda name: {"app1": "disk", "db1": db1}[name])
    up._install(equipped, [equipped.host("app1")], None, lambda _said: None)  # type: ignore[arg-type]
    assert len(list((folder() / "trees").iterdir())) == left
