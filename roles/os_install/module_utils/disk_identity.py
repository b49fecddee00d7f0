"""Which machine is this, and which of its disks is the host's? Read from the kernel, nothing is opened.

Runs in the rescue system; standard library only, so that `rmc-dr host adopt` can also send it over SSH.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# What boards say that were never given a serial number.
PLACEHOLDERS = frozenset(
    (
        "", "0", "0123456789", "123456789", "none", "unknown", "not available", "not specified",
        "default string", "system serial number", "to be filled by o.e.m.",
        "00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    )
)  # fmt: skip
SKIPPED_DISKS = ("ram", "zram", "sr", "dm-", "md", "nbd", "fd")


class WrongMachine(Exception):
    """The machine or its disk is not proven to be the estate's; says what was seen."""


@dataclass(frozen=True)
class Disk:
    """One whole disk. ``ids`` are the marks it may be known by; ``size`` in bytes; ``sector`` its unit."""

    name: str
    device: str
    ids: tuple[str, ...]
    size: int
    sector: int
    model: str


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \n\t\0")
    except OSError:
        return ""


def _is_block(path: Path) -> bool:
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        return False


def machine_ids(reader: str, root: Path = Path("/")) -> tuple[str, ...]:
    """The marks of this machine by one reader; placeholders of nameless boards are left out."""
    if reader == "lab":
        environ = _text(root / "proc/1/environ").split("\0")
        found = [line.partition("=")[2] for line in environ if line.startswith("container_uuid=")]
    else:
        dmi = root / "sys/class/dmi/id"
        found = [_text(dmi / name) for name in ("product_uuid", "product_serial")]
    return tuple(mark for mark in found if mark.lower() not in PLACEHOLDERS)


def disks(
    reader: str, root: Path = Path("/"), is_block: Callable[[Path], bool] = _is_block
) -> tuple[Disk, ...]:
    """The disks whose device nodes this system has: loop devices in the lab, real ones elsewhere."""
    found = []
    for folder in sorted((root / "sys/block").glob("*")):
        name = folder.name
        if name.startswith(SKIPPED_DISKS) or name.startswith("loop") != (reader == "lab"):
            continue
        if not is_block(root / "dev" / name):
            continue
        marks = tuple(mark for mark in _disk_ids(folder) if mark.lower() not in PLACEHOLDERS)
        size = int(_text(folder / "size") or 0) * 512
        sector = int(_text(folder / "queue/logical_block_size") or 512)
        if marks or reader != "lab":
            found.append(Disk(name, f"/dev/{name}", marks, size, sector, _text(folder / "device/model")))
    return tuple(found)


def _disk_ids(folder: Path) -> list[str]:
    backing = _text(folder / "loop/backing_file")
    marks = [Path(backing).name] if backing else []
    marks += [_text(folder / name) for name in ("serial", "wwid", "device/serial", "device/wwid")]
    try:
        page = (folder / "device/vpd_pg80").read_bytes()  # SCSI: four bytes of header, then the serial
        marks.append(page[4:].decode("ascii", "replace").strip(" \0"))
    except OSError:
        pass
    return list(dict.fromkeys(marks))


def prove(machine: str, disk: str, seen: Sequence[str], present: Iterable[Disk]) -> Disk:
    """The one disk that the estate names. Raises WrongMachine unless machine and disk are both proven."""
    if machine.strip().lower() not in [mark.lower() for mark in seen]:
        said = ", ".join(seen) or "nothing that names it"
        raise WrongMachine(f"the machine says {said}, but the estate names {machine}")
    present = tuple(present)
    matching = [found for found in present if disk in found.ids]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(found.device for found in matching)
        raise WrongMachine(f"the disk {disk} is ambiguous: {names} all carry that mark")
    there = "; ".join(f"{found.device}: {', '.join(found.ids)}" for found in present) or "no disk at all"
    raise WrongMachine(f"the machine has no disk {disk}; it has {there}")


def describe(root: Path = Path("/")) -> dict[str, object]:
    """Everything that could name this machine, for the person who takes it into the estate."""
    reader = "lab" if machine_ids("lab", root) else "dmi"
    dmi = root / "sys/class/dmi/id"
    return {
        "reader": reader,
        "model": " ".join(filter(None, (_text(dmi / name) for name in ("sys_vendor", "product_name")))),
        "machine": machine_ids(reader, root),
        "disks": [
            {**asdict(disk), "partitions": _partitions(root / "sys/block" / disk.name)}
            for disk in disks(reader, root)
        ],
    }


def _partitions(folder: Path) -> list[str]:
    sizes = {
        path.name: int(_text(path / "size") or 0) * 512 for path in sorted(folder.glob(f"{folder.name}*"))
    }
    return [f"{name}: {size // 2**20} MiB" for name, size in sizes.items()]


if __name__ == "__main__":
    print(json.dumps(describe()))  # noqa: T201
