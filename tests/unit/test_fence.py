"""What is seen of a host's fences, and when they are released."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

import pytest

from rmc_dr import fence, secrets
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.model import HostObservation, Reach
from rmc_dr.record import local_lock
from rmc_dr.runner import Failure, Outcome


class Hosts:
    """Stands in for SSH and Ansible: what answers, what the host says, and which playbooks ran."""

    def __init__(self, reach: Reach, says: str = "closed\n") -> None:
        self.reach, self.says = reach, says
        self.played: list[tuple[str, dict[str, Any]]] = []
        self.status = "ok"

    def observe(self, _estate: Estate, host: Any) -> HostObservation:
        return HostObservation(host.name, self.reach)

    def ssh(self, *_words: Any, **_options: Any) -> CompletedProcess[str]:
        if self.says == "hangs":
            raise TimeoutExpired("ssh", 10)
        return CompletedProcess([], 0, self.says, "")

    def play(self, _estate: Estate, playbook: str, **options: Any) -> Outcome:
        self.played.append((playbook, options["variables"]))
        if self.status == "ok":
            self.reach, self.says = Reach.SYSTEM, "open\n"
        failures = () if self.status == "ok" else (Failure("app1", "task", "no such host"),)
        return Outcome(self.status, 1.0, failures=failures)  # type: ignore[arg-type]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, state: Path) -> Hosts:
    stand_in = Hosts(Reach.SYSTEM)
    monkeypatch.setattr(fence, "observe_host", stand_in.observe)
    monkeypatch.setattr(fence.subprocess, "run", stand_in.ssh)
    monkeypatch.setattr(fence, "run_playbook", stand_in.play)
    return stand_in


@pytest.mark.parametrize(
    ("reach", "says", "users"),
    [
        (Reach.SYSTEM, "closed\n", "closed"),
        (Reach.SYSTEM, "open\n", "open"),
        (Reach.SYSTEM, "", "unknown"),
        (Reach.SYSTEM, "hangs", "unknown"),
        (Reach.RESCUE, "open\n", "unknown"),
        (Reach.SILENT, "open\n", "unknown"),
    ],
)
def test_what_cannot_be_told_is_unknown(
    estate: Estate, hosts: Hosts, reach: Reach, says: str, users: str
) -> None:
    hosts.reach, hosts.says = reach, says
    assert fence.status(estate, estate.host("app1")) == fence.Fences("app1", reach, users)  # type: ignore[arg-type]


def release(estate: Estate) -> fence.Fences:
    return fence.release(estate, estate.host("app1"), lambda *_event, **_fields: None)


def test_a_running_system_only_lets_users_in(estate: Estate, hosts: Hosts) -> None:
    assert release(estate).users == "open"
    assert hosts.played == [("fence-release.yml", {"target": "app1"})]


def test_a_host_held_in_rescue_is_booted_first(estate: Estate, hosts: Hosts) -> None:
    hosts.reach = Reach.RESCUE
    assert release(estate) == fence.Fences("app1", Reach.SYSTEM, "open")
    assert [name for name, _variables in hosts.played] == ["stages/boot.yml", "fence-release.yml"]


@pytest.mark.parametrize("reach", [Reach.SILENT, Reach.FOREIGN, Reach.UNKNOWN])
def test_a_host_that_is_not_ours_is_left_alone(estate: Estate, hosts: Hosts, reach: Reach) -> None:
    hosts.reach = reach
    with pytest.raises(Refused):
        release(estate)
    assert hosts.played == []


def test_a_run_at_work_keeps_its_fence(estate: Estate, hosts: Hosts) -> None:
    with local_lock(estate.name, "the-run"), pytest.raises(Error) as error:
        release(estate)
    assert error.value.code == "estate-locked"
    assert hosts.played == []


def test_a_failed_playbook_is_said(estate: Estate, hosts: Hosts) -> None:
    hosts.status = "failed"
    with pytest.raises(Error, match="no such host"):
        release(estate)


def test_renewed_passwords_replace_the_old_ones_and_nothing_else(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD", raising=False)
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD_FILE", raising=False)
    secrets.make(estate)
    before = _vault(estate)
    secrets.renew_application_passwords(estate)
    after = _vault(estate)
    for name, app in after["apps"].items():
        assert app["database_password"] != before["apps"][name]["database_password"]
        assert app["journey"] == before["apps"][name]["journey"]
    assert {**after, "apps": 0} == {**before, "apps": 0}


def _vault(estate: Estate) -> dict[str, Any]:
    return secrets._read_vault(estate, secrets._password(estate))
