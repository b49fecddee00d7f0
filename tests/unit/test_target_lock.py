"""The lock on the target: a shell plays the host, so that its scripts run for real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rmc_dr import content, record, target_lock
from rmc_dr.errors import Error, Locked
from rmc_dr.model import Plan, Reach, Request

TAKEN_BY = """
import sys
from pathlib import Path
from rmc_dr import content, record
content.STATE = Path(sys.argv[1])
with record.local_lock(sys.argv[2], "a-living-run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(estate, state, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The lock's file on the host, for scripts that a shell of this machine runs."""
    file = tmp_path / "host.lock"
    for name in ("TAKE", "REPLACE", "RELEASE"):
        script = getattr(target_lock, name).replace(target_lock.FILE, str(file))
        monkeypatch.setattr(target_lock, name, script)
    monkeypatch.setattr(target_lock.ssh, "command", lambda *_words: ["sh", "-c"])
    (tmp_path / "machine-id").write_text("this-machine\n")
    monkeypatch.setattr(target_lock, "MACHINE_ID", tmp_path / "machine-id")
    return file


def take(estate, run_id: str = "mine-1", break_lock: str | None = None) -> None:
    with record.local_lock(estate.name, run_id):
        target_lock.take(estate, estate.host("app1"), run_id, Reach.SYSTEM, break_lock)


def holder(file: Path) -> str:
    return str(json.loads(file.read_text())["run"])


def plant(file: Path, **changed: str) -> None:
    """The line of another run, by default of one that died on this machine since it booted."""
    line = {
        "run": "theirs-1",
        "estate": "lab",
        "control": "debian",
        "machine": "this-machine",
        "boot": record.boot_id(),
    }
    file.write_text(json.dumps({**line, **changed}) + "\n")


def test_it_is_taken_again_and_given_back(estate, file: Path):
    take(estate)
    take(estate)
    assert holder(file) == "mine-1"
    target_lock.release(estate, estate.host("app1"), "another")
    assert file.exists()
    target_lock.release(estate, estate.host("app1"), "mine-1")
    assert not file.exists()


def test_what_died_on_this_machine_is_replaced(estate, file: Path):
    plant(file)
    take(estate)
    assert holder(file) == "mine-1"


@pytest.mark.parametrize(
    "changed",
    [
        {"machine": "another-machine"},  # two laptops may both be called debian
        {"boot": "another-boot"},  # and be copied from one image, machine-id included
        {"machine": ""},
    ],
)
def test_another_machine_of_the_same_name_is_another(
    estate, file: Path, changed: dict[str, str], monkeypatch
):
    monkeypatch.setattr("socket.gethostname", lambda: "debian")
    plant(file, **changed)
    with pytest.raises(Locked, match="theirs-1 of the control machine debian"):
        take(estate)
    assert holder(file) == "theirs-1"
    take(estate, break_lock="theirs-1")
    assert holder(file) == "mine-1"


def test_a_machine_without_an_id_takes_nobody_for_itself(estate, file: Path):
    target_lock.MACHINE_ID.write_text("")
    plant(file, machine="")
    with pytest.raises(Locked):
        take(estate)


def test_a_run_from_before_a_reboot_is_known_by_its_journal(estate, file: Path):
    plan, request = Plan("rebuild-appserver", "app1", ()), Request("rebuild-appserver", "app1")
    with record.Journal.create(plan, request, estate="lab", operator="me") as journal:
        pass
    plant(file, run=journal.run_id, boot="before-the-reboot")
    take(estate)
    assert holder(file) == "mine-1"


def test_another_estates_run_for_the_same_host_is_alive(estate, file: Path):
    """Two inventories under two names describe one host: each has a lock of its own on this machine."""
    command = [sys.executable, "-c", TAKEN_BY, str(content.STATE), "another-estate"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        assert living.stdin is not None
        assert living.stdout.readline() == b"held\n"
        plant(file, estate="another-estate")
        with pytest.raises(Locked, match="theirs-1"):
            take(estate)
        living.stdin.close()
    take(estate)
    assert holder(file) == "mine-1"


@pytest.mark.parametrize("line", ["", "half a li", "[]"])
def test_a_torn_line_is_nobodys_and_can_be_broken_by_name(estate, file: Path, line: str):
    file.write_text(line)
    with pytest.raises(Locked) as locked:
        take(estate)
    assert f"--break-lock {target_lock.UNREADABLE}" in locked.value.hint
    take(estate, break_lock=target_lock.UNREADABLE)
    assert holder(file) == "mine-1"


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo 'no route to host' >&2; exit 255", "no route to host"), ("sleep 5", "no answer within")],
)
def test_a_host_that_does_not_answer_is_named_as_such(
    estate, file: Path, monkeypatch, script: str, said: str
):
    monkeypatch.setattr(target_lock, "TIMEOUT_SECONDS", 0.2)
    for name in ("TAKE", "RELEASE"):
        monkeypatch.setattr(target_lock, name, script)
    for call in (lambda: take(estate), lambda: target_lock.release(estate, estate.host("app1"), "mine-1")):
        with pytest.raises(Error, match=said) as error:
            call()
        assert (error.value.code, error.value.exit_code) == ("target-unanswered", 1)


def test_the_rescue_systems_key_is_asked_for_where_it_runs(estate, file: Path, monkeypatch):
    aliases: list[str] = []
    monkeypatch.setattr(
        target_lock.ssh, "command", lambda _estate, _host, alias: aliases.append(alias) or ["sh", "-c"]
    )
    target_lock.take(estate, estate.host("app1"), "mine-1", Reach.RESCUE)
    target_lock.release(estate, estate.host("app1"), "mine-1", Reach.RESCUE)
    target_lock.release(estate, estate.host("app1"), "mine-1")
    assert aliases == ["rescue", "rescue", "system"]
