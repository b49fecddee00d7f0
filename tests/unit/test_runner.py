"""Ansible itself runs here, on this machine: what it says of a failure is what the operator reads."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rmc_dr import runner

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Look
      {task}
"""
LOOP = """ansible.builtin.fail:
        msg: "no room on {{ item }}"
      loop: [sda, sdb]"""
ONE = """ansible.builtin.fail:
        msg: no room"""


HOSTS = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Name a host that nothing answers for
      ansible.builtin.add_host:
        {name: dead, groups: pair, ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_common_args: ""}
    - name: Name one that answers
      ansible.builtin.add_host: {name: up, groups: pair, ansible_connection: local}
"""
LOOK = """
- hosts: pair
  gather_facts: false
  ignore_unreachable: {tolerant}
  tasks:
    - name: Look
      ansible.builtin.command: /bin/true
      changed_when: true
"""
FAIL = """
- hosts: up
  gather_facts: false
  tasks:
    - name: Do it
      ansible.builtin.fail: {msg: disk full}
"""
RESCUED = """
- hosts: up
  gather_facts: false
  tasks:
    - name: Try
      block:
        - name: Do it
          ansible.builtin.fail: {msg: disk full}
      rescue:
        - name: Go on
          ansible.builtin.debug: {msg: whatever}
"""


class Played:
    """A playbook that was run, and what came of it."""

    def __init__(self, estate, folder: Path, text: str) -> None:
        playbook = folder / "play.yml"
        playbook.write_text(text)
        self.log = folder / "log"
        self.events: list[dict] = []
        self.outcome = runner.run_playbook(
            estate, str(playbook), variables={}, on_event=self.hear, log=self.log
        )

    def hear(self, event: str, **fields) -> None:
        self.events.append({"event": event, **fields})

    @property
    def failures(self) -> list[tuple[str, str]]:
        return [(failure.host, failure.task) for failure in self.outcome.failures]


def test_a_host_that_may_be_missing_fails_nothing(estate, tmp_path: Path):
    """One database host is off: the stage `database` looks at the other one."""
    played = Played(estate, tmp_path, HOSTS + LOOK.format(tolerant="true"))
    assert (played.outcome.status, played.failures) == ("ok", [])
    seen = [
        (event["host"], event["status"])
        for event in played.events
        if event.get("task") == "Look" and "host" in event
    ]
    assert sorted(seen) == [("dead", "unreachable"), ("up", "changed")]


def test_a_host_that_is_needed_fails_the_playbook(estate, tmp_path: Path):
    played = Played(estate, tmp_path, HOSTS + LOOK.format(tolerant="false"))
    assert (played.outcome.status, played.failures) == ("failed", [("dead", "Look")])
    assert played.outcome.failures[0].unreachable


def test_what_failed_is_named_and_not_the_host_that_may_be_missing(estate, tmp_path: Path):
    played = Played(estate, tmp_path, HOSTS + LOOK.format(tolerant="true") + FAIL)
    assert (played.outcome.status, played.failures) == ("failed", [("up", "Do it")])


def test_a_rescued_failure_stays_one(estate, tmp_path: Path):
    played = Played(estate, tmp_path, HOSTS + RESCUED)
    assert (played.outcome.status, played.failures) == ("failed", [("up", "Do it")])


def test_the_log_of_the_attempt_before_is_kept(estate, tmp_path: Path):
    """The error pointed to it; a resume must not overwrite it."""
    Played(estate, tmp_path, HOSTS + FAIL)
    log = Played(estate, tmp_path, HOSTS).log.read_text()
    assert log.count("== 20") == 2
    assert log.index("disk full") < log.rindex("== 20") < log.rindex("PLAY RECAP")


@pytest.mark.parametrize(("task", "said"), [(LOOP, "no room on sda"), (ONE, "no room")])
def test_a_failure_says_what_the_module_said(estate, tmp_path: Path, task: str, said: str):
    outcome = Played(estate, tmp_path, PLAY.format(task=task)).outcome
    assert outcome.status == "failed"
    assert [(failure.task, failure.message) for failure in outcome.failures] == [("Look", said)]


MANY = """
- hosts: localhost,nowhere
  gather_facts: false
  {play}
  tasks:
    - name: Change something in secret
      ansible.builtin.command: "true"
      no_log: true
"""
INVENTORY = """
all:
  hosts:
    localhost: {ansible_connection: local}
    nowhere: {ansible_host: 127.0.0.2, ansible_port: 1}
"""


@pytest.mark.parametrize(("play", "status"), [("ignore_unreachable: true", "ok"), ("", "failed")])
def test_a_host_that_may_be_missing_fails_nothing_and_secret_changes_count(
    estate, tmp_path: Path, play: str, status: str
):
    inventory, playbook = tmp_path / "inventory", tmp_path / "play.yml"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(INVENTORY)
    playbook.write_text(MANY.format(play=play))
    outcome = runner.run_playbook(
        replace(estate, inventory=inventory),
        str(playbook),
        variables={},
        on_event=lambda *_event, **_fields: None,
        log=tmp_path / "log",
    )
    assert (outcome.status, outcome.changed) == (status, 1)
    assert [failure.host for failure in outcome.failures] == ([] if status == "ok" else ["nowhere"])


def test_only_what_a_run_of_this_state_folder_left_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = (
        subprocess.Popen(["sleep", "60"], env={runner.RUN_MARK: value})
        for value in (runner.mark("verify-lab"), "/elsewhere:verify-lab")
    )
    try:
        assert runner.end_leftovers("verify-lab") == 1
        assert own.wait(timeout=10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (own, other):
            process.kill()
            process.wait()
