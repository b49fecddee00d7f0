"""Partition table and filesystems for a new operating system; the data partition is kept."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ansible.module_utils.disk_identity import Disk
from ansible.module_utils.disk_layout import (
    BIOS,
    DATA,
    DATA_LABEL,
    ESP,
    EXT4_BLOCK,
    ROOT,
    FoundData,
    LayoutError,
    Partition,
    Read,
    find_data,
    keeps,
    primary_table,
    read_table,
    sgdisk_arguments,
    wanted,
)
from ansible.module_utils.file_tree import read_tree

MANIFEST = "data-before.sha256"
E2FSCK_NEEDS_A_PERSON = 4
E2FSCK_FAILED = 8  # and above: it did not run at all
BLKPG = 0x1269
EXT4_OWN_INODES = 11  # in use in an empty filesystem


class CommandFailed(Exception):
    """A command on the disk failed; says which and why."""


class Shell:
    """Runs commands; each inherits the lock."""

    def __init__(self, run_command: Callable[..., tuple[int, str, str]], lock: int) -> None:
        self._run_command = run_command
        self._lock = lock

    def code(self, *words: str) -> tuple[int, str]:
        """Exit code and what was said."""
        code, out, err = self._run_command(list(words), pass_fds=[self._lock])
        return code, (out + err).strip()

    def run(self, *words: str) -> str:
        """What the command said. Raises CommandFailed where it did not end with 0."""
        code, said = self.code(*words)
        if code:
            raise CommandFailed(f"{' '.join(words)} failed ({code}): {said[-500:]}")
        return said


def prepare(
    shell: Shell, disk: Disk, root_gib: int, *, wipe_data: bool, hash_data: bool, state: Path
) -> dict[str, object]:
    """Make the disk ready for an image. Nothing is written before the data has shown that it survives.

    ``data`` says what became of it: `kept`, what it `was`, how many `files` and `bytes` it held (None where
    that could not be counted), and its `sha256` over all files where they were hashed.
    """
    layout = wanted(disk.size, disk.sector, root_gib)
    found, table_stands = _look(shell, disk, layout)
    keep = keeps(found, wipe_data)
    data: dict[str, object] = {"kept": keep, "was": found.state, "files": None, "bytes": None, "sha256": None}
    (state / MANIFEST).write_bytes(b"")
    if keep:
        node = _data_node(shell, disk, layout, table_stands)
        _make_readable(shell, disk, layout[-1], node, found, state)
        data.update(_read_data(shell, node, state, hash_data=hash_data))
    elif found.superblock:
        with contextlib.suppress(CommandFailed):  # what is given up anyway need not be whole
            node = _data_node(shell, disk, layout, table_stands)
            data.update(_read_data(shell, node, state, hash_data=False))
    if not table_stands:
        _write_table(shell, disk, layout, keep)
    nodes = partition_nodes(shell, disk, layout)
    _make_filesystems(shell, nodes, keep)
    return {
        "changed": True,
        "root_device": nodes[ROOT],
        "root_uuid": filesystem_uuid(shell, nodes[ROOT]),
        "esp_uuid": filesystem_uuid(shell, nodes[ESP]),
        "data_uuid": filesystem_uuid(shell, nodes[DATA]),
        "data": data,
    }


def old_root(shell: Shell, disk: Disk, root_gib: int) -> str | None:
    """The device node of the old system's root filesystem; None where no sound table says where it lies."""
    layout = wanted(disk.size, disk.sector, root_gib)
    _found, table_stands = _look(shell, disk, layout)
    return partition_nodes(shell, disk, layout)[ROOT] if table_stands else None


def _look(shell: Shell, disk: Disk, layout: Sequence[Partition]) -> tuple[FoundData, bool]:
    listed = json.loads(shell.run("wipefs", "--no-act", "--json", disk.device))
    signatures = [mark["type"] for mark in listed["signatures"]]
    with open_disk(disk) as read:
        table = read_table(read, disk.size, disk.sector)
        stands = primary_table(read, disk.sector) == tuple(layout)
        return find_data(read, table, layout, signatures), stands


@contextlib.contextmanager
def open_disk(disk: Disk) -> Iterator[Read]:
    """Reads bytes of the disk, past any cache of an earlier look."""
    handle = os.open(disk.device, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        yield lambda at, count: os.pread(handle, count, at)
    finally:
        os.close(handle)


def _write_table(shell: Shell, disk: Disk, layout: Sequence[Partition], keep: bool) -> None:
    if not keep:  # else a mark that lies outside of all partitions would pass for a foreign disk's one day
        shell.run("wipefs", "--all", "--force", "--quiet", disk.device)
    shell.code("sgdisk", "--zap-all", disk.device)  # says 2 for the very damage that it removes
    shell.run("sgdisk", *sgdisk_arguments(layout, disk.sector), disk.device)
    with open_disk(disk) as read:
        written = primary_table(read, disk.sector)
    if written != tuple(layout):
        raise CommandFailed(f"the partition table of {disk.device} reads back as {written}, not as written")


def partition_nodes(shell: Shell, disk: Disk, layout: Sequence[Partition]) -> dict[int, str]:
    """The partitions' device nodes; makes them where no udev does. Raises CommandFailed where the kernel
    still sees other partitions than the table on the disk.
    """
    shell.code("partx", "--update", disk.device)
    return {part.number: _partition_node(disk, part) for part in layout}


def _data_node(shell: Shell, disk: Disk, layout: Sequence[Partition], table_stands: bool) -> str:
    """The data partition's device node. Without a table the kernel alone is told where it lies: a table on
    the disk would be a first byte written before anybody knows whether the data can be kept.
    """
    if table_stands:
        return partition_nodes(shell, disk, layout)[DATA]
    shell.code("partx", "--delete", disk.device)  # what an older look has left; says 1 where there is none
    _show_kernel(disk, layout[-1])
    return _partition_node(disk, layout[-1])


def _show_kernel(disk: Disk, part: Partition) -> None:
    """BLKPG_ADD_PARTITION of linux/blkpg.h: the kernel's own list alone, nothing on the disk."""
    entry = ctypes.create_string_buffer(
        struct.pack("@qqi64s64s0q", part.start, part.size, part.number, b"", b"")
    )
    handle = os.open(disk.device, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, BLKPG, struct.pack("@iiiP", 1, 0, len(entry) - 1, ctypes.addressof(entry)))
    except OSError as problem:
        raise CommandFailed(
            f"the kernel takes no partition {part.number} of {disk.device}: {problem}"
        ) from None
    finally:
        os.close(handle)


def _partition_node(disk: Disk, part: Partition) -> str:
    infix = "p" if disk.name[-1].isdigit() else ""
    name = f"{disk.name}{infix}{part.number}"
    folder = Path("/sys/class/block") / name
    seen = tuple(_sectors(folder / key) for key in ("start", "size"))
    if seen != (part.start // 512, part.size // 512):
        raise CommandFailed(f"the kernel sees {name} at {seen}, not at {part.start // 512}")
    major, minor = (int(word) for word in (folder / "dev").read_text().split(":"))
    return _node(Path("/dev") / name, os.makedev(major, minor))


def _sectors(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except OSError:
        return None


def _node(path: Path, device: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_rdev == device:
            return str(path)
        path.unlink()
    os.mknod(path, 0o600 | 0o060000, device)
    return str(path)


def _make_readable(
    shell: Shell, disk: Disk, place: Partition, node: str, found: FoundData, state: Path
) -> None:
    """Check the data's filesystem, and repair what needs no decision. What was repaired before it turned out
    that a person is needed is taken back, byte for byte.
    """
    undo = state / "e2fsck.undo"
    undo.unlink(missing_ok=True)
    backup = ["-b", str(found.backup_block), "-B", str(EXT4_BLOCK)] if found.backup_block else []
    code, said = shell.code("e2fsck", "-p", "-z", str(undo), *backup, node)
    if code < E2FSCK_NEEDS_A_PERSON:
        undo.unlink(missing_ok=True)
        return
    if undo.exists():
        shell.run("e2undo", str(undo), node)
    if code >= E2FSCK_FAILED:
        raise CommandFailed(f"the data partition {node} cannot be checked ({code}): {said[-300:]}")
    by_hand = " ".join(["e2fsck", "-f", *backup, f"'{disk.device}?offset={place.start}'"])
    raise LayoutError(
        f"The data partition needs repairs that may lose files ({said[-300:]}). Nothing was written. Copy "
        f"the disk first, then repair it in the rescue system with {by_hand}, or give the data up with "
        "--wipe-data"
    )


def _read_data(shell: Shell, node: str, state: Path, *, hash_data: bool) -> dict[str, object]:
    """How much the data is, and where that is wanted, a hash of every file of it."""
    mountpoint = state / "data"
    mountpoint.mkdir(exist_ok=True)
    shell.run("mount", "-o", "ro,noload", node, str(mountpoint))
    started = time.monotonic()
    try:
        if not hash_data:
            room = os.statvfs(mountpoint)
            files = room.f_files - room.f_ffree - EXT4_OWN_INODES
            return {"files": files, "bytes": (room.f_blocks - room.f_bfree) * room.f_frsize}
        tree = read_tree(mountpoint)
        (state / MANIFEST).write_bytes(tree.lines())
        return {
            "files": len(tree.entries),
            "bytes": tree.size,
            "sha256": tree.digest,
            "seconds": round(time.monotonic() - started, 1),
        }
    finally:
        shell.run("umount", str(mountpoint))


def _make_filesystems(shell: Shell, nodes: dict[int, str], keep: bool) -> None:
    for number in (BIOS, ESP, ROOT) if keep else (BIOS, ESP, ROOT, DATA):
        shell.run("wipefs", "--all", "--quiet", nodes[number])
    shell.run("mkfs.vfat", "-F", "32", "-n", "EFI", nodes[ESP])
    ext4 = ["mkfs.ext4", "-q", "-F", "-b", str(EXT4_BLOCK), "-E", "lazy_itable_init=1,lazy_journal_init=1"]
    shell.run(*ext4, "-L", "root", nodes[ROOT])
    if not keep:
        shell.run(*ext4, "-m", "0", "-L", DATA_LABEL, nodes[DATA])


def filesystem_uuid(shell: Shell, node: str) -> str:
    """The filesystem's UUID as it stands on the disk, not in a cache."""
    return shell.run("blkid", "--probe", "--output", "value", "--match-tag", "UUID", node)
