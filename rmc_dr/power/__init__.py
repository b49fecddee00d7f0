"""A host's power, behind one small interface: the lab's machines, or a person at the real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rmc_dr.estate import Estate, Host
from rmc_dr.power.lab import LabPower
from rmc_dr.power.manual import ManualPower
from rmc_dr.power.states import State


class Power(Protocol):
    """Every action is complete when it returns, but for the booted system, which may take a while to answer.

    All raise Error or Refused; an action that failed may be repeated.
    """

    def off(self, host: Host) -> None:
        """Take the power away, hard."""

    def rescue(self, host: Host) -> None:
        """Power-cycle into the rescue system."""

    def disk(self, host: Host) -> None:
        """Power-cycle into the installed system."""

    def state(self, host: Host) -> State:
        """What the host runs, as far as can be told."""


def driver(estate: Estate, say: Callable[[str], None] = lambda _text: None) -> Power:
    """The driver that the estate names. ``say`` is told what a person has to do."""
    if estate.config.power.driver == "lab":
        return LabPower(estate)
    return ManualPower(estate, say)
