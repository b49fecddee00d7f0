"""A plan is a playbook of imports: this reads it. Pure but for reading it and what it imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import yaml

from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.model import Request, Stage

LEFT_OUT = {"skip_preserve": "preserve", "unprotected": "rejoin"}


def read_stages(playbook: Path) -> tuple[Stage, ...]:
    """The stages of a plan's playbook in order. Raises Error where an import lacks a variable."""
    stages = []
    for entry in yaml.safe_load(playbook.read_text()):
        imported = entry.get("ansible.builtin.import_playbook")
        values = entry.get("vars", {})
        try:
            stages.append(
                Stage(
                    name=str(values["stage"]),
                    playbook=str(imported),
                    budget_minutes=float(values["budget_minutes"]),
                    destructive=values["destructive"] is True,
                    target=str(values.get("target", "")),
                )
            )
        except KeyError as missing:
            raise Error(
                "plan-invalid",
                _("{file}: the stage {stage} has no {key}.").format(
                    file=playbook, stage=imported, key=missing.args[0]
                ),
                _("Every import needs the variables stage, budget_minutes and destructive."),
            ) from None
    return tuple(stages)


def wanted(stages: tuple[Stage, ...], request: Request) -> tuple[Stage, ...]:
    """The stages without those that the operator gave a reason to leave out: the one that keeps the scene,
    and the one that makes the other database host the standby."""
    left_out = {name for option, name in LEFT_OUT.items() if request.options.get(option)}
    return tuple(stage for stage in stages if stage.name not in left_out)


def with_hosts(
    stages: tuple[Stage, ...], playbook: Path, estate: Estate, variables: Callable[[Stage], Mapping[str, Any]]
) -> tuple[Stage, ...]:
    """The stages with the hosts that each works on; ``variables`` are those that Ansible is given for it."""
    return tuple(
        replace(stage, hosts=tuple(name for name in estate.hosts if any(name in play for play in plays)))
        for stage in stages
        for plays in [hosts_of_plays(playbook.parent / stage.playbook, estate, variables(stage))]
    )


def hosts_of_plays(playbook: Path, estate: Estate, variables: Mapping[str, Any]) -> list[set[str]]:
    """The estate's hosts that each play of a playbook works on, by Ansible's rules for patterns."""
    patterns = [
        jinja2.Template(play["hosts"]).render(variables) for play in yaml.safe_load(playbook.read_text())
    ]
    return [_matched(pattern, estate) for pattern in patterns]


def _matched(pattern: str, estate: Estate) -> set[str]:
    parts = pattern.split(":")
    found = {name for part in parts if part[0] not in "&!" for name in _named(part, estate)}
    for part in parts:
        if part.startswith("&"):
            found &= _named(part[1:], estate)
    for part in parts:
        if part.startswith("!"):
            found -= _named(part[1:], estate)
    return found


def _named(word: str, estate: Estate) -> set[str]:
    """The hosts of a group, or one host; the control machine and other names are none of the estate's."""
    if word == "all":
        return set(estate.hosts)
    return {name for name, host in estate.hosts.items() if word == name or word in host.groups}
