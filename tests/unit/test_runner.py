"""Ansible itself runs here, on this machine: what it says of a failure is what the operator reads."""

from __future__ import annotations

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


@pytest.mark.parametrize(("task", "said"), [(LOOP, "no room on sda"), (ONE, "no room")])
def test_a_failure_says_what_the_module_said(estate, tmp_path: Path, task: str, said: str):
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY.format(task=task))
    outcome = runner.run_playbook(
        estate, str(playbook), variables={}, on_event=lambda *_event, **_fields: None, log=tmp_path / "log"
    )
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
    inventory, playbook = tmp_path / "hosts.yml", tmp_path / "play.yml"
    inventory.write_text(INVENTORY)
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
