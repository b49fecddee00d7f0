"""Ansible itself runs here, on this machine: what it says of a failure is what the operator reads."""

from __future__ import annotations

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
