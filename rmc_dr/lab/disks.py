"""The hosts' disks: one sparse image file each, attached as a loop device while its host is on."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rmc_dr.errors import Error, Refused
from rmc_dr.i18n import _
from rmc_dr.lab.place import alone, folder, run

GIB = 1024**3
SECTOR = 512
# Partition types of the UEFI discoverable partitions specification.
ROOT_TYPE = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
DATA_TYPE = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"
RELEASE_SECONDS = 15


@dataclass(frozen=True)
class Partition:
    """One entry of a disk's table; ``start`` and ``size`` in bytes."""

    number: int
    kind: str
    start: int
    size: int


def proven(path: Path) -> Path:
    """The path, if it is a plain file of the lab's own or missing. Raises Refused `lab-foreign-target`."""
    inside = folder().resolve() / "hosts"
    plain = not path.exists() or (path.is_file() and path.stat().st_nlink == 1)
    if path.is_symlink() or not plain or inside not in path.resolve().parents or ".." in path.parts:
        raise Refused(
            "lab-foreign-target",
            _("{path} is not a disk of the lab: it leads outside of {folder}.").format(
                path=path, folder=folder()
            ),
            _("Nothing was touched. Look at what the path leads to, and remove the link if it is yours."),
        )
    return path


def make_blank(path: Path, size_gib: int) -> None:
    """Make a sparse disk file, if there is none yet."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.truncate(size_gib * GIB)
    draft.replace(path)


def attach(path: Path) -> Path:
    """The loop device of a disk file, with its partitions known to the kernel."""
    with alone("disks"):
        device = attached(proven(path)) or Path(run("losetup", "--find", "--show", path).strip())
        refresh(device)
    return device


def refresh(device: Path) -> None:
    """Make the kernel read the partition table anew; a disk without one has no partitions."""
    if _partition_nodes(device):
        run("partx", "--delete", device)
    if _table(device):
        run("partx", "--add", device)


def attached(path: Path) -> Path | None:
    """The loop device that a disk file is attached to, as the kernel says."""
    for device, backing in all_attached().items():
        if backing == path.resolve():
            return device
    return None


def all_attached() -> dict[Path, Path]:
    """Every loop device whose file lies in the lab's state folder."""
    inside = folder().resolve()
    found = {}
    for entry in Path("/sys/class/block").glob("loop*/loop/backing_file"):
        backing = Path(entry.read_text().strip().removesuffix(" (deleted)"))
        if inside in backing.parents:
            found[Path("/dev") / entry.parts[4]] = backing
    return found


def detach(below: Path) -> None:
    """Let go of every disk file below a folder of the lab. Raises Error `lab-disk-busy` if one is in use.

    A freed loop device may be another disk's a moment later, so it is looked up again before each step.
    """
    deadline = time.monotonic() + RELEASE_SECONDS
    while devices := _attached_below(below):
        with alone("disks"):
            for device in _attached_below(below):
                with suppress(Error):  # a mount in a dying namespace
                    if _partition_nodes(device):
                        run("partx", "--delete", device)
                    run("losetup", "--detach", device)
        if time.monotonic() > deadline:
            raise Error(
                "lab-disk-busy",
                _("{device} is still in use.").format(device=devices[0]),
                _("Find its user with `grep {device} /proc/*/mounts`, end it, and try again.").format(
                    device=devices[0]
                ),
            )
        time.sleep(0.02)


def _attached_below(folder: Path) -> list[Path]:
    below = folder.resolve()
    return [device for device, backing in all_attached().items() if below in backing.parents]


def _partition_nodes(device: Path) -> list[Path]:
    return list(Path("/sys/class/block", device.name).glob(f"{device.name}p*"))


def system_partitions(device: Path) -> tuple[Path, Path | None]:
    """The device nodes of root and data. Raises Error `lab-no-system` for a disk without a root."""
    table = _table(device)
    root = next((part for part in table if part.kind == ROOT_TYPE), None)
    data = next((part for part in table if part.kind == DATA_TYPE), None)
    if root is None:
        raise Error(
            "lab-no-system",
            _("The disk {device} holds no installed system.").format(device=device),
            _("`rmc-dr rebuild` or `rmc-dr lab heal` installs one."),
        )
    return _node(device, root), _node(device, data) if data else None


def read_table(path: Path) -> list[Partition]:
    """The partitions of a disk file; none where it has no readable table."""
    return _table(proven(path))


def _table(path: Path) -> list[Partition]:
    try:
        listing = run("partx", "--raw", "--noheadings", "-o", "NR,START,SECTORS,TYPE", path)
    except Refused:
        raise
    except Error:
        return []
    rows = [line.split() for line in listing.splitlines()]
    return [
        Partition(int(number), kind.lower(), int(start) * SECTOR, int(sectors) * SECTOR)
        for number, start, sectors, kind in rows
    ]


def _node(device: Path, partition: Partition) -> Path:
    """The device node of a partition, made where no udev makes it."""
    node = Path(f"{device}p{partition.number}")
    if not node.exists():
        major, minor = Path("/sys/class/block", node.name, "dev").read_text().split(":")
        os.mknod(node, 0o660 | 0o060000, os.makedev(int(major), int(minor)))
    return node
