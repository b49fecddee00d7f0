"""What the lab knows of each host beside what the kernel tells: what was installed, what was broken.

Both are tied to the UUID of the root file system. A reinstall makes a new one, and so undoes a break
without telling the lab.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from rmc_dr.files import read_json
from rmc_dr.lab import disks
from rmc_dr.lab.hardware import Hardware
from rmc_dr.lab.place import host_folder, write_state

FILE = "condition.json"
INSTALLING = "install"
SUPERBLOCK = 1024
MAGIC = b"\x53\xef"


@dataclass(frozen=True)
class Condition:
    """``image`` is the hash of the installed image, ``broken`` how the host was broken, if it was.

    ``image`` is None where somebody else installed the host; an installation that was cut short by the
    lab's own death stays broken, whatever root it made, until the host was seen to do its work.
    """

    root: str | None = None
    image: str | None = None
    broken: str | None = None


def of(machine: Hardware) -> Condition:
    """What is known of the host as it is now; what was noted of an earlier installation does not count."""
    noted: dict[str, Any] = read_json(host_folder(machine.name) / FILE)
    root = root_uuid(machine)
    if not noted or noted.get("broken") == INSTALLING or root is None:
        return Condition(root, broken=noted.get("broken", INSTALLING))
    if root != noted.get("root"):
        return Condition(root)
    return Condition(root, noted.get("image"), noted.get("broken"))


def installed(machine: Hardware, image: str) -> None:
    """Note that the host runs this image and is well."""
    _note(machine, Condition(root_uuid(machine), image))


def recovered(machine: Hardware) -> None:
    """Note that somebody else installed the host and that it does its work."""
    _note(machine, Condition(root_uuid(machine)))


def broken(machine: Hardware, how: str) -> None:
    """Note that the host is about to be broken, or that its installation begins."""
    now = of(machine)
    _note(machine, Condition(now.root, now.image, how))


def root_uuid(machine: Hardware) -> str | None:
    """The UUID of the root file system; None where there is none to be read."""
    root = next((part for part in disks.read_table(machine.image) if part.kind == disks.ROOT_TYPE), None)
    if root is None:
        return None
    with machine.image.open("rb") as disk:
        disk.seek(root.start + SUPERBLOCK)
        block = disk.read(SUPERBLOCK)
    return str(uuid.UUID(bytes=block[0x68:0x78])) if block[0x38:0x3A] == MAGIC else None


def _note(machine: Hardware, condition: Condition) -> None:
    write_state(host_folder(machine.name) / FILE, asdict(condition))
