"""Replacement hardware: which identity is written, and when it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rmc_dr import adopt
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate, Identity

DISKS = (
    adopt.SeenDisk("/dev/sda", ("S1", "naa.1"), 2**40, "Disk", ("sda1: 1 MiB",)),
    adopt.SeenDisk("/dev/sdb", ("S2",), 2**40, "Disk", ()),
)
IDENTITY = Identity(reader="dmi", machine="uuid-1", disk="S1")


def seen(disks: tuple[adopt.SeenDisk, ...] = DISKS[:1], marks: tuple[str, ...] = ("uuid-1", "serial-1")):
    return adopt.SeenMachine("dmi", "Server", marks, disks)


def test_a_machine_with_one_disk_names_itself(estate: Estate) -> None:
    assert adopt.choose(estate, estate.host("app1"), seen(), None) == IDENTITY


def test_with_several_disks_one_must_be_named(estate: Estate) -> None:
    host = estate.host("app1")
    with pytest.raises(BadInput, match="S1, S2"):
        adopt.choose(estate, host, seen(DISKS), None)
    with pytest.raises(BadInput, match="S1, S2"):
        adopt.choose(estate, host, seen(DISKS), "S3")
    assert adopt.choose(estate, host, seen(DISKS), "S2").disk == "S2"


def test_a_machine_without_a_name_is_refused(estate: Estate) -> None:
    with pytest.raises(Refused) as refusal:
        adopt.choose(estate, estate.host("app1"), seen(marks=()), None)
    assert refusal.value.code == "machine-unnamed"


def test_a_machine_that_is_another_host_is_refused(estate: Estate) -> None:
    other = estate.host("db1").identity
    assert other is not None
    with pytest.raises(Refused) as refusal:
        adopt.choose(estate, estate.host("app1"), seen(marks=(other.machine,)), None)
    assert refusal.value.code == "machine-taken"


@pytest.mark.parametrize(
    "text",
    [
        "---\n",
        "---\nidentity: {reader: lab, machine: m, disk: d}\n# a remark\nother: 1\n",
        "---\n# a remark\nother: 1\nidentity:\n  reader: lab\n  machine: m\n\n  disk: d",
    ],
)
def test_only_the_identity_of_a_hosts_file_changes(text: str) -> None:
    before, after = yaml.safe_load(text) or {}, adopt.with_identity(text, IDENTITY)
    assert yaml.safe_load(after) == {**before, "identity": IDENTITY.model_dump()}
    assert ("# a remark" in after) == ("# a remark" in text)
    assert adopt.with_identity(after, IDENTITY) == after


def test_adoption_is_written_and_recorded(estate: Estate, state: Path) -> None:
    inventory = state / "inventory"
    inventory.mkdir()
    estate.private_dir.mkdir()
    moved = Estate(estate.name, inventory, estate.config, estate.hosts, None)
    path = adopt.adopt(moved, moved.host("app1"), IDENTITY, seen())
    assert yaml.safe_load(path.read_text())["identity"]["machine"] == "uuid-1"
    entry = json.loads((estate.private_dir / adopt.RECORD).read_text())
    assert (entry["host"], entry["after"]["disk"], entry["before"]["disk"]) == ("app1", "S1", "app1.img")
