"""What has become of the risks since the inspection before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rmc_dr.rounds.facts import WEIGHTS, Risk


@dataclass(frozen=True)
class Compared:
    """``gone`` are told in the words of the inspection before."""

    new: tuple[Risk, ...]
    still: tuple[Risk, ...]
    gone: tuple[Risk, ...]


def compare(now: Sequence[Risk], before: Sequence[Risk]) -> Compared:
    """By area, host and code: the words may change while the trouble stays."""
    old, new = {risk.key for risk in before}, {risk.key for risk in now}
    return Compared(
        tuple(risk for risk in now if risk.key not in old),
        tuple(risk for risk in now if risk.key in old),
        tuple(risk for risk in before if risk.key not in new),
    )


def by_weight(risks: Iterable[Risk]) -> tuple[Risk, ...]:
    """The worst first; of equally bad ones in the order in which they came."""
    return tuple(sorted(risks, key=lambda risk: WEIGHTS.index(risk.weight)))
