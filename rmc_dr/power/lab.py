"""The power of the lab's machines."""

from __future__ import annotations

from dataclasses import dataclass

from rmc_dr.estate import Estate, Host
from rmc_dr.lab import guard, machine
from rmc_dr.power.states import State


@dataclass(frozen=True)
class LabPower:
    """Reaches only machines that the lab has made, whatever inventory is in use."""

    estate: Estate

    def off(self, host: Host) -> None:
        machine.kill(guard.prove_target(host.name).name)

    def rescue(self, host: Host) -> None:
        machine.boot_rescue(self.estate, guard.prove_target(host.name))

    def disk(self, host: Host) -> None:
        machine.boot_disk(self.estate, guard.prove_target(host.name))

    def state(self, host: Host) -> State:
        mode = machine.mode(guard.prove_target(host.name).name)
        return "unknown" if mode == "tree" else mode
