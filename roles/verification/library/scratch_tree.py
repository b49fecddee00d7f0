#!/usr/bin/python
"""The scratch of a verification: made, and taken away with everything that lives in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import uuid
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.verification_host import SLICE, Wrong, finding

DOCUMENTATION = r"""
module: scratch_tree
short_description: Make or remove the scratch of a verification
description:
  - C(sweep) ends every process of the verification's slice, then removes the folder. C(prepare) does the same
    with what a killed verification left, and makes an empty tree.
  - Refuses on a host that the estate has not named as its verification host.
options:
  do: {description: What to do., choices: [prepare, sweep], required: true}
  host: {description: The host's name in the inventory., type: str, required: true}
  folder: {description: The scratch., type: path, required: true}
  room_bytes: {description: Room that it will need., type: int, default: 0}
author: [rmc-dr]
"""
NAMED = Path("/etc/rmc-dr/verification/host")
THERE = "active,activating,deactivating,failed"
STOP_SECONDS = 300
GIB = 1024**3
# Folder -> owner and mode; the applications' server writes below its own.
TREE = {
    "data": ("postgres", 0o700),
    "run": ("postgres", 0o700),
    "spool": ("postgres", 0o700),
    "lock": ("postgres", 0o770),
    "log": ("postgres", 0o755),
    "log/liberty": ("liberty", 0o750),
    "files": ("root", 0o711),
    "cache": ("root", 0o700),
    "liberty": ("liberty", 0o750),
    "liberty/servers": ("liberty", 0o750),
    "liberty/servers/rmc": ("liberty", 0o750),
    "liberty/servers/rmc/variables": ("liberty", 0o750),
}


def prove(folder: Path, host: str, named: Path = NAMED) -> None:
    """Raises Wrong where this is not the verification host, or the folder is not what it seems."""
    if not named.is_file() or named.read_text().strip() != host:
        raise Wrong(
            f"This host is not named as the verification host {host}. Nothing was removed.", refused=True
        )
    if folder.is_symlink() or os.path.ismount(folder) or folder.parent in (folder, Path("/")):
        raise Wrong(
            f"{folder} is a link, a mount point or too near the root. Nothing was removed.", refused=True
        )


def left(folder: Path) -> list[str]:
    """What is there of an earlier verification."""
    listed = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", f"--state={THERE}", "verification*"],
        capture_output=True,
        text=True,
        check=False,
    )
    units = [line.split()[0] for line in listed.stdout.splitlines() if line.split()]
    return [*units, *([str(folder)] if folder.exists() else [])]


def sweep(folder: Path) -> list[str]:
    """End everything, remove everything; what was there before. Raises Wrong where something stays."""
    found = left(folder)
    subprocess.run(["systemctl", "stop", SLICE], timeout=STOP_SECONDS, capture_output=True, check=False)
    subprocess.run(["systemctl", "reset-failed", "verification*"], capture_output=True, check=False)
    if folder.exists():
        shutil.rmtree(folder)
    if remains := left(folder):
        raise Wrong(f"Of the verification remains: {', '.join(remains)}.")
    return found


def make(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "life").write_text(
        uuid.uuid4().hex
    )  # a module that outlived its control machine sees another one
    for name, (owner, mode) in TREE.items():
        account = pwd.getpwnam(owner)
        path = folder / name
        path.mkdir()
        path.chmod(mode)
        os.chown(path, account.pw_uid, account.pw_gid)


def room(folder: Path, needed: int) -> dict:
    free = shutil.disk_usage(folder.parent).free
    detail = f"{free / GIB:.1f} GiB are free in {folder.parent}, {needed / GIB:.1f} are needed"
    return finding("room", free >= needed, detail, () if free >= needed else (str(folder.parent),))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "choices": ["prepare", "sweep"], "required": True},
            "host": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "room_bytes": {"type": "int", "default": 0},
        }
    )
    given = module.params
    folder = Path(given["folder"])
    try:
        prove(folder, given["host"])
        found = sweep(folder)
        if given["do"] == "sweep":
            checks, stop = (
                [finding("sweep", True, f"removed: {', '.join(found) or 'nothing was there'}")],
                False,
            )
        else:
            checks = [room(folder, given["room_bytes"])]
            stop = not checks[0]["green"]
            if not stop:
                make(folder)
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except (OSError, KeyError, subprocess.SubprocessError) as problem:
        module.fail_json(msg=f"The scratch: {problem}")
    left_before = found if given["do"] == "prepare" else []
    module.exit_json(changed=True, found={"checks": checks, "stop": stop, "left": left_before})


if __name__ == "__main__":
    main()
