"""A gate's answer in the record; without a yes the stage is not begun."""

from __future__ import annotations

from rmc_dr.errors import Refused
from rmc_dr.i18n import _
from rmc_dr.model import Answer
from rmc_dr.record import Journal


def pass_gate(journal: Journal, stage: str, answer: Answer) -> None:
    """Record the answer. Raises Refused unless it is yes."""
    journal.append(
        "gate",
        stage=stage,
        question=f"may {stage} begin",
        answer="yes" if answer.yes else "no",
        reason=answer.reason,
        hint=answer.hint,
    )
    if not answer.yes:
        raise Refused(
            f"gate-{stage}",
            _("The stage {stage} is not begun: {reason}.").format(stage=stage, reason=answer.reason),
            answer.hint,
        )
