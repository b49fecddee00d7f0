"""What logs say, as one timeline. Pure: bytes in, happenings out, whatever the bytes are.

A log line is somebody else's text. It may steer a terminal, hold template braces, or a patient's name: so a
happening is told in words of our own, with what a rule has recognised (a unit, an address, a message code).
The line's own words are kept beside, cleaned, for who asks for them on his own screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rmc_dr.i18n import speaking


class Kind(StrEnum):
    """What sort of thing happened."""

    LOGIN = "login"
    SUDO = "sudo"
    RESTART = "restart"
    ERROR = "error"
    CONNECTION = "connection-failure"
    REPLICATION = "replication"


class Weight(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class What:
    """What happened, in words of ours. ``template`` is English, with the names of what was ``caught``."""

    text: str
    template: str
    caught: Mapping[str, str]


def told(say: Callable[[dict[str, str]], str], **caught: str) -> What:
    """``say`` puts what was caught into one of our sentences, in the language of who looks."""
    with speaking("en"):
        template = say({name: f"{{{name}}}" for name in caught})
    return What(say(caught), template, caught)


@dataclass(frozen=True)
class Happening:
    """One thing at one moment, by the control machine's clock; ``count`` of them until ``until``.

    ``what`` may be reported; ``template`` and ``caught`` are the same for a reader of another language.
    ``words`` is the line itself, cleaned and cut: it may hold patients' data.
    """

    at: datetime
    host: str
    kind: Kind
    weight: Weight
    what: str
    source: str
    line: int
    words: str
    until: datetime
    count: int = 1
    template: str = ""
    caught: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def judged(
        cls, at: datetime, host: str, found: tuple[Kind, Weight, What], source: str, line: int, words: str
    ) -> Happening:
        """One line of a source, as it was judged."""
        kind, weight, what = found
        return cls(
            at, host, kind, weight, what.text, source, line, words, at,
            template=what.template, caught=what.caught,
        )  # fmt: skip


@dataclass(frozen=True)
class Read:
    """What one source gave: its happenings, and how many lines could not be read."""

    happenings: tuple[Happening, ...]
    lines: int
    unreadable: int
