"""Proof, before anything is destroyed, that a target is the lab's own."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from rmc_dr import content
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.files import read_json
from rmc_dr.i18n import _
from rmc_dr.lab import cgroups, disks, hardware
from rmc_dr.lab.hardware import Hardware
from rmc_dr.lab.place import host_folder

TREE_STATE = "tree.json"


@dataclass(frozen=True)
class RootMount:
    """What a process has mounted as its root."""

    source: str
    fstype: str
    inner: Path  # the folder inside that file system
    options: str


def prove_inventory(inventory: Path) -> None:
    """Raises Refused `lab-foreign-inventory` for any inventory but the lab's own."""
    own = content.root() / "inventories" / "lab"
    if inventory.resolve() != own.resolve():
        raise Refused(
            "lab-foreign-inventory",
            _("This command works on the rehearsal estate only, not on {path}.").format(path=inventory),
            _("Leave out -i and RMC_DR_INVENTORY; the lab's inventory is {path}.").format(path=own),
        )


def prove_estate(estate: Estate) -> None:
    """Raises Refused where a host would be reached outside of the lab's network, or by real power."""
    prove_inventory(estate.inventory)
    config = estate.config
    foreign = [host.name for host in estate.hosts.values() if not _belongs(estate, host)]
    if foreign or config.power.driver != "lab":
        raise Refused(
            "lab-foreign-target",
            _("The lab's inventory names hosts that are not the lab's own: {hosts}.").format(
                hosts=", ".join(foreign) or f"power.driver={config.power.driver}"
            ),
            _("Every host needs an address in {cidr}, identity reader lab, and power driver lab.").format(
                cidr=config.network.cidr
            ),
        )


def _belongs(estate: Estate, host: Host) -> bool:
    reader = host.identity is None or host.identity.reader == "lab"
    return ipaddress.ip_address(host.address) in estate.config.network.cidr and reader


def prove_target(name: str) -> Hardware:
    """The lab's machine of that name, once it is proven that disk and processes are the lab's own.

    Raises Refused `lab-foreign-target`; nothing has been touched then.
    """
    target = hardware.of(name)
    device = disks.attached(target.image)
    if device is not None:
        disks.proven(disks.all_attached()[device])
    leader = cgroups.leader(name)
    if leader is not None:
        prove_process(name, leader)
    return target


def prove_process(name: str, leader: int) -> None:
    """Raises Refused `lab-foreign-target` unless the process lives in a root that is the machine's own."""
    root = root_mount(leader)
    if root is None or not _is_own(name, root):
        raise Refused(
            "lab-foreign-target",
            _("The process {pid} passes for {host}, but its root is not the lab's.").format(
                pid=leader, host=name
            ),
            _("Nothing was touched. Look at /proc/{pid}/mountinfo.").format(pid=leader),
        )


def root_mount(process: int) -> RootMount | None:
    """What the process has mounted as its root; None when it has ended."""
    try:
        lines = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        left, right = line.split(" - ", 1)
        inner, target = left.split()[3:5]
        if target == "/":
            fstype, source, options = right.split(" ", 2)
            return RootMount(source, fstype, Path(inner), options)
    return None


def _is_own(name: str, root: RootMount) -> bool:
    place = host_folder(name).resolve()
    if root.fstype == "overlay":
        upper = next((word for word in root.options.split(",") if word.startswith("upperdir=")), "")
        return place in Path(upper.removeprefix("upperdir=")).resolve().parents
    if Path(root.source).name.startswith("loop"):
        device = Path("/sys/class/block", Path(root.source).name).resolve().parent.name
        backing = disks.all_attached().get(Path("/dev", device))
        return backing is not None and place in backing.parents
    # A builder of the kit: its tree may lie behind a mount point, which the inner path lacks.
    tree = read_json(place / TREE_STATE).get("tree", "")
    return root.inner != Path("/") and str(tree).endswith(str(root.inner))
