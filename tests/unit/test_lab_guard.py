"""What the lab may touch, what it knows of its hosts, and what its breaks leave of a disk."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rmc_dr import content, files
from rmc_dr.errors import Locked, Refused
from rmc_dr.estate import Estate
from rmc_dr.lab import condition, disks, faults, guard, hardware, place, up
from rmc_dr.lab.guard import RootMount
from rmc_dr.lab.hardware import Hardware
from rmc_dr.pair import Role

INVENTORY = content.root() / "inventories" / "lab"
MIB = 1024**2
pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Both partition tables of a small disk, laid out as an installation lays it out."""
    disk = tmp_path_factory.mktemp("disk") / "disk.img"
    disks.make_blank(disk, 1)
    layout = "-n1:1M:+1M -t1:ef02 -n2:0:+16M -t2:ef00 -n3:0:+160M -t3:8304 -n4:0:0 -t4:8306"
    subprocess.run(["sgdisk", *layout.split(), str(disk)], check=True, capture_output=True)
    with disk.open("rb") as file:
        first = file.read(faults.GPT)
        file.seek(-faults.GPT, os.SEEK_END)
        return first, file.read()


@pytest.fixture
def app1(tables: tuple[bytes, bytes]) -> Hardware:
    """A machine with that disk."""
    made = Hardware("app1", "uuid", "app1.img", 1, "198.51.100.11")
    disks.make_blank(made.image, made.size_gib)
    place.write_state(place.host_folder("app1") / hardware.FILE, vars(made))
    write(made, 0, tables[0])
    write(made, disks.GIB - faults.GPT, tables[1])
    return made


def part(machine: Hardware, kind: str) -> disks.Partition:
    return next(entry for entry in disks.read_table(machine.image) if entry.kind == kind)


def write(machine: Hardware, at: int, data: bytes) -> None:
    with machine.image.open("r+b") as disk:
        disk.seek(at)
        disk.write(data)


def read(machine: Hardware, at: int, size: int) -> bytes:
    with machine.image.open("rb") as disk:
        disk.seek(at)
        return disk.read(size)


def make_root(machine: Hardware, identity: bytes) -> None:
    """The two marks of an ext4 superblock that count here."""
    start = part(machine, disks.ROOT_TYPE).start + condition.SUPERBLOCK
    write(machine, start + 0x38, condition.MAGIC)
    write(machine, start + 0x68, identity)


def refused(code: str):
    return pytest.raises(Refused, check=lambda error: error.code == code)


def test_another_inventory_is_refused(tmp_path: Path):
    with refused("lab-foreign-inventory"):
        guard.prove_inventory(tmp_path)
    guard.prove_inventory(INVENTORY)


def test_a_link_to_the_inventory_is_the_inventory(tmp_path: Path):
    (tmp_path / "link").symlink_to(INVENTORY)
    guard.prove_inventory(tmp_path / "link")


def test_a_host_outside_of_the_network_is_refused(estate: Estate):
    guard.prove_estate(estate)
    stray = replace(estate.hosts["app1"], address="10.0.0.11")
    with refused("lab-foreign-target"):
        guard.prove_estate(replace(estate, hosts={**estate.hosts, "app1": stray}))


def test_real_power_is_refused(estate: Estate):
    power = estate.config.power.model_copy(update={"driver": "manual"})
    config = estate.config.model_copy(update={"power": power})
    with refused("lab-foreign-target"):
        guard.prove_estate(replace(estate, config=config))


def test_a_machine_that_the_lab_never_made_is_refused():
    with refused("lab-foreign-target"):
        guard.prove_target("app1")


@pytest.mark.parametrize("how", ["symlink", "hard link", "dots", "folder", "parent symlink"])
def test_a_disk_that_leads_outside_is_refused(app1: Hardware, tmp_path: Path, how: str):
    elsewhere = tmp_path / "hospital.img"
    elsewhere.write_bytes(b"precious")
    path = app1.image
    path.unlink()
    if how == "symlink":
        path.symlink_to(elsewhere)
    elif how == "hard link":
        path.hardlink_to(elsewhere)
    elif how == "folder":
        path.mkdir()
    elif how == "dots":
        path = path.parent / ".." / "app1" / "app1.img"
    else:
        (tmp_path / "host").mkdir()
        for kept in path.parent.iterdir():
            kept.unlink()
        path.parent.rmdir()
        path.parent.symlink_to(tmp_path / "host")
    with refused("lab-foreign-target"):
        disks.proven(path)
    assert elsewhere.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("root", "own"),
    [
        (RootMount("/dev/vda1", "ext4", Path("/"), "rw"), False),
        (RootMount("/dev/vda1", "ext4", Path("/srv/other"), "rw"), False),
        (RootMount("/dev/vda1", "ext4", Path("/var/cache/tree"), "rw"), True),
        (RootMount("overlay", "overlay", Path("/"), "rw,upperdir={hosts}/app1/rescue/upper,x=y"), True),
        (RootMount("overlay", "overlay", Path("/"), "rw,upperdir={hosts}/db1/rescue/upper"), False),
        (RootMount("overlay", "overlay", Path("/"), "rw,lowerdir=/"), False),
    ],
)
def test_whose_process(app1: Hardware, monkeypatch: pytest.MonkeyPatch, root: RootMount, own: bool):
    root = replace(root, options=root.options.format(hosts=place.folder() / "hosts"))
    monkeypatch.setattr(guard, "root_mount", lambda _process: root)
    place.write_state(place.host_folder("app1") / guard.TREE_STATE, {"tree": "/mnt/var/cache/tree"})
    if own:
        guard.prove_process("app1", 1)
    else:
        with refused("lab-foreign-target"):
            guard.prove_process("app1", 1)


def test_this_process_is_not_a_machine(app1: Hardware):
    with refused("lab-foreign-target"):
        guard.prove_process("app1", 1)


def test_the_disk_is_gone_but_the_data_survives(app1: Hardware, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faults.machine, "kill", lambda _name: None)
    data = part(app1, disks.DATA_TYPE)
    make_root(app1, b"A" * 16)
    write(app1, data.start, b"attachment")
    faults._break_disk(app1)
    assert disks.read_table(app1.image) == []
    assert subprocess.run(["sgdisk", "-p", str(app1.image)], capture_output=True).stdout.count(b"8306") == 0
    assert read(app1, 0, data.start) == bytes(data.start)
    assert read(app1, data.start, 10) == b"attachment"


def test_the_system_is_torn_but_table_and_data_stay(app1: Hardware, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faults.machine, "kill", lambda _name: None)
    table, data = disks.read_table(app1.image), part(app1, disks.DATA_TYPE)
    make_root(app1, b"A" * 16)
    write(app1, data.start, b"attachment")
    faults._break_os(app1)
    assert disks.read_table(app1.image) == table
    assert condition.root_uuid(app1) is None
    assert read(app1, data.start, 10) == b"attachment"
    assert read(app1, part(app1, disks.ROOT_TYPE).start + faults.GROUP, MIB) != bytes(MIB)


def test_a_blank_disk_needs_an_installation(app1: Hardware):
    assert condition.of(app1).broken == condition.INSTALLING
    make_root(app1, b"A" * 16)
    assert condition.of(app1).broken == condition.INSTALLING


def test_a_reinstallation_undoes_a_break(app1: Hardware):
    make_root(app1, b"A" * 16)
    condition.installed(app1, "image")
    assert condition.of(app1).image == "image"
    condition.broken(app1, "process")
    assert condition.of(app1).broken == "process"
    make_root(app1, b"B" * 16)
    assert condition.of(app1) == condition.Condition(root="42424242-4242-4242-4242-424242424242")


def test_an_installation_cut_short_stays_broken(app1: Hardware):
    make_root(app1, b"A" * 16)
    condition.installed(app1, "image")
    condition.broken(app1, condition.INSTALLING)
    make_root(app1, b"B" * 16)
    assert condition.of(app1).broken == condition.INSTALLING


@pytest.mark.parametrize(
    ("mode", "serving", "broken"), [("disk", True, False), ("disk", False, True), ("rescue", True, True)]
)
def test_a_rebuild_of_a_host_whose_installation_was_cut_short_wins(
    app1: Hardware, estate, monkeypatch: pytest.MonkeyPatch, mode: str, serving: bool, broken: bool
):
    make_root(app1, b"A" * 16)
    condition.broken(app1, condition.INSTALLING)
    make_root(app1, b"B" * 16)
    monkeypatch.setattr(up.hardware, "of", lambda _name: app1)
    monkeypatch.setattr(up.machine, "mode", lambda _name: mode)
    monkeypatch.setattr(up, "observe_host", lambda *_words: SimpleNamespace(serving=serving))
    assert up._is_broken(estate, estate.host("app1")) is broken
    assert bool(condition.of(app1).broken) is broken


@pytest.mark.parametrize(("role", "broken"), [(Role.STANDBY, False), (Role.DOWN, True)])
def test_a_database_host_that_answers_is_not_installed_again(
    app1: Hardware, estate, monkeypatch: pytest.MonkeyPatch, role: Role, broken: bool
):
    make_root(app1, b"A" * 16)
    condition.broken(app1, condition.INSTALLING)
    seen = SimpleNamespace(nodes=[SimpleNamespace(name="db1", role=role)])
    monkeypatch.setattr(up.hardware, "of", lambda _name: app1)
    monkeypatch.setattr(up.machine, "mode", lambda _name: "disk")
    monkeypatch.setattr(up, "observe_pair", lambda _estate: seen)
    assert up._is_broken(estate, estate.host("db1")) is broken
    condition.broken(app1, condition.INSTALLING)
    assert up._is_broken(estate, estate.host("store1")), "of a store nobody can tell"


def test_a_destroyed_disk_is_broken_until_it_has_a_root(app1: Hardware, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faults.machine, "kill", lambda _name: None)
    make_root(app1, b"A" * 16)
    condition.installed(app1, "image")
    condition.broken(app1, "disk")
    faults._break_disk(app1)
    assert condition.of(app1).broken == "disk"


def test_one_command_at_a_time():
    with place.only_one_command(), pytest.raises(Locked, match="process"), place.only_one_command():
        pass
    with place.only_one_command():
        pass


def test_a_torn_state_file_says_nothing(tmp_path: Path):
    (tmp_path / "x.json").write_text('{"up": tr')
    assert files.read_json(tmp_path / "x.json") == {}
