"""A plan is a playbook of imports: this reads it. Pure but for reading that one file."""

from __future__ import annotations

from pathlib import Path

import yaml

from rmc_dr.errors import Error
from rmc_dr.i18n import _
from rmc_dr.model import Stage


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
