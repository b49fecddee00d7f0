"""The hosts that a plan names for each stage are those that Ansible works on."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rmc_dr import content
from rmc_dr.cli import rebuild as command
from rmc_dr.cli.common import Context
from rmc_dr.estate import Estate, ansible_environment
from rmc_dr.model import Plan
from rmc_dr.plans import hosts_of_plays, read_stages, with_hosts

PLAYBOOKS = content.root() / "playbooks"
LISTED = re.compile(r"^    hosts \(\d+\):$\n((?:^      .+$\n?)*)", re.MULTILINE)
CASES = [
    ("rebuild-appserver", {"target": "app1"}),
    ("rebuild-appserver", {"target": "app1", "fence_method": "credential"}),
    ("rebuild-dbserver", {"target": "db1"}),
    ("rebuild-dbserver", {"target": "db2"}),
    ("rebuild-verifier", {"target": "verify1"}),
    ("rebuild-estate", {"restore_on": "db1"}),
    ("rebuild-pair", {"restore_on": "db1"}),
]


def by_ansible(estate: Estate, playbook: Path, variables: dict[str, str]) -> list[set[str]]:
    given = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    said = subprocess.run(
        ["ansible-playbook", "-i", str(estate.inventory), str(playbook), "--list-hosts", *given],
        env=ansible_environment(),
        cwd=content.root(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [set(block.split()) - {"localhost"} for block in LISTED.findall(said)]


def told_of(target: str, variables: dict[str, str]) -> dict[str, str]:
    """What a stage is told: the plan's own word for its target counts, by hand as in rmc-dr."""
    return {**variables, **({"target": target} if target else {})}


@pytest.mark.parametrize(("name", "variables"), CASES)
def test_ansible_works_on_the_same_hosts(estate: Estate, name: str, variables: dict[str, str]):
    playbook = PLAYBOOKS / f"{name}.yml"
    told = [
        hosts
        for stage in read_stages(playbook)
        for hosts in hosts_of_plays(PLAYBOOKS / stage.playbook, estate, told_of(stage.target, variables))
    ]
    assert told == by_ansible(estate, playbook, variables)


def test_the_plan_prints_them(estate: Estate):
    playbook = PLAYBOOKS / "rebuild-dbserver.yml"
    stages = with_hosts(read_stages(playbook), playbook, estate, lambda _stage: {"target": "db2"})
    told = {stage.name: stage.hosts for stage in stages}
    assert (told["handover"], told["reinstall"]) == (("db2",), ("db2",))
    context = Context()
    context.__dict__["_estate"] = estate
    context.__dict__["console"] = Console(record=True, width=120)
    command.show_plan(context, Plan("rebuild-dbserver", "db2", stages, ("db2: all",)))
    lines = context.console.export_text().splitlines()
    assert any(re.search(r"Hand the writes over to the other host\s+db2\s+5 min", line) for line in lines)
    assert any(re.search(r"Reinstall the operating system\s+db2\s+30 min\s+db2: all", line) for line in lines)


def test_a_stage_for_several_hosts_names_them_all(estate: Estate):
    playbook = PLAYBOOKS / "rebuild-appserver.yml"
    renamed = replace(estate.host("db2"), name="db3")
    larger = replace(estate, hosts={**estate.hosts, "db3": renamed})
    told = {
        s.name: s.hosts
        for s in with_hosts(read_stages(playbook), playbook, larger, lambda _stage: {"target": "app1"})
    }
    assert told["database"] == ("app1", "db1", "db2", "db3")
    assert told["converge"] == ("app1",)
