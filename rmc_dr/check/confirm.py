"""Confirms an alarm before it is raised, and that it is over before it is cleared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Key = tuple[str, str, str]  # area, host, code


@dataclass(frozen=True)
class Rule:
    """Raised once ``needed`` of the last ``window`` looks saw it; cleared after ``window`` did not.

    Raises ValueError for a rule that can never be met.
    """

    needed: int
    window: int

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.window:
            raise ValueError(f"{self.needed} of {self.window}")


@dataclass(frozen=True)
class Alarm:
    """One trouble: the last looks that could tell, oldest first, and whether it was raised."""

    seen: tuple[bool, ...] = ()
    raised: bool = False


@dataclass(frozen=True)
class Watch:
    """What is known after some looks. Give each look to `after`, which says what is new."""

    rule: Rule
    alarms: Mapping[Key, Alarm] = field(default_factory=dict)

    @property
    def raised(self) -> frozenset[Key]:
        return frozenset(key for key, alarm in self.alarms.items() if alarm.raised)

    def after(self, bad: frozenset[Key], blind: frozenset[str]) -> tuple[Watch, list[Key], list[Key]]:
        """The state after one more look, and the alarms that it raised and cleared, in order.

        A look that could not see a host of ``blind`` says nothing of what it did not find there.
        """
        alarms: dict[Key, Alarm] = {}
        raised, cleared = [], []
        for key in sorted(bad | self.alarms.keys()):
            before = self.alarms.get(key, Alarm())
            if key not in bad and key[1] in blind:
                alarms[key] = before
                continue
            seen = (*before.seen, key in bad)[-self.rule.window :]
            alarm = replace(before, seen=seen)
            if not alarm.raised and sum(seen) >= self.rule.needed:
                alarm = replace(alarm, raised=True)
                raised.append(key)
            elif alarm.raised and len(seen) == self.rule.window and not any(seen):
                alarm = replace(alarm, raised=False)
                cleared.append(key)
            if alarm.raised or any(seen):
                alarms[key] = alarm
        return replace(self, alarms=alarms), raised, cleared
