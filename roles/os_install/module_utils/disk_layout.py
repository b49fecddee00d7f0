"""Where the partitions of a host's disk lie, and what stands on a disk already. Pure: works on bytes.

The layout is deterministic, so that the data partition is found again by its place when the partition
table is gone: 1 MiB BIOS boot, 128 MiB ESP, the root filesystem, and the rest for the data.
"""

from __future__ import annotations

import binascii
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB
BIOS, ESP, ROOT, DATA = 1, 2, 3, 4
TYPE_GUIDS = {
    BIOS: "21686148-6449-6e6f-744e-656564454649",  # sgdisk ef02
    ESP: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",  # ef00
    ROOT: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",  # 8304, Linux x86-64 root
    DATA: "3b8f8425-20e0-4f3b-907f-1a25a76f98e8",  # 8306, Linux /srv
}
TYPE_CODES = {BIOS: "ef02", ESP: "ef00", ROOT: "8304", DATA: "8306"}
DATA_LABEL = "data"
SMALLEST_DATA = 64 * MIB
EXT4_BLOCK = 4096
EXT4_GROUP_BLOCKS = 32768
BACKUP_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49, 81, 125)
EXT4_MAGIC = 0xEF53

Read = Callable[[int, int], bytes]


class LayoutError(Exception):
    """The disk cannot carry the layout, or may not be written; says why and what to do."""


@dataclass(frozen=True)
class Partition:
    """One partition; ``start`` and ``size`` in bytes, ``type_guid`` in lower case."""

    number: int
    start: int
    size: int
    type_guid: str


@dataclass(frozen=True)
class Superblock:
    """What an ext4 superblock says of its filesystem; ``size`` in bytes."""

    label: str
    uuid: str
    size: int


@dataclass(frozen=True)
class FoundData:
    """What was found where the data belongs.

    ``state``: `none` (nothing to lose), `present` (a superblock is there), `damaged` (only a backup
    superblock at filesystem block ``backup_block``), `elsewhere` (data, but at another place), or `foreign`
    (something that is not rmc-dr's).
    """

    state: str
    detail: str = ""
    superblock: Superblock | None = None
    backup_block: int | None = None


def wanted(disk_bytes: int, sector: int, root_gib: int) -> tuple[Partition, ...]:
    """The layout for a disk of this size. Raises LayoutError where too little would be left for data."""
    sizes = {BIOS: MIB, ESP: 128 * MIB, ROOT: root_gib * GIB}
    partitions = []
    start = MIB
    for number, size in sizes.items():
        partitions.append(Partition(number, start, size, TYPE_GUIDS[number]))
        start += size
    table_copy = 128 * 128 + sector  # the backup table: 128 entries and a header
    rest = (disk_bytes - table_copy - start) // MIB * MIB
    if rest < SMALLEST_DATA:
        raise LayoutError(
            f"the disk has {disk_bytes} bytes, too few for a root filesystem of {root_gib} GiB and data; "
            "use a larger disk or a smaller disk.root_gib"
        )
    return (*partitions, Partition(DATA, start, rest, TYPE_GUIDS[DATA]))


def sgdisk_arguments(partitions: Sequence[Partition], sector: int) -> list[str]:
    """The words for one sgdisk call that writes a fresh table."""
    words = ["--clear", f"--set-alignment={MIB // sector}"]
    for part in partitions:
        first, last = part.start // sector, (part.start + part.size) // sector - 1
        words += [f"--new={part.number}:{first}:{last}"]
        words += [f"--typecode={part.number}:{TYPE_CODES[part.number]}"]
    return words


def read_table(read: Read, disk_bytes: int, sector: int) -> tuple[Partition, ...] | None:
    """The disk's GPT, from its first copy or else from its last; None where neither is sound."""
    for lba in (1, disk_bytes // sector - 1):
        table = _table_at(read, lba, sector)
        if table is not None:
            return table
    return None


def primary_table(read: Read, sector: int) -> tuple[Partition, ...] | None:
    """The first copy alone: what firmware reads, and what must be right after writing."""
    return _table_at(read, 1, sector)


def _table_at(read: Read, lba: int, sector: int) -> tuple[Partition, ...] | None:
    header = read(lba * sector, 92)
    if len(header) < 92 or header[:8] != b"EFI PART":
        return None
    said = struct.unpack_from("<I", header, 16)[0]
    if binascii.crc32(header[:16] + b"\0\0\0\0" + header[20:92]) != said:
        return None
    first, count, size, crc = struct.unpack_from("<QIII", header, 72)
    if size < 128 or count > 1024:
        return None
    entries = read(first * sector, count * size)
    if binascii.crc32(entries) != crc:
        return None
    found = []
    for index in range(count):
        entry = entries[index * size : index * size + 128]
        if entry[:16] == bytes(16):
            continue
        start, end = struct.unpack_from("<QQ", entry, 32)
        guid = str(uuid.UUID(bytes_le=entry[:16]))
        found.append(Partition(index + 1, start * sector, (end - start + 1) * sector, guid))
    return tuple(found)


def superblock(raw: bytes) -> Superblock | None:
    """An ext4 superblock in these 1024 bytes, or None."""
    if len(raw) < 1024 or struct.unpack_from("<H", raw, 56)[0] != EXT4_MAGIC:
        return None
    blocks, shift = (struct.unpack_from("<I", raw, at)[0] for at in (4, 24))
    if not blocks or shift > 6:
        return None
    block = 1024 << shift
    label = raw[120:136].split(b"\0")[0].decode("ascii", "replace")
    return Superblock(label, str(uuid.UUID(bytes=raw[104:120])), blocks * block)


def find_data(
    read: Read,
    table: Sequence[Partition] | None,
    layout: Sequence[Partition],
    signatures: Sequence[str],
) -> FoundData:
    """Look for the data partition, by the table where there is one and by its known place in any case, and
    for anything else that somebody may still need. ``signatures`` are what libblkid recognises on the disk
    as a whole, by its names.
    """
    place = layout[-1]
    for part in table or ():
        if part.start != place.start and _is_data(read, part):
            return FoundData(
                "elsewhere",
                f"the disk's data partition starts at {part.start // MIB} MiB, but the estate's root_gib "
                f"places it at {place.start // MIB} MiB; correct disk.root_gib, or give up the data",
            )
    strangers = [part for part in table or () if not _is_ours(part, layout)]
    if strangers:
        return FoundData("foreign", f"the disk holds partitions that are not rmc-dr's: {_listed(strangers)}")
    if "dos" in signatures:
        return FoundData("foreign", "the disk has an MBR partition table, which rmc-dr never makes")
    kept = _by_place(read, place)
    # The table of ours explains whatever older mark still shows through; an empty one explains nothing.
    marks = sorted(set(signatures) - ({"gpt", "PMBR"} if table is not None else set()))
    if kept.state == "none" and not table and marks:
        return FoundData(
            "foreign", f"no table of rmc-dr's is on the disk, but the mark of {', '.join(marks)}"
        )
    return kept


def _is_ours(part: Partition, layout: Sequence[Partition]) -> bool:
    """One of the layout's four; the data partition may have another size, on a disk that has grown."""
    place = layout[-1]
    return part in layout or (part.start, part.type_guid) == (place.start, place.type_guid)


def _listed(parts: Sequence[Partition]) -> str:
    return "; ".join(
        f"number {part.number} at {part.start // MIB} MiB, {part.size // MIB} MiB, type {part.type_guid}"
        for part in parts
    )


def _by_place(read: Read, place: Partition) -> FoundData:
    first = superblock(read(place.start + 1024, 1024))
    if first:
        return _found(first, place, None)
    for group in BACKUP_GROUPS:
        block = group * EXT4_GROUP_BLOCKS
        if (block + 1) * EXT4_BLOCK > place.size:
            break
        backup = superblock(read(place.start + block * EXT4_BLOCK, 1024))
        if backup and backup.label == DATA_LABEL:
            return _found(backup, place, block)
    if any(read(place.start, 128 * 1024)):
        return FoundData("foreign", "where the data belongs lies something that rmc-dr does not know")
    return FoundData("none")


def _found(found: Superblock, place: Partition, backup_block: int | None) -> FoundData:
    if found.label != DATA_LABEL:
        return FoundData(
            "foreign", f"a filesystem labelled {found.label!r} lies where the data belongs", found
        )
    if found.size > place.size:
        return FoundData(
            "elsewhere",
            f"the data filesystem has {found.size // MIB} MiB, more than the {place.size // MIB} MiB of its "
            "partition; correct disk.root_gib, or give up the data",
            found,
        )
    return FoundData("damaged" if backup_block else "present", "", found, backup_block)


def _is_data(read: Read, part: Partition) -> bool:
    if part.type_guid == TYPE_GUIDS[DATA]:
        return True
    found = superblock(read(part.start + 1024, 1024))
    return found is not None and found.label == DATA_LABEL


def keeps(found: FoundData, wipe_data: bool) -> bool:
    """Whether the data partition is kept. Raises LayoutError where only `wipe_data` would allow going on."""
    if wipe_data or found.state == "none":
        return False
    if found.state in ("present", "damaged"):
        return True
    raise LayoutError(
        f"{found.detail}. Nothing was written. With --wipe-data (wipe_data=true) it would be erased."
    )
