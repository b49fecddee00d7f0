"""What is seen of a host's fences, and when they are released."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

import pytest

from rmc_dr import fence, secrets
from rmc_dr.errors import Error, Locked, Refused
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
        self.locks: list[tuple[str, str, Reach]] = []
        self.held_by_another = False
        self.answers = True

    def observe(self, _estate: Estate, host: Any) -> HostObservation:
        return HostObservation(host.name, self.reach)

    def take(self, _estate: Estate, host: Any, name: str, reach: Reach, break_lock: str | None) -> None:
        if self.held_by_another and break_lock != "theirs-1":
            raise Locked("target-locked", f"{host.name} is held by the run theirs-1.", "Speak to them.")
        self.locks.append(("take", name, reach))

    def give_back(self, _estate: Estate, _host: Any, name: str, reach: Reach) -> None:
        self.locks.append(("release", name, reach))
        if not self.answers:
            raise Error("target-unanswered", "no answer", "Look.")

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
    monkeypatch.setattr(fence, "hold_estate_lock", lambda *_words: nullcontext())
    monkeypatch.setattr(fence.target_lock, "take", stand_in.take)
    monkeypatch.setattr(fence.target_lock, "release", stand_in.give_back)
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


def release(estate: Estate, break_lock: str | None = None) -> fence.Fences:
    return fence.release(estate, estate.host("app1"), lambda *_event, **_fields: None, break_lock)


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


def test_another_control_machines_run_keeps_its_host(estate: Estate, hosts: Hosts) -> None:
    """It may be writing the disk of a host that seems to be idle in its rescue system."""
    hosts.reach, hosts.held_by_another = Reach.RESCUE, True
    with pytest.raises(Locked, match="theirs-1"):
        release(estate)
    assert hosts.played == []
    assert release(estate, "theirs-1").users == "open"


def test_another_control_machine_at_work_is_seen_on_the_primary(
    estate: Estate, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(_estate: Estate, name: str, break_lock: str | None) -> Any:
        assert break_lock == "theirs-1"
        raise Locked("estate-locked", f"held, {name} must wait", "Wait.")

    monkeypatch.setattr(fence, "hold_estate_lock", held)
    with pytest.raises(Locked, match="fence-release-app1-"):
        release(estate, "theirs-1")
    assert hosts.played == []


def test_the_host_is_held_from_boot_to_boot_and_given_back(estate: Estate, hosts: Hosts) -> None:
    hosts.reach = Reach.RESCUE
    release(estate)
    assert [(what, reach) for what, _name, reach in hosts.locks] == [
        ("take", Reach.RESCUE),
        ("take", Reach.SYSTEM),
        ("release", Reach.SYSTEM),
    ]
    assert len({name for _what, name, _reach in hosts.locks}) == 1


def test_a_lock_that_cannot_be_given_back_takes_nothing_away(estate: Estate, hosts: Hosts) -> None:
    hosts.answers = False
    assert release(estate).users == "open"


@pytest.mark.parametrize("reach", [Reach.SYSTEM, Reach.RESCUE])
def test_a_failed_playbook_is_said(estate: Estate, hosts: Hosts, reach: Reach) -> None:
    hosts.status, hosts.reach = "failed", reach
    with pytest.raises(Error, match="no such host"):
        release(estate)
    assert hosts.locks[-1][::2] == ("release", reach)


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
