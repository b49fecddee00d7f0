"""Where partitions lie, what stands on a disk, which disk it is, and whether its files are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content

sys.path.insert(0, str(content.root() / "roles/os_install/module_utils"))
import disk_identity
import disk_layout
import file_tree
from disk_layout import GIB, MIB, FoundData, LayoutError, Partition, Read

SIZE = 4 * GIB
MACHINE = "6b1d2c5e-0a11-4c1e-9d3e-00000000a001"


def reader(path: Path) -> Read:
    def read(at: int, count: int) -> bytes:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(count)

    return read


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.touch()
    os.truncate(path, SIZE)
    return path


def partition(path: Path) -> tuple[Partition, ...]:
    layout = disk_layout.wanted(SIZE, 512, 2)
    subprocess.run(
        ["sgdisk", *disk_layout.sgdisk_arguments(layout, 512), str(path)], check=True, capture_output=True
    )
    return layout


def format_data(path: Path, label: str = "data") -> Partition:
    data = disk_layout.wanted(SIZE, 512, 2)[-1]
    size, options = f"{data.size // 1024}k", f"offset={data.start},lazy_itable_init=1"
    words = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-L", label, "-E", options, str(path), size]
    subprocess.run(words, check=True, capture_output=True)
    return data


def look(path: Path, root_gib: int = 2) -> FoundData:
    read = reader(path)
    listed = subprocess.run(["wipefs", "--no-act", "--json", path], check=True, capture_output=True).stdout
    signatures = [mark["type"] for mark in json.loads(listed)["signatures"]]
    table = disk_layout.read_table(read, SIZE, 512)
    return disk_layout.find_data(read, table, disk_layout.wanted(SIZE, 512, root_gib), signatures)


def overwrite(path: Path, at: int, count: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(count))


@given(
    disk_mib=st.integers(min_value=4 * 1024, max_value=16 * 1024 * 1024),
    odd=st.integers(min_value=0, max_value=2047),
    sector=st.sampled_from([512, 4096]),
    root_gib=st.integers(min_value=2, max_value=3),
)
def test_the_layout_fits_every_disk_and_leaves_room_for_the_second_table(
    disk_mib: int, odd: int, sector: int, root_gib: int
) -> None:
    size = disk_mib * MIB + odd * sector
    layout = disk_layout.wanted(size, sector, root_gib)
    ends = [part.start + part.size for part in layout]
    assert [part.start for part in layout[1:]] == ends[:-1]
    assert all(part.start % MIB == 0 and part.size % MIB == 0 for part in layout)
    assert ends[-1] <= size - 128 * 128 - sector


def test_a_disk_without_room_for_data_is_refused() -> None:
    with pytest.raises(LayoutError, match="too few"):
        disk_layout.wanted(2 * GIB + 150 * MIB, 512, 2)


def test_what_sgdisk_wrote_reads_back_as_it_was_wanted(disk: Path) -> None:
    layout = partition(disk)
    assert disk_layout.primary_table(reader(disk), 512) == layout
    assert disk_layout.read_table(reader(disk), SIZE, 512) == layout


def test_the_last_copy_of_the_table_serves_when_the_first_is_damaged(disk: Path) -> None:
    layout = partition(disk)
    overwrite(disk, 0, MIB)
    assert disk_layout.primary_table(reader(disk), 512) is None
    assert disk_layout.read_table(reader(disk), SIZE, 512) == layout


def test_a_blank_disk_has_nothing_to_lose(disk: Path) -> None:
    assert look(disk) == FoundData("none")
    assert not disk_layout.keeps(look(disk), wipe_data=False)


def test_data_is_found_by_its_place_when_both_tables_are_gone(disk: Path) -> None:
    partition(disk)
    data = format_data(disk)
    overwrite(disk, 0, 100 * MIB)
    overwrite(disk, SIZE - 64 * 512, 64 * 512)
    assert disk_layout.read_table(reader(disk), SIZE, 512) is None
    found = look(disk)
    assert (found.state, found.superblock and found.superblock.size) == ("present", data.size)
    assert disk_layout.keeps(found, wipe_data=False)
    assert not disk_layout.keeps(found, wipe_data=True)


def test_data_is_found_by_a_backup_superblock(disk: Path) -> None:
    data = format_data(disk)
    overwrite(disk, data.start, 64 * 1024)
    found = look(disk)
    assert (found.state, found.backup_block) == ("damaged", 32768)
    assert disk_layout.keeps(found, wipe_data=False)


@pytest.mark.parametrize("label", ["", "pgdata"])
def test_a_foreign_filesystem_is_not_formatted_unasked(disk: Path, label: str) -> None:
    format_data(disk, label)
    with pytest.raises(LayoutError, match="--wipe-data"):
        disk_layout.keeps(look(disk), wipe_data=False)


def test_unknown_bytes_are_not_formatted_unasked(disk: Path) -> None:
    overwrite(disk, disk_layout.wanted(SIZE, 512, 2)[-1].start, 4096)
    with pytest.raises(LayoutError, match="does not know"):
        disk_layout.keeps(look(disk), wipe_data=False)


def test_data_at_another_place_is_refused_and_says_where(disk: Path) -> None:
    partition(disk)
    format_data(disk)
    found = look(disk, root_gib=3)
    assert found.state == "elsewhere"
    assert "2178 MiB" in found.detail
    with pytest.raises(LayoutError, match="Nothing was written"):
        disk_layout.keeps(found, wipe_data=False)


def gpt(path: Path, *words: str) -> None:
    subprocess.run(["sgdisk", *words, str(path)], check=True, capture_output=True)


def mbr(path: Path, *types: int) -> None:
    """What fdisk leaves: four entries, each of a GiB; no code, for that is nobody's business here."""
    entries = [bytes([0, 0, 0, 0, kind, 0, 0, 0]) for kind in types]
    places = [(2048 + 2097152 * index).to_bytes(4, "little") for index in range(len(types))]
    table = b"".join(
        entry + place + (2097152).to_bytes(4, "little") for entry, place in zip(entries, places, strict=True)
    )
    put(path, 446, table.ljust(64, b"\0") + b"\x55\xaa")


def put(path: Path, at: int, raw: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(raw)


def esp_and_one_lvm_partition(path: Path) -> None:
    gpt(path, "--new=1:2048:+512M", "--typecode=1:ef00", "--new=2:0:0", "--typecode=2:8e00")


def our_own_and_one_more(path: Path) -> None:
    partition(path)
    gpt(path, "--delete=4", "--new=5:3G:+100M", "--typecode=5:8300")


def our_old_table_behind_an_mbr(path: Path) -> None:
    partition(path)
    put(path, 0, bytes(34 * 512))  # the copy at the end stays
    mbr(path, 0x83)


def lvm_on_the_whole_disk(path: Path) -> None:
    words = b"LABELONE" + (1).to_bytes(8, "little")
    rest = (32).to_bytes(4, "little") + b"LVM2 001" + b"Q5mkxHvYs3XyQjRPF6ZfYkNBsdUWfJ3H" + bytes(456)
    crc, poly = 0xF597A6CF, 0xEDB88320
    for byte in rest[: 512 - 20]:
        crc ^= byte
        for _bit in range(8):
            crc = (crc >> 1) ^ (poly if crc & 1 else 0)
    put(path, 512, words + crc.to_bytes(4, "little") + rest[:492])


def ext4_on_the_whole_disk(path: Path) -> None:
    words = ["mkfs.ext4", "-q", "-F", "-L", "data", "-E", "lazy_itable_init=1", str(path)]
    subprocess.run(words, check=True, capture_output=True)


def swap_on_the_whole_disk(path: Path) -> None:
    subprocess.run(["mkswap", str(path)], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (
            esp_and_one_lvm_partition,
            "number 2 at 513 MiB, 3582 MiB, type e6d6d379-f507-44c2-a23c-238f2a3df928",
        ),
        (our_own_and_one_more, "number 5 at 3072 MiB"),
        (lambda path: mbr(path, 0x83, 0x8E), "an MBR partition table"),
        (our_old_table_behind_an_mbr, "an MBR partition table"),
        (lambda path: mbr(path, 0xEE), "the mark of PMBR"),
        (lvm_on_the_whole_disk, "the mark of LVM2_member"),
        (ext4_on_the_whole_disk, "the mark of ext4"),
        (swap_on_the_whole_disk, "the mark of swap"),
        (lambda path: put(path, 0, b"LUKS\xba\xbe\0\1"), "the mark of crypto_LUKS"),
        (lambda path: put(path, 65536 + 64, b"_BHRfS_M"), "the mark of btrfs"),
    ],
)
def test_a_foreign_disk_is_not_formatted_unasked(disk: Path, fill: Callable[[Path], None], said: str) -> None:
    """Zeros where rmc-dr's own data would lie prove nothing: this is an existing server's first rebuild."""
    fill(disk)
    with pytest.raises(LayoutError, match=f"(?s){said}.*Nothing was written.*--wipe-data"):
        disk_layout.keeps(look(disk), wipe_data=False)
    assert not disk_layout.keeps(look(disk), wipe_data=True)


def test_an_older_mark_under_our_own_table_is_no_foreign_disk(disk: Path) -> None:
    put(disk, 65536 + 64, b"_BHRfS_M")
    partition(disk)
    assert look(disk) == FoundData("none")


def test_a_disk_that_has_grown_is_still_ours(disk: Path) -> None:
    partition(disk)
    os.truncate(disk, 2 * SIZE)
    read = reader(disk)
    layout = disk_layout.wanted(2 * SIZE, 512, 2)
    table = disk_layout.read_table(read, 2 * SIZE, 512)
    assert disk_layout.find_data(read, table, layout, ["gpt", "PMBR"]).state == "none"


@given(raw=st.binary(max_size=2048))
def test_no_bytes_upset_the_readers(raw: bytes) -> None:
    def read(at: int, count: int) -> bytes:
        return raw[at % 64 : at % 64 + count]

    disk_layout.superblock(raw)
    disk_layout.read_table(read, SIZE, 512)
    disk_layout.read_table(lambda at, count: b"EFI PART" + read(at, count - 8), SIZE, 512)


def machine_of(tmp_path: Path, disks: dict[str, dict[str, str]], dmi: dict[str, str] | None = None) -> Path:
    files = {f"sys/block/{name}/{key}": text for name, keys in disks.items() for key, text in keys.items()}
    files |= {f"sys/class/dmi/id/{key}": text for key, text in (dmi or {}).items()}
    files |= {"proc/1/environ": f"TERM=linux\0container_uuid={MACHINE}\0"} if dmi is None else {}
    files |= {f"dev/{name}": "" for name in disks}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def prove(root: Path, reader_name: str, machine: str, disk: str) -> disk_identity.Disk:
    present = disk_identity.disks(reader_name, root, is_block=Path.exists)
    return disk_identity.prove(machine, disk, disk_identity.machine_ids(reader_name, root), present)


def test_the_lab_is_proven_by_the_machines_uuid_and_the_disks_file(tmp_path: Path) -> None:
    loops = {
        "loop0": {"loop/backing_file": "/var/lib/rmc-dr/lab/db1.img\n", "size": "8"},
        "loop7": {"loop/backing_file": "/var/lib/rmc-dr/lab/app1.img\n", "size": "16777216"},
    }
    found = prove(machine_of(tmp_path, loops), "lab", MACHINE, "app1.img")
    assert (found.device, found.size, found.sector) == ("/dev/loop7", 8 * GIB, 512)


def test_real_hardware_is_proven_by_its_firmware_and_the_disks_serial(tmp_path: Path) -> None:
    disks = {
        "nvme0n1": {"wwid": "eui.0025385\n", "device/serial": "S4EV \n", "queue/logical_block_size": "4096"},
        "sda": {"device/wwid": "naa.500\n"},
        "loop0": {"loop/backing_file": "S4EV"},
    }
    root = machine_of(tmp_path, disks, {"product_uuid": "4C4C4544-AA\n", "product_serial": "None\n"})
    found = prove(root, "dmi", "4c4c4544-aa", "S4EV")
    assert (found.device, found.sector) == ("/dev/nvme0n1", 4096)
    assert prove(root, "dmi", "4C4C4544-AA", "naa.500").device == "/dev/sda"


@pytest.mark.parametrize(
    ("machine", "disk", "said"),
    [
        ("another", "app1.img", "the machine says"),
        (MACHINE, "db1.img", "has no disk db1.img"),
        (MACHINE, "app", "has no disk"),
        (MACHINE, "twin.img", "ambiguous"),
    ],
)
def test_what_is_not_proven_is_refused(tmp_path: Path, machine: str, disk: str, said: str) -> None:
    loops = {
        "loop0": {"loop/backing_file": "/a/app1.img"},
        "loop1": {"loop/backing_file": "/a/twin.img"},
        "loop2": {"loop/backing_file": "/b/twin.img"},
    }
    with pytest.raises(disk_identity.WrongMachine, match=said):
        prove(machine_of(tmp_path, loops), "lab", machine, disk)


@pytest.mark.parametrize("nothing", ["", "None", "Default string", "To Be Filled By O.E.M."])
def test_a_board_without_a_name_proves_nothing(tmp_path: Path, nothing: str) -> None:
    root = machine_of(tmp_path, {"sda": {"device/serial": "X"}}, {"product_serial": f"{nothing}\n"})
    with pytest.raises(disk_identity.WrongMachine):
        prove(root, "dmi", "4c4c4544", "X")
    assert disk_identity.machine_ids("dmi", root) == ()


def test_a_disk_whose_node_is_not_there_is_not_seen(tmp_path: Path) -> None:
    root = machine_of(tmp_path, {"loop0": {"loop/backing_file": "/a/app1.img"}})
    (root / "dev/loop0").unlink()
    with pytest.raises(disk_identity.WrongMachine, match="no disk at all"):
        prove(root, "lab", MACHINE, "app1.img")


def test_a_file_tree_is_the_same_only_if_every_name_and_byte_is(tmp_path: Path) -> None:
    folder = tmp_path / "srv"
    (folder / "attachments").mkdir(parents=True)
    (folder / "attachments" / "a b").write_bytes(b"1")
    (folder / "odd\nna\\me").write_bytes(b"22")
    os.close(os.open(os.fsencode(folder) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    (folder / "link").symlink_to("nowhere")
    before = file_tree.read_tree(folder)
    assert (len(before.entries), before.size) == (4, 3)
    assert file_tree.parse_lines(before.lines()) == before.entries
    assert file_tree.read_tree(folder).digest == before.digest

    (folder / "attachments" / "a b").write_bytes(b"2")
    (folder / "link").unlink()
    (folder / "fresh").write_bytes(b"")
    after = file_tree.read_tree(folder)
    assert after.digest != before.digest
    assert file_tree.differences(before.entries, after.entries) == {
        "missing": ["link"],
        "changed": ["attachments/a b"],
        "new": ["fresh"],
    }


@given(st.dictionaries(st.binary(min_size=1).filter(lambda name: b"\0" not in name), st.just("ab" * 32)))
def test_the_list_of_hashes_survives_any_file_name(entries: dict[bytes, str]) -> None:
    assert file_tree.parse_lines(file_tree.Tree(entries, 0).lines()) == entries
