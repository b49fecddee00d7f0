"""A small estate for the tests that need no machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rmc_dr import backup, content, schedule
from rmc_dr.estate import DiskLayout as Layout
from rmc_dr.estate import Estate, EstateConfig, Host, Identity, Secrets
from rmc_dr.incident import news


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMC_DR_LANG", "en")
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have one


@pytest.fixture(autouse=True)
def _no_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the lab's verification host whether an expiry is at work there."""
    monkeypatch.setattr(backup, "expiring", lambda _estate: "")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own in place of /var/lib/rmc-dr."""
    monkeypatch.setattr(content, "STATE", tmp_path)
    return tmp_path


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    """The lab's estate, read without Ansible, its private folder in a temporary one."""
    inventory = content.root() / "inventories" / "lab"
    raw = yaml.safe_load((inventory / "group_vars/all/estate.yml").read_text())["estate"]
    raw["private_dir"] = str(tmp_path / "private")
    groups = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["children"]
    hosts = {
        name: Host(
            name=name,
            groups=(group,),
            address=values["ansible_host"],
            identity=Identity.model_validate(values["identity"]) if "identity" in values else None,
            disk=Layout.model_validate(values["disk"]) if "disk" in values else None,
            image=values.get("image", group),
        )
        for group, members in groups.items()
        for name, values in members["hosts"].items()
    }
    config = EstateConfig.model_validate(raw)
    return Estate(config.name, inventory, config, hosts, Secrets({"test": "a-secret-value"}))


@pytest.fixture(autouse=True)
def carried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The times that the process which carries news was started."""
    started: list[str] = []
    monkeypatch.setattr(news, "carry", started.append)
    return started


@pytest.fixture
def ours(estate: Estate, state: Path, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """The estate with a state folder and a schedule of the test's own."""
    monkeypatch.setattr(schedule, "UNITS", state / "units")
    return estate
