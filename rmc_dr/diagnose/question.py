"""What a question is: a pure function over a sight, and the closed set of its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rmc_dr.diagnose.sight import Sight
from rmc_dr.i18n import _

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reply:
    """``branch`` is one of the question's answers, ``seen`` what it was read from, as an engineer says it."""

    branch: str
    seen: str


@dataclass(frozen=True)
class Question:
    """``answers`` always holds "unknown": what could not be looked at."""

    ask: Callable[[Sight], Reply]
    answers: frozenset[str]


def question(ask: Callable[[Sight], Reply], *answers: str) -> Question:
    return Question(ask, frozenset((*answers, UNKNOWN)))


def unseen(sight: Sight, *parts: str) -> Reply:
    """The answer where a look is missing: which, and why."""
    return Reply(UNKNOWN, _("could not be looked at: {said}").format(said=sight.missing(*parts)))
