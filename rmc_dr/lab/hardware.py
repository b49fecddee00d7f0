"""What the lab's machines are made of. Fixed when `lab up` makes them, as with real ones.

A machine keeps its identity whatever an inventory says: that is how a wrong inventory can be refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Host
from rmc_dr.files import read_json
from rmc_dr.i18n import _
from rmc_dr.lab import disks
from rmc_dr.lab.place import host_folder, write_state

FILE = "hardware.json"


@dataclass(frozen=True)
class Hardware:
    """One machine: its UUID, its disk file and where its network card answers."""

    name: str
    machine: str
    disk: str
    size_gib: int
    address: str

    @property
    def image(self) -> Path:
        """The disk file. Raises Refused `lab-foreign-target` where it would lie outside the lab."""
        return disks.proven(host_folder(self.name) / self.disk)


def make(host: Host) -> Hardware:
    """Make the machine that the lab's inventory describes, with a blank disk if it has none yet."""
    if host.identity is None or host.disk is None or host.disk.size_gib is None:
        raise BadInput(
            "lab-no-disk",
            _("The host {host} has no identity or no disk.size_gib.").format(host=host.name),
            _("Describe both in inventories/lab/hosts.yml."),
        )
    made = Hardware(host.name, host.identity.machine, host.identity.disk, host.disk.size_gib, host.address)
    disks.make_blank(made.image, made.size_gib)
    write_state(host_folder(host.name) / FILE, asdict(made))
    return made


def of(name: str) -> Hardware:
    """The lab's machine of that name. Raises Refused `lab-foreign-target` where the lab has none."""
    try:
        return Hardware(**read_json(host_folder(name) / FILE))
    except TypeError:
        raise Refused(
            "lab-foreign-target",
            _("The lab has no machine {host}.").format(host=name),
            _("`rmc-dr lab up` makes the machines of the lab's inventory; only those can be reached."),
        ) from None
