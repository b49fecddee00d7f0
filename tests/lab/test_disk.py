"""What becomes of a real disk's data before a system is installed on it. Needs root, but no lab."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import content_hash

from rmc_dr import content

sys.path.insert(0, str(content.root() / "roles/os_install/module_utils"))
from disk_identity import Disk
from disk_layout import DATA, GIB, LayoutError, sgdisk_arguments, wanted

for name in ("disk_identity", "disk_layout", "file_tree"):  # where Ansible puts them on a host
    sys.modules[f"ansible.module_utils.{name}"] = importlib.import_module(name)
disk_prepare: Any = importlib.import_module("disk_prepare")

pytestmark = pytest.mark.lab
SIZE, ROOT_GIB = 4 * GIB, 2
PLACE = wanted(SIZE, 512, ROOT_GIB)[-1]
HELD = b"a patient's only copy" * 1000


def run(*words: object) -> str:
    return subprocess.run(
        [str(word) for word in words], check=True, capture_output=True, text=True
    ).stdout.strip()


def run_command(words: list[str], pass_fds: list[int]) -> tuple[int, str, str]:
    done = subprocess.run(words, pass_fds=pass_fds, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@dataclass
class Machine:
    """A disk in a file, attached; ``state`` is the rescue system's folder."""

    image: Path
    disk: Disk
    state: Path

    def prepare(self, **options: bool) -> dict[str, Any]:
        lock = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT)
        try:
            shell = disk_prepare.Shell(run_command, lock)
            words = {"wipe_data": False, "hash_data": True, **options}
            return disk_prepare.prepare(shell, self.disk, ROOT_GIB, state=self.state, **words)
        finally:
            os.close(lock)

    def debugfs(self, command: str) -> None:
        run("debugfs", "-w", "-R", command, f"{self.image}?offset={PLACE.start}")

    def kept(self) -> bytes:
        node = disk_prepare.partition_nodes(self.shell(), self.disk, wanted(SIZE, 512, ROOT_GIB))[DATA]
        return subprocess.run(["debugfs", "-R", "cat held", node], check=True, capture_output=True).stdout

    def shell(self) -> disk_prepare.Shell:
        return disk_prepare.Shell(run_command, 0)

    def lose_both_tables(self) -> None:
        for at, count in ((0, PLACE.start), (SIZE - 34 * 512, 34 * 512)):
            run("fallocate", "--punch-hole", "--offset", at, "--length", count, self.image)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A disk of rmc-dr's with a table and one file among its data."""
    image, state, held = tmp_path / "disk.img", tmp_path / "state", tmp_path / "held"
    state.mkdir()
    held.write_bytes(HELD)
    run("truncate", "--size", SIZE, image)
    run("sgdisk", *sgdisk_arguments(wanted(SIZE, 512, ROOT_GIB), 512), image)
    options = f"offset={PLACE.start},lazy_itable_init=1"
    run("mkfs.ext4", "-q", "-F", "-b", 4096, "-L", "data", "-E", options, image, f"{PLACE.size // 1024}k")
    device = run("losetup", "--find", "--show", image)
    made = Machine(image, Disk(Path(device).name, device, ("disk.img",), SIZE, 512, ""), state)
    made.debugfs(f"write {held} held")
    run("blockdev", "--flushbufs", device)
    yield made
    subprocess.run(["umount", state / "data"], capture_output=True, check=False)
    subprocess.run(["partx", "--delete", device], capture_output=True, check=False)
    run("losetup", "--detach", device)
    for node in Path("/dev").glob(f"{Path(device).name}p*"):
        node.unlink()


@pytest.mark.parametrize("table", ["stands", "gone"])
def test_data_is_kept_and_hashed(machine: Machine, table: str) -> None:
    if table == "gone":
        machine.lose_both_tables()
    data = machine.prepare()["data"]
    assert (data["kept"], data["files"], data["bytes"]) == (True, 1, len(HELD))
    assert len(data["sha256"]) == 64
    assert machine.kept() == HELD


def test_data_that_nobody_compares_is_checked_and_not_hashed(machine: Machine) -> None:
    data = machine.prepare(hash_data=False)["data"]
    assert (data["kept"], data["files"], data["sha256"]) == (True, 1, None)
    assert (machine.state / disk_prepare.MANIFEST).read_bytes() == b""
    assert machine.kept() == HELD


def test_data_with_a_journal_to_replay_is_kept(machine: Machine, tmp_path: Path) -> None:
    """The disk as a power cut leaves it: the last file stands in the journal only."""
    crashed = tmp_path / "crashed.img"
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    run("mount", disk_prepare.partition_nodes(machine.shell(), machine.disk, [PLACE])[DATA], mountpoint)
    try:
        (mountpoint / "late").write_bytes(b"late")
        with (mountpoint / "late").open("rb") as late:
            os.fsync(late.fileno())
        run("cp", "--sparse=always", machine.image, crashed)
    finally:
        run("umount", mountpoint)
    assert "needs_recovery" in run("dumpe2fs", "-h", f"{crashed}?offset={PLACE.start}")
    run("fallocate", "--punch-hole", "--offset", 0, "--length", SIZE, machine.image)
    run("dd", f"if={crashed}", f"of={machine.image}", "bs=1M", "conv=notrunc,sparse", "status=none")
    run("blockdev", "--flushbufs", machine.disk.device)
    machine.lose_both_tables()
    data = machine.prepare()["data"]
    assert (data["kept"], data["files"]) == (True, 2)
    assert machine.kept() == HELD


@pytest.mark.parametrize("table", ["stands", "gone"])
def test_data_that_only_a_person_can_repair_is_refused_and_not_one_byte_is_written(
    machine: Machine, table: str
) -> None:
    machine.debugfs("set_inode_field held block[0] 0")  # its extents end in nothing
    machine.debugfs("set_super_value state 2")
    machine.debugfs("set_super_value free_inodes_count 1")  # this, e2fsck would repair by itself
    if table == "gone":
        machine.lose_both_tables()
    run("blockdev", "--flushbufs", machine.disk.device)
    before = content_hash(machine.image)
    with pytest.raises(LayoutError, match=r"(?s)may lose files.*Nothing was written") as refused:
        machine.prepare()
    run("blockdev", "--flushbufs", machine.disk.device)
    assert content_hash(machine.image) == before
    assert f"e2fsck -f '{machine.disk.device}?offset={PLACE.start}'" in str(refused.value)


def test_data_that_is_given_up_is_counted_first(machine: Machine) -> None:
    machine.lose_both_tables()
    data = machine.prepare(wipe_data=True)["data"]
    assert (data["kept"], data["was"], data["files"], data["sha256"]) == (False, "present", 1, None)
    assert machine.kept() == b""


def test_a_blank_disk_gets_what_it_needs(machine: Machine) -> None:
    run("fallocate", "--punch-hole", "--offset", 0, "--length", SIZE, machine.image)
    run("blockdev", "--flushbufs", machine.disk.device)
    made = machine.prepare()
    assert made["data"] == {"kept": False, "was": "none", "files": None, "bytes": None, "sha256": None}
    with disk_prepare.open_disk(machine.disk) as read:
        assert disk_prepare.primary_table(read, 512) == wanted(SIZE, 512, ROOT_GIB)
