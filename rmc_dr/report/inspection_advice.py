"""What an inspection advises: one line a thing to do, the weightiest first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rmc_dr.i18n import _, language
from rmc_dr.report.document import Tone
from rmc_dr.report.held import day
from rmc_dr.rounds.facts import Facts, Risk
from rmc_dr.rounds.history import Inspection


@dataclass(frozen=True)
class Advice:
    """``code`` names it for machines; ``because`` are the codes of what it is for."""

    code: str
    text: str
    because: str
    tone: Tone = Tone.WARN


def advice(inspection: Inspection, risks: Sequence[Risk]) -> tuple[Advice, ...]:
    if inspection.facts is None or inspection.at is None:
        return ()
    until = inspection.at + timedelta(days=inspection.days)
    return (
        *_mend(risks),
        *_before_the_next(inspection.facts, until, inspection.timezone),
        *_patches(inspection),
        *_by_hand(inspection),
    )


def _mend(risks: Sequence[Risk]) -> Iterator[Advice]:
    """One line for each command that the risks lead to; what leads to none is looked up."""
    commands: dict[str, list[Risk]] = {}
    for risk in risks:
        commands.setdefault(risk.command, []).append(risk)
    for command, led in commands.items():
        tone = Tone.BAD if any(risk.weight == "critical" for risk in led) else Tone.WARN
        codes = ", ".join(dict.fromkeys(risk.code for risk in led))
        text = (
            _("Begin with `{command}`.").format(command=command)
            if command
            else _("Look each up by its code in docs/runbooks/check.md or inspect.md.")
        )
        yield Advice("mend", text, codes, tone)


def _before_the_next(facts: Facts, until: datetime, zone: str) -> Iterator[Advice]:
    ending = sorted({one.host for one in facts.certificates if one.ends is not None and one.ends < until})
    if ending:
        text = _(
            "Renew certificates that end before the next inspection: `rmc-dr estate init`, then converge."
        )
        yield Advice("certificates", text, ", ".join(ending))
    if facts.kit.expires is not None and facts.kit.expires < until:
        text = _("Build a new kit before the next inspection: `rmc-dr kit build`.")
        because = _("the kit expires on {day}").format(day=day(facts.kit.expires, zone))
        yield Advice("kit", text, because)


def _patches(inspection: Inspection) -> Iterator[Advice]:
    facts = inspection.facts
    if facts is None or not facts.patches.waiting:
        return
    consent = inspection.consents.get("patches")
    names = ", ".join(dict.fromkeys(one.name for one in facts.patches.waiting))
    if consent is None:
        text = _(
            "Offer the waiting patches to the hospital, agree on a window, and keep its answer: "
            "`rmc-dr inspect --continue --patches-consent WHO`."
        )
        yield Advice("patches-consent", text, names)
    else:
        yield Advice("patches", _("Bring the agreed patches in, within the agreed window."), names)


def _by_hand(inspection: Inspection) -> Iterator[Advice]:
    if inspection.open_items:
        names = ", ".join(item.said(language()) for item in inspection.open_items)
        text = _("Look at what nobody has looked at, and tick it: `rmc-dr inspect --continue --tick ITEM`.")
        yield Advice("by-hand", text, names, Tone.OPEN)
