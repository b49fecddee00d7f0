#!/usr/bin/python
"""Install an operating system on a host's disk, from the rescue system. The only module that writes disks."""

from __future__ import annotations

import fcntl
import os
import time
import traceback
import uuid
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.disk_finish import BootError, make_bootable
from ansible.module_utils.disk_identity import Disk, WrongMachine, disks, machine_ids, prove
from ansible.module_utils.disk_layout import LayoutError
from ansible.module_utils.disk_prepare import CommandFailed, Shell, old_root, prepare

DOCUMENTATION = r"""
module: disk_install
short_description: Prepare a host's disk for an image, or make the unpacked image boot
description:
  - Runs in the rescue system, as root. Before anything is written the machine and its disk must prove to be
    the ones named by I(identity). A lock makes a second run wait for an orphan of an earlier one.
  - Mounts live in a private namespace and end with the module, also when it is killed.
options:
  phase:
    description: >-
      C(inspect) proves the identity, writes nothing and returns the old system's C(root_device), null where
      the partition table is not the expected one. C(prepare) writes the partition table and the
      filesystems, keeping the data. C(finish) makes the unpacked image boot by BIOS and UEFI.
    choices: [inspect, prepare, finish]
    required: true
  identity: {description: The estate's C(reader) C(machine) and C(disk)., type: dict, required: true}
  root_gib: {description: Size of the root filesystem., type: int, required: true}
  wipe_data: {description: Format the data partition even if it holds data., type: bool, default: false}
  hash_data:
    description: Hash every file of the data that is kept; else only its filesystem is checked.
    type: bool
    default: true
  root_uuid: {description: "C(finish): the root filesystem that C(prepare) made.", type: str}
  files:
    description: "C(finish): what is written on the new root; C(path), C(content), C(mode)."
    type: list
    elements: dict
  lock_timeout: {description: Seconds to wait for an earlier run., type: int, default: 600}
"""

STATE = Path("/run/rmc-dr")
LATEST = STATE / "latest-prepare"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "phase": {"choices": ["inspect", "prepare", "finish"], "required": True},
            "identity": {
                "type": "dict",
                "required": True,
                "options": {
                    "reader": {"choices": ["lab", "dmi"], "required": True},
                    "machine": {"type": "str", "required": True},
                    "disk": {"type": "str", "required": True},
                },
            },
            "root_gib": {"type": "int", "required": True},
            "wipe_data": {"type": "bool", "default": False},
            "hash_data": {"type": "bool", "default": True},
            "root_uuid": {"type": "str"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
            "lock_timeout": {"type": "int", "default": 600},
        },
        required_if=[("phase", "finish", ["root_uuid"])],
    )
    try:
        disk, machine = _proven_disk(module)
        result = {"disk": disk.device, "machine": machine, "changed": False}
        result.update(_work(module, disk))
    except (WrongMachine, LayoutError, BootError, CommandFailed) as problem:
        module.fail_json(msg=str(problem), refused=isinstance(problem, (WrongMachine, LayoutError)))
    except OSError as problem:
        module.fail_json(msg=f"{problem}", refused=False, exception=traceback.format_exc())
    module.exit_json(**result)


def _proven_disk(module: AnsibleModule) -> tuple[Disk, str]:
    identity = module.params["identity"]
    seen = machine_ids(identity["reader"])
    try:
        disk = prove(identity["machine"], identity["disk"], seen, disks(identity["reader"]))
    except WrongMachine as problem:
        raise WrongMachine(
            f"This is not the machine that the estate names: {problem}. Nothing was written. "
            "Replacement hardware is taken in by `rmc-dr host adopt`."
        ) from None
    return disk, identity["machine"]


def _work(module: AnsibleModule, disk: Disk) -> dict[str, object]:
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    mine = _announce() if module.params["phase"] == "prepare" else None
    shell = Shell(module.run_command, _lock(module.params["lock_timeout"]))
    _give_way(mine)
    os.unshare(os.CLONE_NEWNS)
    shell.run("mount", "--make-rprivate", "/")
    _refuse_running_system(disk)
    if module.params["phase"] == "inspect":
        return {"root_device": old_root(shell, disk, module.params["root_gib"])}
    if module.params["phase"] == "prepare":
        options = {key: module.params[key] for key in ("wipe_data", "hash_data")}
        return prepare(shell, disk, module.params["root_gib"], state=STATE, **options)
    return make_bootable(shell, disk, module.params["root_uuid"], module.params["files"], STATE)


def _announce() -> str:
    """Make this the latest run that wants to prepare the disk."""
    mine = uuid.uuid4().hex
    LATEST.write_text(mine)
    return mine


def _give_way(mine: str | None) -> None:
    """An orphan of a killed run that still waited for the lock must not erase what a later run has made."""
    if mine is not None and LATEST.read_text() != mine:
        raise CommandFailed("a later run has begun to prepare the disk; this one wrote nothing")


def _lock(timeout: int) -> int:
    """Held by this process and every command it starts, so an orphan keeps it until it has really ended."""
    lock = os.open(STATE / "disk.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"an earlier run still works on the disk after {timeout} s; nothing was written"
                ) from None
            time.sleep(0.3)
        else:
            return lock


def _refuse_running_system(disk: Disk) -> None:
    """A disk that this very system runs from is not a rescue system's to write."""
    folder = Path("/sys/block") / disk.name
    numbers = {path.read_text().strip() for path in [folder / "dev", *folder.glob(f"{disk.name}*/dev")]}
    mounted = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for fields in mounted:
        if fields[2] in numbers:
            raise WrongMachine(
                f"{disk.device} is in use, mounted at {fields[4]}: this is not the rescue system. "
                "Nothing was written"
            )


if __name__ == "__main__":
    main()
