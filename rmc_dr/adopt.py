"""Takes replacement hardware into the estate: the machine names itself, a person decides."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rmc_dr import content, ssh
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate, Host, Identity
from rmc_dr.files import write_atomically
from rmc_dr.i18n import _
from rmc_dr.record import append_entry, local_lock

READER = Path("roles/os_install/module_utils/disk_identity.py")
RECORD = "adoptions.jsonl"
TIMEOUT_SECONDS = 30
IDENTITY_BLOCK = re.compile(r"^identity:.*\n(?:[ \t]+.*\n|\n)*", re.MULTILINE)


@dataclass(frozen=True)
class SeenDisk:
    """One disk as its rescue system sees it; ``size`` in bytes, ``partitions`` as lines to read."""

    device: str
    ids: tuple[str, ...]
    size: int
    model: str
    partitions: tuple[str, ...]


@dataclass(frozen=True)
class SeenMachine:
    """What a machine says of itself in its rescue system."""

    reader: Literal["lab", "dmi"]
    model: str
    marks: tuple[str, ...]
    disks: tuple[SeenDisk, ...]


def look(estate: Estate, host: Host) -> SeenMachine:
    """Ask the rescue system at the host's address. Raises Refused unless it answers with the pinned key."""
    try:
        reader = (content.root() / READER).read_text()
        done = ssh.ask(estate, host, "python3 -", TIMEOUT_SECONDS, "rescue", reader)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        raise Refused(
            "not-in-rescue",
            _("No rescue system answers at {address} with the pinned key.").format(address=host.address),
            _("Boot the new machine from the kit's rescue image: `rmc-dr power rescue {host}`.").format(
                host=host.name
            ),
        )
    return _seen(json.loads(done.stdout))


def _seen(said: dict[str, Any]) -> SeenMachine:
    disks = tuple(
        SeenDisk(
            disk["device"], tuple(disk["ids"]), int(disk["size"]), disk["model"], tuple(disk["partitions"])
        )
        for disk in said["disks"]
    )
    reader = cast(Literal["lab", "dmi"], said["reader"])
    return SeenMachine(reader, said["model"], tuple(said["machine"]), disks)


def choose(estate: Estate, host: Host, seen: SeenMachine, disk: str | None) -> Identity:
    """The identity to be written. Pure. Raises BadInput or Refused where it would not be unmistakable."""
    if not seen.marks:
        raise Refused(
            "machine-unnamed",
            _("The machine at {address} carries no serial number or UUID.").format(address=host.address),
            _("Set one in its firmware; without it no disk of it may be written."),
        )
    _refuse_taken(estate, host, seen.marks)
    return Identity(reader=seen.reader, machine=seen.marks[0], disk=_disk(seen.disks, disk))


def _refuse_taken(estate: Estate, host: Host, marks: Sequence[str]) -> None:
    for other in estate.hosts.values():
        if other.name != host.name and other.identity and other.identity.machine in marks:
            raise Refused(
                "machine-taken",
                _("The machine at {address} is {other} in the estate.").format(
                    address=host.address, other=other.name
                ),
                _("Check addresses and cabling; nothing was changed."),
            )


def _disk(disks: Sequence[SeenDisk], wanted: str | None) -> str:
    named = [mark for disk in disks for mark in disk.ids[:1]]
    if wanted is None and len(disks) == 1 and named:
        return named[0]
    matching = [disk for disk in disks if wanted in disk.ids]
    if wanted is not None and len(matching) == 1:
        return wanted
    raise BadInput(
        "disk-not-named",
        _("Which disk is to carry the system? The machine has: {disks}.").format(
            disks=", ".join(named) or _("no disk with a serial number")
        ),
        _("Name one with --disk."),
    )


def adopt(estate: Estate, host: Host, identity: Identity, seen: SeenMachine) -> Path:
    """Write the identity into the inventory, whole or not at all, and record who did it. Returns the file.

    Raises Locked while a run of the estate is at work.
    """
    with local_lock(estate.name, f"host-adopt-{host.name}"):
        path = _write(estate, host, identity)
        _record(estate, host, identity, seen)
    return path


def _write(estate: Estate, host: Host, identity: Identity) -> Path:
    path = estate.inventory / "host_vars" / f"{host.name}.yml"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, with_identity(path.read_text() if path.is_file() else "---\n", identity), 0o644)
    return path


def _record(estate: Estate, host: Host, identity: Identity, seen: SeenMachine) -> None:
    append_entry(
        estate.private_dir / RECORD,
        operator=getpass.getuser(),
        host=host.name,
        model=seen.model,
        before=host.identity.model_dump() if host.identity else None,
        after=identity.model_dump(),
    )


def with_identity(text: str, identity: Identity) -> str:
    """The variables of a host with this identity; everything else in the file stays as it is. Pure."""
    words = identity.model_dump()
    block = "identity:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in words.items())
    rest = IDENTITY_BLOCK.sub("", text if text.endswith("\n") else f"{text}\n")
    return f"{rest}{block}"
